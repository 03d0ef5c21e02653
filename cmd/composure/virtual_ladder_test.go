package main

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"

	"composure/controller/incident"
	"composure/test/simengine"
)

// sick makes the healthcheck of a service fail from now on, in every run of it, until it is cured.
func (w *world) sick(service string) (cure func()) {
	var well atomic.Bool
	health := func(time.Duration) bool { return well.Load() }
	w.sim.Behave(service, func(simengine.Start) simengine.Behaviour { return simengine.Behaviour{Healthy: health} })
	w.sim.Now(service, simengine.Behaviour{Healthy: health})
	return func() { well.Store(true) }
}

// rungs counts the attempts of the ladder on a service.
func (w *world) rungs(service string) int {
	attempts, err := w.mem.Attempts(w.ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	n := 0
	for _, a := range attempts {
		if a.Service == service && a.Counts {
			n++
		}
	}
	return n
}

func TestVirtualHiccup(t *testing.T) {
	virtually(t, shop, func(w *world) {
		cure := w.sick("api")
		w.sleep(15 * time.Second)
		cure()
		w.sleep(10 * time.Minute)
		if calls := w.sim.Calls(); len(calls) > 0 || len(w.all()) > 0 {
			t.Errorf("a short hiccup was acted on: %q", calls)
		}
	})
}

// TestVirtualLadder follows one illness that nothing helps against, from the first rung to the half-open tries, and back.
func TestVirtualLadder(t *testing.T) {
	virtually(t, shop, func(w *world) {
		cure := w.sick("api")
		w.until(5*time.Minute, "a graceful restart", func() bool { return w.calls("restart shop-api-1") == 1 })
		w.until(5*time.Minute, "a hard restart", func() bool { return w.calls("kill shop-api-1") == 1 })
		w.until(10*time.Minute, "people are called", func() bool { return w.log.count("people are called") > 0 })
		if n := w.rungs("api"); n != 3 {
			t.Errorf("%d attempts before people were called", n)
		}
		spent := time.Now()
		w.until(40*time.Minute, "one half-open try", func() bool { return w.rungs("api") == 4 })
		if waited := time.Since(spent); waited < 25*time.Minute {
			t.Errorf("tried again after %s", waited)
		}
		spent = time.Now()
		w.until(70*time.Minute, "a second half-open try", func() bool { return w.rungs("api") == 5 })
		if waited := time.Since(spent); waited < 55*time.Minute {
			t.Errorf("tried again after %s", waited)
		}
		cure()
		w.until(5*time.Minute, "it runs", w.well)
		w.until(15*time.Minute, "the budget is whole again", func() bool { return w.rungs("api") == 0 && len(w.open()) == 0 })
		if n := len(w.all()); n != 1 || w.log.count("kind=escalated") != 1 {
			t.Errorf("%d incidents, %d escalations", n, w.log.count("kind=escalated"))
		}
	})
}

func TestVirtualRestartForgetsNothing(t *testing.T) {
	virtually(t, shop, func(w *world) {
		w.sick("api")
		for n := range 40 {
			w.sleep(time.Duration(20+n) * time.Second)
			w.stop()
			w.start()
		}
		if n := w.rungs("api"); n != 3 {
			t.Errorf("%d attempts over 40 restarts of the remediator", n)
		}
		if n := w.log.count("kind=escalated"); n != 1 || len(w.all()) != 1 {
			t.Errorf("%d escalations, %d incidents", n, len(w.all()))
		}
	})
}

func TestVirtualSlowStart(t *testing.T) {
	slow := strings.Replace(shop, "image: sim/api:1\n", "image: sim/api:1\n    labels: {slow: yes}\n", 1)
	slow = strings.Replace(slow, "timeout: 2s, retries: 3}\n  web", "timeout: 2s, retries: 3, start_period: 10m}\n  web", 1)
	virtually(t, slow, func(w *world) {
		w.sim.Behave("api", func(simengine.Start) simengine.Behaviour {
			return simengine.Behaviour{Healthy: func(up time.Duration) bool { return up > 8*time.Minute }}
		})
		w.sim.Crash("api", 1)
		w.sleep(9 * time.Minute)
		if !w.well() || w.calls("api") > 0 {
			t.Errorf("a slow start was not waited for: %q", w.sim.Calls())
		}
	})
}

func TestVirtualDependencyMasks(t *testing.T) {
	virtually(t, shop, func(w *world) {
		ill := func(time.Duration) bool { return w.databaseUp.Load() }
		w.databaseUp.Store(true)
		w.sim.Now("api", simengine.Behaviour{Healthy: ill})
		w.databaseUp.Store(false)
		w.sim.Stop("postgres", 0)
		w.sim.Behave("postgres", func(simengine.Start) simengine.Behaviour { w.databaseUp.Store(true); return simengine.Behaviour{} })
		w.until(3*time.Minute, "postgres runs", w.well)
		w.sleep(5 * time.Minute)
		if calls := w.sim.Calls(); len(calls) != 1 || calls[0] != "start shop-postgres-1" {
			t.Errorf("got %q", calls)
		}
		if all := w.all(); len(all) != 1 || all[0].Service != "postgres" {
			t.Errorf("incidents: %s", w.story())
		}
	})
}

func TestVirtualEngineOutage(t *testing.T) {
	for name, away := range map[string]func(*simengine.Engine){
		"crash":   func(e *simengine.Engine) { e.DaemonDies(5 * time.Minute) },
		"restart": func(e *simengine.Engine) { e.DaemonRestarts(5 * time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, shop, func(w *world) {
				away(w.sim)
				w.sleep(5 * time.Minute)
				w.until(3*time.Minute, "everything runs", w.well)
				w.sleep(20 * time.Minute)
				if all := w.all(); len(all) != 1 || all[0].Cause != "engine_unreachable" || all[0].State != incident.Resolved {
					t.Errorf("incidents: %s", w.story())
				}
				if n := w.calls("migrate"); n > 0 {
					t.Errorf("the completed one-shot was run again")
				}
				if w.rungs("postgres")+w.rungs("api")+w.rungs("web") > 0 {
					t.Error("the outage cost the budget of a service")
				}
			})
		})
	}
}

// TestVirtualRepairsForgiven: a container that runs for weeks is changed by hand now and then, and repaired. Each of it has
// helped: the next two within minutes are repaired as well, and nobody is called.
func TestVirtualRepairsForgiven(t *testing.T) {
	virtually(t, shop, func(w *world) {
		change := func(pause time.Duration) {
			before := w.calls("update shop-worker-1")
			if err := w.sim.ByHand("shop-worker-1", "policy", "no"); err != nil {
				t.Fatal(err)
			}
			w.until(70*time.Second, "it is repaired", func() bool { return w.calls("update shop-worker-1") > before })
			w.sleep(pause)
		}
		for range 8 {
			change(time.Hour)
		}
		change(time.Minute)
		change(time.Minute)
		if held := w.plan().Held; len(held) > 0 {
			t.Errorf("held: %v", held)
		}
	})
}

// TestVirtualHeldDown: a person has stopped what shares the network of another service, and the policy says hold. That the other one
// is made anew does not start it.
func TestVirtualHeldDown(t *testing.T) {
	hold := strings.Replace(shop, "name: shop\n", "name: shop\nx-composure: {manual_stop: hold}\n", 1)
	hold = strings.Replace(hold, "  worker:\n", "  side:\n    image: sim/side:1\n    restart: unless-stopped\n    network_mode: service:web\n  worker:\n", 1)
	virtuallyWith(t, hold, func(w *world) { w.sim.Image("sim/side:1", dockerspec.DockerOCIImageConfig{}) }, func(w *world) {
		if err := w.sim.ByHand("shop-side-1", "stop", ""); err != nil {
			t.Fatal(err)
		}
		w.sleep(5 * time.Minute)
		w.command("restart", "web", "--hard")
		w.sleep(10 * time.Minute)
		if w.sim.Runs("shop-side-1") || w.calls("create shop-side-1") > 0 {
			t.Errorf("what a person has stopped was started: %q", w.sim.Calls())
		}
		w.command("reconcile", "--once")
		if !w.sim.Runs("shop-side-1") {
			t.Error("the way out that is named does not start it")
		}
	})
}

// TestVirtualUnweighed: the engine does not say how much a container has written outside its volumes: it is not made anew, which would
// drop it, and people are called. An engine that takes seconds to say it is waited for, with that rung and with no other.
func TestVirtualUnweighed(t *testing.T) {
	for _, c := range []struct {
		name    string
		trouble simengine.Trouble
		anew    bool
	}{
		{"unknown", simengine.Trouble{Kind: simengine.Error}, false},
		{"slow", simengine.Trouble{Delay: 4 * time.Second}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			virtually(t, shop, func(w *world) {
				w.sim.TroubleBy(func(r *http.Request, _ string) simengine.Trouble {
					if r.URL.Query().Get("size") != "" {
						return c.trouble
					}
					return simengine.Trouble{}
				})
				cure := w.sick("api")
				w.until(time.Minute, "it is restarted gracefully", func() bool { return w.calls("restart shop-api-1") == 1 })
				w.until(10*time.Minute, "people are called", func() bool { return w.escalations(incident.DevOps) == 1 })
				if anew := w.calls("kill shop-api-1") > 0; anew != c.anew {
					t.Errorf("made anew: %t, want %t", anew, c.anew)
				}
				cure()
				w.until(time.Hour, "all is well", w.well)
			})
		})
	}
}
