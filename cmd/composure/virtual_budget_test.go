package main

import (
	"testing"
	"time"

	"composure/controller/store"
	"composure/test/simengine"
)

// TestVirtualFlapping: a service that is well for two minutes and ill for two is never stable: it does not get its budget
// back because its last start is long ago.
func TestVirtualFlapping(t *testing.T) {
	virtually(t, shop, func(w *world) {
		began := time.Now()
		health := func(time.Duration) bool { return time.Since(began)%(4*time.Minute) < 2*time.Minute }
		w.sim.Behave("api", func(simengine.Start) simengine.Behaviour { return simengine.Behaviour{Healthy: health} })
		w.sim.Now("api", simengine.Behaviour{Healthy: health})
		w.sleep(3 * time.Hour)
		tries := w.log.count("act job=api 1 kind=graceful") + w.log.count("act job=api 1 kind=hard")
		if most := 3 + 2; tries < 3 || tries > most { // the budget, and half-open tries after half an hour and one more
			t.Errorf("%d attempts, at most %d are allowed", tries, most)
		}
	})
}

// TestVirtualAttemptsAreClosed: what was tried before a service was stable is closed, and goes with its time.
func TestVirtualAttemptsAreClosed(t *testing.T) {
	virtually(t, shop, func(w *world) {
		cure := w.sick("api")
		w.until(3*time.Minute, "a restart", func() bool { return w.calls("restart shop-api-1") == 1 })
		cure()
		w.until(20*time.Minute, "it is resolved", func() bool { return len(w.open()) == 0 })
		w.sleep(time.Minute)
		open, err := w.mem.OpenAttempts(w.ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range open {
			if a.Service != "" {
				t.Errorf("never closed: %s of %s, begun %s", a.Operation, a.Service, a.StartedAt)
			}
		}
		if _, err := w.mem.Store().Prune(w.ctx, store.DefaultRetention(), time.Now().Add(100*24*time.Hour)); err != nil {
			t.Fatal(err)
		}
		left, err := w.mem.Store().Attempts(w.ctx, store.AttemptFilter{Stack: w.mem.stack})
		if err != nil || len(left) > 0 {
			t.Errorf("%d attempts are kept for ever, %v", len(left), err)
		}
	})
}
