package incident

import (
	"testing"
	"time"

	"composure/controller/diagnose"
)

// TestInWindow: a service that is stopped every night in its maintenance window calls nobody, neither because it is down for an
// hour nor because it was the night before. What is still down afterwards does, and lost data do at once.
func TestInWindow(t *testing.T) {
	window := map[string]string{"db": "in its maintenance window until 04:00 UTC"}
	pass := func(open, recent []Incident, at time.Duration, cause string, window map[string]string) Change {
		return Advance(open, recent, Observation{
			Now: start.Add(at), Stack: "shop", Policy: policy, Window: window, Diagnoses: []diagnose.Diagnosis{diagnosis("db", cause)},
		})
	}
	before := Advance(nil, nil, Observation{Now: start.Add(-23 * time.Hour), Stack: "shop", Policy: policy, Diagnoses: []diagnose.Diagnosis{diagnosis("db", "stopped")}}).Changed[0]
	before = Resolve(before, "ops", start.Add(-22*time.Hour)).Changed[0]

	night := pass(nil, []Incident{before}, 0, "stopped", window)
	open := night.Changed
	if len(night.Announce) > 0 || open[0].Recurrence != "" {
		t.Errorf("called for what is done every night: %+v", night.Announce)
	}
	for at := 10 * time.Minute; at <= time.Hour; at += 10 * time.Minute {
		if c := pass(open, nil, at, "stopped", window); len(c.Announce) > 0 {
			t.Fatalf("called in the window, after %s: %s", at, c.Announce[0].Reason)
		}
	}
	if c := pass(open, nil, 40*time.Minute, "data_loss", window); len(c.Announce) != 1 || c.Announce[0].Tier != Emergency {
		t.Error("lost data called nobody")
	}
	if c := pass(open, nil, 61*time.Minute, "stopped", nil); len(c.Announce) != 1 || c.Announce[0].Tier != DevOps {
		t.Error("it is still down after its window, and nobody was called")
	}
}
