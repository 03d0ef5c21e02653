package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Incident is one incident: its document, with the columns that it is found by.
type Incident struct {
	ID       string
	Stack    string
	Service  string // empty: of the stack or the engine
	Cause    string
	State    string
	Severity string
	Opened   time.Time
	Resolved time.Time       // zero: open
	Document json.RawMessage // the incident as package incident writes it; without secrets
	Was      json.RawMessage // the document that this one was made from, which is not read back; nil: whatever is there is replaced
}

// Event is one entry of an incident's timeline. Events are only ever added.
type Event struct {
	ID       string // empty: a fresh one; adding the same id again has no effect
	Incident string
	At       time.Time
	Kind     string
	Text     string // without secrets
	Data     json.RawMessage
}

// IncidentFilter selects incidents; zero fields select all.
type IncidentFilter struct {
	Stack   string
	Service string
	Cause   string
	Open    bool
	Since   time.Time // open, or resolved at or after
	Limit   int       // the newest so many
}

const incidentColumns = `id, stack, service, cause, state, severity, opened_at, resolved_at, document`

// SaveIncident creates or replaces an incident. ErrChanged when it is not any more what it was made from: a person and the
// remediator write to the same one. ErrTaken when another stack has one of that id: projects of one name on two engines can
// share a store, and an id is made of the name and the time.
func (s *Store) SaveIncident(ctx context.Context, i Incident) error {
	res, err := s.db.ExecContext(ctx, `INSERT INTO incidents (`+incidentColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (id) DO UPDATE SET service = excluded.service, cause = excluded.cause, state = excluded.state,
		severity = excluded.severity, opened_at = excluded.opened_at, resolved_at = excluded.resolved_at, document = excluded.document
		WHERE incidents.stack = excluded.stack AND ($10 = '' OR incidents.document = $10)`,
		i.ID, i.Stack, i.Service, i.Cause, i.State, i.Severity, micros(i.Opened), micros(i.Resolved), string(i.Document), string(i.Was))
	if err == nil {
		err = found(res)
	}
	if errors.Is(err, ErrNotFound) {
		err = fmt.Errorf("%s: %w", i.ID, s.refuses(ctx, i))
	}
	if err != nil {
		return failed("save the incident", err)
	}
	return nil
}

// refuses is why an incident was not written.
func (s *Store) refuses(ctx context.Context, i Incident) error {
	there, err := s.Incident(ctx, i.ID)
	switch {
	case err != nil:
		return err
	case there.Stack != i.Stack:
		return ErrTaken
	}
	return ErrChanged
}

// Incident returns one incident; ErrNotFound when there is none.
func (s *Store) Incident(ctx context.Context, id string) (Incident, error) {
	i, err := scanIncident(s.db.QueryRowContext(ctx, `SELECT `+incidentColumns+` FROM incidents WHERE id = $1`, id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return Incident{}, fmt.Errorf("incident %s: %w", id, ErrNotFound)
	}
	if err != nil {
		return Incident{}, fmt.Errorf("read the incident: %w", err)
	}
	return i, nil
}

// Incidents returns the incidents that f selects, oldest first.
func (s *Store) Incidents(ctx context.Context, f IncidentFilter) ([]Incident, error) {
	all, err := collect(ctx, s.db, func(rows *sql.Rows) (Incident, error) { return scanIncident(rows.Scan) },
		`SELECT * FROM (SELECT `+incidentColumns+` FROM incidents WHERE ($1 = '' OR stack = $1) AND ($2 = '' OR service = $2)
		AND ($3 = '' OR cause = $3) AND (resolved_at = 0 OR ($4 = 0 AND resolved_at >= $5))
		ORDER BY opened_at DESC, id DESC LIMIT $6) AS newest ORDER BY opened_at, id`,
		f.Stack, f.Service, f.Cause, flag(f.Open), micros(f.Since), limitOrAll(f.Limit))
	if err != nil {
		return nil, fmt.Errorf("list incidents: %w", err)
	}
	return all, nil
}

func scanIncident(scan func(...any) error) (Incident, error) {
	var i Incident
	var opened, resolved int64
	var document string
	err := scan(&i.ID, &i.Stack, &i.Service, &i.Cause, &i.State, &i.Severity, &opened, &resolved, &document)
	i.Opened, i.Resolved, i.Document = moment(opened), moment(resolved), rawJSON(document)
	return i, err
}

// AddEvents appends to the timelines of incidents, all or none, in their order.
func (s *Store) AddEvents(ctx context.Context, events ...Event) error {
	return s.tx(ctx, "add to the timeline", func(tx *sql.Tx) error {
		for _, e := range events {
			if e.ID == "" {
				e.ID = NewID()
			}
			seq, err := next(ctx, tx, "event")
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, `INSERT INTO incident_events (id, seq, incident, at, kind, text, data)
				VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING`,
				e.ID, seq, e.Incident, micros(e.At), e.Kind, e.Text, string(e.Data))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Events returns the timeline of an incident, in the order it was written.
func (s *Store) Events(ctx context.Context, incident string) ([]Event, error) {
	all, err := collect(ctx, s.db, func(rows *sql.Rows) (Event, error) {
		var e Event
		var at int64
		var data string
		err := rows.Scan(&e.ID, &e.Incident, &at, &e.Kind, &e.Text, &data)
		e.At, e.Data = moment(at), rawJSON(data)
		return e, err
	}, `SELECT id, incident, at, kind, text, data FROM incident_events WHERE incident = $1 ORDER BY seq`, incident)
	if err != nil {
		return nil, fmt.Errorf("list the timeline: %w", err)
	}
	return all, nil
}
