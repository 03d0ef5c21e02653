package web

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"composure/controller/view"
)

// TestTidings: what is said aloud names the service and the cause; another reason alone is nothing new.
func TestTidings(t *testing.T) {
	s := trouble()
	s.Down = &noon
	s.Services = append(s.Services, view.Service{Service: "worker", Verdict: "pending", Reason: "it starts"})
	begun := []operation{{ID: "1", Title: "Restart: api", Began: noon}, {ID: "2", Title: "Pause: api", Began: noon, Ended: noon, Good: true}, {ID: "3", Title: "Roll back: api", Began: noon, Ended: noon}}
	got := tidings(shown{Status: s, Operations: begun})
	want := []tiding{
		{"operation 1", "goes on", "Restart: api, goes on", ""},
		{"operation 2", "done", "Pause: api, done", ""},
		{"operation 3", "not done", "Roll back: api, not done", ""},
		{"engine", "down", "The engine does not answer", "The engine answers again"},
		{"service api", "failed app-20261123-115900", "api is not well: healthcheck failing, HTTP 503", "api is well again"},
		{"service worker", "pending ", "Waiting for worker: it starts", "worker is well again"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	s.Services[0].Reason = "HTTP 500"
	if again := tidings(shown{Status: s, Operations: begun}); again[4].State != got[4].State {
		t.Errorf("another reason is told as something new: %q", again[4].State)
	}
}

// TestTally: how the whole is, where that says more than what was said of single services.
func TestTally(t *testing.T) {
	well, ill, unsure := view.Service{Verdict: "recovered"}, view.Service{Verdict: "failed"}, view.Service{Verdict: "pending"}
	for want, s := range map[string]view.Status{
		"1 of 3 services not well":    {Services: []view.Service{ill, unsure, well}},
		"All is well with 2 services": {Services: []view.Service{well, well}},
		"":                            {Services: []view.Service{well, unsure}},
		"The stack has no services":   {},
		"2 of 2 services not well":    {Services: []view.Service{ill, ill}},
	} {
		if got := tally(s); got != want {
			t.Errorf("%q, expected %q", got, want)
		}
	}
	if got := tally(view.Status{Down: &noon, Services: []view.Service{ill}}); got != "" {
		t.Errorf("while the engine is away: %q", got)
	}
}
