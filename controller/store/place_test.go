package store

import (
	"testing"
	"time"
)

// testPlaces: which engine is where, and the incident that was opened before it could say so.
func testPlaces(t *testing.T, p place) {
	s := p.open(t)
	_, err := s.EngineAt(t.Context(), "tcp://a:2375")
	is(t, err, ErrNotFound)
	for _, id := range []string{"E1", "E1", "E2"} {
		must(t, s.NoteEngine(t.Context(), "tcp://a:2375", id))
		must(t, s.NoteEngine(t.Context(), "tcp://b:2375", "E3"))
		got, err := p.open(t).EngineAt(t.Context(), "tcp://a:2375")
		must(t, err)
		equal(t, id, got)
	}

	const from, to = "at tcp://a:2375/app", "E2/app"
	must(t, s.SaveIncident(t.Context(), Incident{ID: "i1", Stack: from, Cause: "engine_unreachable", Opened: at, Document: []byte(`{}`)}))
	must(t, s.SaveIncident(t.Context(), Incident{ID: "i0", Stack: from, Cause: "engine_unreachable", Opened: at, Resolved: at, Document: []byte(`{}`)}))
	must(t, s.SaveIncident(t.Context(), Incident{ID: "i2", Stack: from, Cause: "stopped", Opened: at, Document: []byte(`{}`)}))
	_, err = s.Enqueue(t.Context(), Notification{Stack: from, Incident: "i1", Tier: "devops", Kind: "escalated", Payload: []byte("come"), Created: at, Channels: []string{"c"}})
	must(t, err)
	for range 2 { // its answer can be lost
		must(t, s.MoveIncidents(t.Context(), from, to, "engine_unreachable"))
	}
	moved, err := s.Incidents(t.Context(), IncidentFilter{Stack: to})
	must(t, err)
	left, err := s.Incidents(t.Context(), IncidentFilter{Stack: from})
	must(t, err)
	if len(moved) != 1 || moved[0].ID != "i1" || len(left) != 2 {
		t.Errorf("moved %+v, left %+v", moved, left)
	}
	due, err := s.ClaimDue(t.Context(), to, "c", at.Add(time.Hour), time.Minute, 10)
	must(t, err)
	if len(due) != 1 || string(due[0].Payload) != "come" {
		t.Errorf("what is to be delivered did not go with it: %+v", due)
	}
}
