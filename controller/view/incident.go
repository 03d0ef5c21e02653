package view

import (
	"time"

	"composure/controller/incident"
	"composure/controller/store"
)

// Incidents are those of a stack, the open ones first, then newest first ("composure.incidents/v1").
type Incidents struct {
	Schema    string              `json:"schema"`
	Stack     string              `json:"stack"`
	Incidents []incident.Incident `json:"incidents"`
}

// Incident is one incident with what is kept beside it ("composure.incident/v1").
type Incident struct {
	Schema   string            `json:"schema"`
	Incident incident.Incident `json:"incident"`
	Evidence []Piece           `json:"evidence"`
}

// Piece is one piece of evidence, with its data when they are asked for.
type Piece struct {
	ID   string    `json:"id"`
	Kind string    `json:"kind"`
	At   time.Time `json:"at"`
	Size int64     `json:"size"` // bytes
	Data string    `json:"data,omitempty"`
}

// IncidentsOf shows incidents, at most limit of them.
func IncidentsOf(stack string, all []incident.Incident, limit int) Incidents {
	return Incidents{Schema: "composure.incidents/v1", Stack: stack, Incidents: append([]incident.Incident{}, all[:min(len(all), max(limit, 0))]...)}
}

// IncidentOf shows one incident.
func IncidentOf(i incident.Incident, kept []Piece) Incident {
	return Incident{Schema: "composure.incident/v1", Incident: i, Evidence: append([]Piece{}, kept...)}
}

// PieceOf shows a piece of evidence without its data.
func PieceOf(e store.Evidence) Piece {
	return Piece{ID: e.ID, Kind: e.Kind, At: e.At.UTC(), Size: e.Size}
}

// Lasted is how long users were without the service, until it was well again or until now.
func Lasted(i incident.Incident, now time.Time) time.Duration {
	switch {
	case !i.MitigatedAt.IsZero():
		return i.MitigatedAt.Sub(i.Began)
	case i.State == incident.Resolved:
		return i.ResolvedAt.Sub(i.Began)
	}
	return now.Sub(i.Began)
}
