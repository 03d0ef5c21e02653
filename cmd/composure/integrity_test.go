package main

import (
	"testing"
	"time"

	"composure/controller/incident"
)

// TestDataChecksOvertaken: an answer that comes after one to a later question says nothing: the checks of a service that was
// well may take longer than those for its incident.
func TestDataChecksOvertaken(t *testing.T) {
	m := &healMemory{}
	over := incident.Incident{ID: "one", Service: "db", State: incident.Mitigated}
	before := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	first, _ := m.data.ask("db", "run 1", before)
	m.data.note(over)
	second, anew := m.data.ask("db", "run 2", before.Add(time.Second))
	if first != "" || second == "" || !anew {
		t.Fatalf("asked for %q, then %q, anew %v", first, second, anew)
	}
	m.data.say("db", answer{about: second, at: before.Add(time.Second), data: incident.DataVerified})
	m.data.say("db", answer{about: first, at: before, data: incident.DataVerified})
	if said := m.Data().Said["db"]; said != incident.DataVerified {
		t.Errorf("of the incident it says %q", said)
	}
}
