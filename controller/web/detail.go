package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"composure/controller/observe"
	"composure/controller/view"
)

// servicePage is all that is known of a service.
type servicePage struct {
	view.Detail
	Log     view.Log
	History view.History
}

// service shows one service.
func (s *Server) service(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("service")
	s.show(w, r, "service.html", func(ctx context.Context) (shown, error) {
		var p servicePage
		now, err := s.status(ctx)
		if err == nil {
			p.Detail, err = s.Source.Service(ctx, name)
		}
		if err == nil {
			p.Log, err = s.Source.Log(ctx, name)
		}
		if err == nil {
			p.History, err = s.Source.History(ctx, name, 20)
		}
		return shown{Title: name, Here: "overview", Below: true, Status: now, Page: p}, err
	})
}

// incidentList lists incidents.
func (s *Server) incidentList(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, "incidents.html", func(ctx context.Context) (shown, error) {
		now, err := s.status(ctx)
		if err != nil {
			return shown{}, err
		}
		all, err := s.Source.Incidents(ctx, 100)
		var list []view.Short
		for _, i := range all.Incidents {
			list = append(list, view.ShortOf(i, now.At))
		}
		return shown{Title: "Incidents", Here: "incidents", Status: now, Page: list}, err
	})
}

// incidentPage is one incident with its report.
type incidentPage struct {
	view.Incident
	Short  view.Short
	Pieces []piece
	Report string
}

// piece is a piece of evidence as people read it.
type piece struct {
	view.Piece
	Examination *observe.Evidence // nil: Data is a text
}

// incident shows one incident: timeline, evidence, report.
func (s *Server) incident(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	s.show(w, r, "incident.html", func(ctx context.Context) (shown, error) {
		var p incidentPage
		now, err := s.status(ctx)
		if err == nil {
			p.Incident, err = s.Source.Incident(ctx, id)
		}
		if err == nil {
			p.Report, err = s.Source.Report(ctx, p.Incident.Incident.ID)
		}
		p.Short = view.ShortOf(p.Incident.Incident, now.At)
		for _, e := range p.Evidence {
			one := piece{Piece: e}
			var x observe.Evidence
			if json.Unmarshal([]byte(e.Data), &x) == nil && !x.At.IsZero() {
				one.Examination = &x
			}
			p.Pieces = append(p.Pieces, one)
		}
		return shown{Title: "Incident " + p.Short.ID, Here: "incidents", Below: true, Status: now, Page: p}, err
	})
}

// history shows what was applied, tried and decided.
func (s *Server) history(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, "history.html", func(ctx context.Context) (shown, error) {
		now, err := s.status(ctx)
		if err != nil {
			return shown{}, err
		}
		h, err := s.Source.History(ctx, "", 50)
		return shown{Title: "History", Here: "history", Status: now, Page: h}, err
	})
}

// lasting is a time that something took, as short as it is read.
func lasting(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return d.Round(time.Minute).String()
}
