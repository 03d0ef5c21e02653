package main

import (
	"testing"
	"time"
)

// command runs a command as a person at a terminal beside the remediator, and wants it to work.
func (w *world) command(args ...string) {
	w.t.Helper()
	root := newRoot(w.someone())
	root.SetArgs(append([]string{"-f", w.app.files[0], "--state-dir", w.app.stateDir, "-H", w.app.host}, args...))
	if err := root.ExecuteContext(w.ctx); err != nil {
		w.t.Fatalf("composure %q: %v", args, err)
	}
}

// TestVirtualPausedAtOnce: a pause holds from the moment at which it was recorded, not only from the next look on.
func TestVirtualPausedAtOnce(t *testing.T) {
	virtually(t, shop, func(w *world) {
		w.command("pause", "worker", "--reason", "a migration")
		w.sim.Remove("worker")
		w.sleep(time.Hour)
		if calls := w.sim.Calls(); len(calls) > 0 {
			t.Errorf("touched although it is paused: %q", calls)
		}
		w.command("resume", "worker")
		w.until(2*time.Minute, "it runs again", w.well)
	})
}

// TestVirtualPausedInBackoff: who pauses the stack a moment before the next try has prevented it.
func TestVirtualPausedInBackoff(t *testing.T) {
	virtually(t, shop, func(w *world) {
		w.sick("api")
		w.until(5*time.Minute, "two attempts, and a backoff", func() bool { return w.rungs("api") == 2 && time.Until(w.plan().Wake()) > 5*time.Second })
		w.sleep(time.Until(w.plan().Wake()) - time.Second)
		tried := w.rungs("api")
		w.command("pause")
		w.sleep(time.Hour)
		if n := w.rungs("api"); n != tried {
			t.Errorf("%d attempts although it was paused after %d", n, tried)
		}
	})
}
