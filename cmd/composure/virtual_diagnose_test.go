package main

import (
	"bytes"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"composure/test/simengine"
)

// someone is a command of somebody else on the same stack.
func (w *world) someone() *app {
	by := *w.app
	by.logLevel, by.logFormat = "error", "text"
	return &by
}

// diagnosed is what `composure diagnose` says, and its exit status.
func (w *world) diagnosed(services ...string) (code int, out string) {
	w.t.Helper()
	by, text := w.someone(), &bytes.Buffer{}
	by.stdout = text
	switch err := by.diagnose(w.ctx, "text", services, false).(type) {
	case nil:
	case status:
		code = int(err)
	default:
		w.t.Fatal(err)
	}
	return code, text.String()
}

// wantDiagnosis fails the test unless the diagnosis by hand finds something and says each of the texts.
func (w *world) wantDiagnosis(texts ...string) {
	w.t.Helper()
	code, out := w.diagnosed()
	if code != exitFinding {
		w.t.Errorf("exit %d, want %d", code, exitFinding)
	}
	for _, text := range texts {
		if !strings.Contains(out, text) {
			w.t.Errorf("not said: %q\n%s", text, out)
		}
	}
}

// TestVirtualDiagnoseDeployment: the diagnosis by hand knows what was deployed and what ran well before, as the remediator
// does.
func TestVirtualDiagnoseDeployment(t *testing.T) {
	checked := strings.Replace(shop, "image: sim/web:1\n", "image: sim/web:1\n    healthcheck: {test: [CMD, check], interval: 10s, timeout: 2s, retries: 3}\n", 1)
	virtually(t, checked, func(w *world) {
		w.sleep(12 * time.Minute) // the first version is proven
		w.stop()
		w.sim.Behave("web", func(s simengine.Start) simengine.Behaviour {
			if s.Image == w.sim.IDOf("sim/worker:1") {
				return simengine.Behaviour{Healthy: func(up time.Duration) bool { return up < 3*time.Minute }}
			}
			return simengine.Behaviour{}
		})
		if err := os.WriteFile(w.app.files[0], []byte(strings.Replace(checked, "image: sim/web:1", "image: sim/worker:1", 1)), 0o600); err != nil {
			w.t.Fatal(err)
		}
		if err := w.someone().reconcileOnce(w.ctx, reconcileFlags{timeout: 10 * time.Minute, format: "text"}, nil); err != nil {
			w.t.Fatal(err)
		}
		if code, out := w.diagnosed(); code != 0 || !strings.Contains(out, "all of them well") {
			w.t.Errorf("a new version that runs well: exit %d, %s", code, out)
		}
		w.sleep(5 * time.Minute)
		w.wantDiagnosis("bad_deployment", "ran well", "remedies: rollback")
		calls := len(w.sim.Calls())
		w.diagnosed("web")
		if len(w.sim.Calls()) != calls {
			w.t.Errorf("a diagnosis changed something: %q", w.sim.Calls()[calls:])
		}
	})
}

// TestVirtualDiagnoseData: the diagnosis by hand holds the rows against the baseline.
func TestVirtualDiagnoseData(t *testing.T) {
	virtuallyCounted(t, func(w *world, rows *atomic.Int64) {
		w.stop()
		if code, out := w.diagnosed(); code != 0 {
			w.t.Errorf("all rows are there: exit %d, %s", code, out)
		}
		rows.Store(3)
		w.wantDiagnosis("cause: data_loss (critical)", "orders")
	})
}

// TestVirtualDiagnoseWithoutStore: a store that cannot be read is said, and the ill are diagnosed all the same.
func TestVirtualDiagnoseWithoutStore(t *testing.T) {
	virtually(t, shop, func(w *world) {
		w.stop()
		w.sim.Behave("worker", func(simengine.Start) simengine.Behaviour {
			return simengine.Behaviour{ExitAfter: time.Second, ExitCode: 3}
		})
		w.sim.Stop("worker", 3)
		elsewhere := *w.app
		w.app = &elsewhere
		w.app.stateDir = t.TempDir()
		w.wantDiagnosis("worker: ")
		if err := os.WriteFile(w.app.stateDir+"/composure.db", []byte("this is no database, and it is long enough to be looked at as one"), 0o600); err != nil {
			w.t.Fatal(err)
		}
		code, out := w.diagnosed()
		if code != exitError || !strings.Contains(out, "worker: ") || !strings.Contains(out, "could not be observed: what is on record") {
			w.t.Errorf("exit %d:\n%s", code, out)
		}
	})
}
