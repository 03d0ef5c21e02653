package view

import (
	"testing"

	"composure/controller/observe"
	"composure/spec"
)

// TestUnknownIsNotMissing: a container that could not be read is neither there nor gone.
func TestUnknownIsNotMissing(t *testing.T) {
	svc := &spec.Service{Name: "api", Replicas: 1}
	in := Input{Stack: &spec.Stack{Name: "app", Services: []*spec.Service{svc}}, Snapshot: &observe.Snapshot{At: noon}}
	if got := StatusOf(in).Services[0]; got.State != "missing" || got.Verdict != "failed" {
		t.Errorf("nothing there: %s, %s", got.State, got.Verdict)
	}
	in.Snapshot.Gaps = []observe.Gap{{Subject: "container app-api-1", Service: "api", Err: "no answer"}}
	if got := StatusOf(in).Services[0]; got.State != "unknown" || got.Verdict != "pending" || got.Beats[59] != "pending" {
		t.Errorf("not read: %s, %s, %s", got.State, got.Verdict, got.Beats[59])
	}
}
