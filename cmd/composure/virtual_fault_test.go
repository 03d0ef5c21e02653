package main

import (
	"context"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"composure/controller/incident"
	"composure/controller/store"
	"composure/test/simengine"
)

// escalations are the announced escalations of a tier.
func (w *world) escalations(tier incident.Tier) int {
	return w.log.count("tier=" + string(tier) + " kind=escalated")
}

func TestVirtualHangingStop(t *testing.T) {
	virtually(t, shop, func(w *world) {
		ill := func(time.Duration) bool { return false }
		w.sim.Now("api", simengine.Behaviour{Healthy: ill, StopTakes: 10 * time.Minute})
		w.until(time.Minute, "the api is being stopped", func() bool { return w.calls("restart shop-api-1") == 1 })
		w.sim.Stop("worker", 1)
		w.until(15*time.Second, "the worker runs again while the api is being stopped", func() bool { return w.sim.Of("worker")[0].State.Running })
		if !w.sim.Of("api")[0].State.Running {
			t.Error("the api has stopped already: the test proves nothing")
		}
		w.until(3*time.Minute, "all runs", w.well)
	})
}

func TestVirtualPaused(t *testing.T) {
	virtually(t, shop, func(w *world) {
		cure := w.sick("api")
		if err := w.mem.SetOverride(w.ctx, store.Override{Stack: w.mem.stack, Service: "api", Kind: store.Pause, Owner: "ops", Created: time.Now()}); err != nil {
			t.Fatal(err)
		}
		w.sleep(time.Hour)
		if calls := w.sim.Calls(); len(calls) > 0 {
			t.Errorf("a paused service was touched: %q", calls)
		}
		if err := w.mem.Store().EndOverride(w.ctx, w.mem.stack, "api", store.Pause, "", "ops", time.Now()); err != nil {
			t.Fatal(err)
		}
		w.until(3*time.Minute, "it is restarted after the pause", func() bool { return w.calls("restart shop-api-1") > 0 })
		cure()
		w.until(5*time.Minute, "it runs", w.well)
	})
}

func TestVirtualRecurrence(t *testing.T) {
	virtually(t, shop, func(w *world) {
		for n := range 2 {
			cure := w.sick("api")
			w.until(3*time.Minute, "a restart", func() bool { return w.calls("restart shop-api-1") == n+1 })
			cure()
			w.until(20*time.Minute, "it is resolved", func() bool { return len(w.open()) == 0 })
			if got := w.escalations(incident.DevOps); got != n {
				t.Errorf("%d escalations after incident %d", got, n+1)
			}
			w.sleep(time.Hour)
		}
		all := w.all()
		if len(all) != 2 || all[1].Recurrence != all[0].ID {
			t.Errorf("the second is not marked as a recurrence")
		}
	})
}

func TestVirtualUnresolved(t *testing.T) {
	patient := strings.Replace(shop, "  api:\n", "  api:\n    x-composure: {remediation: {attempts: 50, backoff: {initial: 5m, factor: 1}}}\n", 1)
	virtually(t, patient, func(w *world) {
		w.sick("api")
		w.sleep(29 * time.Minute)
		if w.escalations(incident.DevOps) > 0 {
			t.Error("people were called early")
		}
		w.sleep(3 * time.Minute)
		if n := w.escalations(incident.DevOps); n != 1 {
			t.Errorf("%d escalations after 30 minutes", n)
		}
	})
}

func TestVirtualOutage(t *testing.T) {
	virtually(t, shop, func(w *world) {
		fails := func(simengine.Start) simengine.Behaviour {
			return simengine.Behaviour{ExitAfter: time.Second, ExitCode: 3}
		}
		for _, service := range []string{"postgres", "api", "web", "worker"} {
			w.sim.Behave(service, fails)
			w.sim.Crash(service, 3)
		}
		w.sleep(55 * time.Minute)
		if n := w.escalations(incident.Emergency); n != 0 {
			t.Errorf("the emergency tier was called early")
		}
		w.sleep(time.Hour)
		if n := w.escalations(incident.Emergency); n != 1 {
			t.Errorf("the emergency tier was called %d times", n)
		}
		for _, service := range []string{"postgres", "api", "web", "worker"} {
			w.sim.Behave(service, func(simengine.Start) simengine.Behaviour { return simengine.Behaviour{} })
		}
		w.until(3*time.Hour, "all runs again", w.well)
		w.until(15*time.Minute, "all is resolved", func() bool { return len(w.open()) == 0 })
	})
}

func TestVirtualCrashLoop(t *testing.T) {
	virtually(t, shop, func(w *world) {
		w.sim.Behave("api", func(simengine.Start) simengine.Behaviour {
			return simengine.Behaviour{ExitAfter: time.Second, ExitCode: 3, Log: "Traceback"}
		})
		w.sim.Crash("api", 3)
		w.until(10*time.Minute, "people are called", func() bool { return w.escalations(incident.DevOps) == 1 })
		if n := w.rungs("api"); n != 3 {
			t.Errorf("%d attempts", n)
		}
		if all := w.all(); len(all) != 1 || all[0].Service != "api" {
			t.Errorf("more than one incident")
		}
		w.sim.Behave("api", func(simengine.Start) simengine.Behaviour { return simengine.Behaviour{} })
		w.until(40*time.Minute, "all runs", w.well)
		w.until(15*time.Minute, "all is resolved", func() bool { return len(w.open()) == 0 })
	})
}

func TestVirtualPortConflict(t *testing.T) {
	virtually(t, shop, func(w *world) {
		taken := "driver failed programming external connectivity on endpoint shop-web-1: Bind for 0.0.0.0:8080 failed: port is already allocated"
		w.sim.Behave("web", func(simengine.Start) simengine.Behaviour { return simengine.Behaviour{StartError: taken} })
		w.sim.Stop("web", 1)
		w.sleep(10 * time.Minute)
		w.sim.Behave("web", func(simengine.Start) simengine.Behaviour { return simengine.Behaviour{} })
		w.until(40*time.Minute, "all runs", w.well)
		w.until(15*time.Minute, "all is resolved", func() bool { return len(w.open()) == 0 })
		if all := w.all(); len(all) != 1 || all[0].Cause != "port_conflict" {
			t.Errorf("not a port conflict")
		}
	})
}

func TestVirtualOOM(t *testing.T) {
	raised := strings.Replace(shop, "  web:\n", "  web:\n    mem_limit: 64m\n    x-composure: {memory: {raise_to: 256m}}\n", 1)
	virtually(t, raised, func(w *world) {
		w.sim.Behave("web", func(simengine.Start) simengine.Behaviour {
			if w.sim.MemoryOf("web") >= 200<<20 {
				return simengine.Behaviour{}
			}
			return simengine.Behaviour{ExitAfter: 20 * time.Second, OOM: true}
		})
		w.sim.OOM("web")
		w.until(20*time.Minute, "the limit is raised", func() bool { return w.sim.Of("web")[0].HostConfig.Memory >= 128<<20 })
		w.until(60*time.Minute, "it is well and resolved", func() bool { return w.well() && len(w.open()) == 0 })
		if w.sim.Of("web")[0].HostConfig.Memory > 256<<20 {
			t.Error("raised beyond the policy")
		}
	})
}

// TestVirtualOOMRepaired: the kernel kills once for memory and the engine's restart policy repairs it. That is an incident,
// with evidence, and nothing is done. When it comes back within a day, people are called.
func TestVirtualOOMRepaired(t *testing.T) {
	virtually(t, shop, func(w *world) {
		w.sim.OOM("web")
		w.until(time.Minute, "it is an incident, and mitigated", func() bool {
			all := w.all()
			return len(all) == 1 && all[0].Cause == "memory_exhaustion" && all[0].State == incident.Mitigated
		})
		w.until(12*time.Minute, "it is resolved", func() bool { return len(w.open()) == 0 })
		first := w.all()[0]
		if first.Began.After(first.Detected) || first.MitigatedAt.Before(first.Began) || first.Detected.Sub(first.Began) > time.Second {
			t.Errorf("began %s, detected %s, mitigated %s", first.Began, first.Detected, first.MitigatedAt)
		}
		kept, err := w.mem.Store().EvidenceOf(w.ctx, first.ID)
		if err != nil || len(kept) != 1 {
			t.Errorf("%d pieces of evidence, %v", len(kept), err)
		}
		if n := w.escalations(incident.DevOps); n != 0 || w.rungs("web") != 0 {
			t.Errorf("%d calls for what the engine repaired, %d rungs", n, w.rungs("web"))
		}
		w.sleep(20 * time.Hour)
		w.sim.OOM("web")
		w.until(15*time.Minute, "it is resolved again", func() bool { return len(w.all()) == 2 && len(w.open()) == 0 })
		if all := w.all(); all[1].Recurrence != first.ID || w.escalations(incident.DevOps) != 1 {
			t.Errorf("the recurrence was not escalated: %d calls", w.escalations(incident.DevOps))
		}
		if calls := w.sim.Calls(); len(calls) > 0 {
			t.Errorf("the engine had repaired it: %q", calls)
		}
	})
}

// TestVirtualOOMAgain: killed again before the incident is over, it is the same incident, and people are called.
func TestVirtualOOMAgain(t *testing.T) {
	virtually(t, shop, func(w *world) {
		for range 3 {
			w.sim.OOM("web")
			w.sleep(5 * time.Minute)
		}
		if all := w.all(); len(all) != 1 || all[0].Repaired != 3 || w.escalations(incident.DevOps) != 1 {
			t.Errorf("expected one incident and one call: %d", w.escalations(incident.DevOps))
		}
		w.until(12*time.Minute, "it is resolved", func() bool { return len(w.open()) == 0 })
		if calls := w.sim.Calls(); len(calls) > 0 {
			t.Errorf("the engine had repaired it: %q", calls)
		}
	})
}

func TestVirtualProbe(t *testing.T) {
	probed := strings.Replace(shop, "  web:\n", "  web:\n    x-composure: {probes: [{name: front, http: {url: 'http://front.internal/'}, interval: 10s, failures: 3}]}\n", 1)
	virtually(t, probed, func(w *world) {
		answer := func(status int) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.answers = func(string) int { return status }
		}
		answer(500)
		w.sleep(19 * time.Second)
		answer(200)
		w.sleep(2 * time.Minute)
		if calls := w.sim.Calls(); len(calls) > 0 {
			t.Errorf("two failed probes were acted on: %q", calls)
		}
		answer(500)
		w.until(time.Minute, "a restart", func() bool { return w.calls("restart shop-web-1") == 1 })
		answer(200)
		w.until(15*time.Minute, "all is resolved", func() bool { return w.well() && len(w.open()) == 0 })
		if all := w.all(); len(all) != 1 || !slices.Equal(all[0].Impact.Endpoints, []string{"http://front.internal/"}) {
			t.Errorf("the affected endpoint is not named")
		}
	})
}

// TestVirtualProbeNotHelped: a restart after which the probe fails on has mitigated nothing, also as long as that is not decided.
func TestVirtualProbeNotHelped(t *testing.T) {
	probed := strings.Replace(shop, "  web:\n", "  web:\n    x-composure: {probes: [{name: front, http: {url: 'http://front.internal/'}, interval: 30s, failures: 3}]}\n", 1)
	virtually(t, probed, func(w *world) {
		w.mu.Lock()
		w.answers = func(string) int {
			if w.calls("create shop-web-1") == 0 {
				return 500
			}
			return 200
		}
		w.mu.Unlock()
		w.until(15*time.Minute, "a hard restart", func() bool { return w.calls("create shop-web-1") == 1 })
		w.until(15*time.Minute, "all is resolved", func() bool { return w.well() && len(w.open()) == 0 })
		var mitigated int
		for _, e := range w.all()[0].Timeline {
			if e.Kind == "mitigated" {
				mitigated++
			}
		}
		if len(w.all()) != 1 || mitigated != 1 {
			t.Errorf("mitigated %d times:\n%s", mitigated, w.story())
		}
	})
}

func TestVirtualFaults(t *testing.T) {
	kinds := map[string]simengine.Fault{
		"error": {Kind: simengine.Error, From: 1, To: 2},
		"drop":  {Kind: simengine.Drop, From: 1, To: 1},
		"late":  {Kind: simengine.Late, From: 1, To: 1, Late: 100 * time.Second},
	}
	for kind, fault := range kinds {
		for _, op := range []string{"restart", "create", "update", "rename", "kill", "start", "stop"} {
			t.Run(kind+" "+op, func(t *testing.T) {
				virtually(t, shop, func(w *world) {
					fault.Method, fault.Path = "POST", regexp.MustCompile("/containers/(.*/)?"+op+"$")
					w.sim.Fault(fault)
					cure := w.sick("api")
					w.until(15*time.Minute, "three attempts", func() bool { return w.rungs("api") == 3 })
					cure()
					w.until(90*time.Minute, "it runs well, once", w.well)
					w.until(20*time.Minute, "it is resolved", func() bool { return len(w.open()) == 0 })
				})
			})
		}
	}
}

// TestVirtualLongFault: the engine refuses one call for so long that every quick retry is used up, then works again.
func TestVirtualLongFault(t *testing.T) {
	for _, op := range []string{"create", "rename", "update", "start", "stop", "kill"} {
		t.Run(op, func(t *testing.T) {
			virtually(t, shop, func(w *world) {
				w.sim.Remove("worker")
				cure := w.sick("api")
				w.until(5*time.Minute, "a graceful restart", func() bool { return w.calls("restart shop-api-1") == 1 })
				fixed := w.sim.FaultFor(40*time.Minute, "POST", "/containers/(.*/)?"+op+"$")
				w.sleep(35 * time.Minute)
				cure()
				w.sleep(6 * time.Minute)
				fixed()
				w.until(90*time.Minute, "all runs", w.well)
				w.until(20*time.Minute, "it is resolved", func() bool { return len(w.open()) == 0 })
			})
		})
	}
}

// TestVirtualCannotBeMade: a container that was removed cannot be made again; people are called, and once it can be it is.
func TestVirtualCannotBeMade(t *testing.T) {
	virtually(t, shop, func(w *world) {
		fixed := w.sim.FaultFor(5*time.Hour, "POST", "/containers/create$")
		w.sim.Remove("worker")
		w.sleep(time.Hour)
		if n := w.escalations(incident.DevOps); n != 1 {
			t.Errorf("people were called %d times", n)
		}
		fixed()
		w.until(150*time.Minute, "all runs", w.well)
		w.until(20*time.Minute, "it is resolved", func() bool { return len(w.open()) == 0 })
	})
}

// TestVirtualToldToEndAtOnce: a remediator that is told to end before its first look ends in good order.
func TestVirtualToldToEndAtOnce(t *testing.T) {
	virtually(t, shop, func(w *world) {
		w.stop()
		ctx, cancel := context.WithCancel(w.ctx)
		r, err := w.app.remediate(ctx, slog.New(w.log))
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := r.run(ctx, time.Minute, nil); err != nil {
			t.Errorf("it ended with: %v", err)
		}
	})
}

// TestVirtualLateRecurrence: who wants to hear of what comes back within a week has it looked back for as long.
func TestVirtualLateRecurrence(t *testing.T) {
	week := strings.Replace(shop, "name: shop\n", "name: shop\nx-composure: {escalation: {recurrence: 168h}}\n", 1)
	virtually(t, week, func(w *world) {
		for n := range 2 {
			cure := w.sick("api")
			w.until(3*time.Minute, "a restart", func() bool { return w.calls("restart shop-api-1") == n+1 })
			cure()
			w.until(20*time.Minute, "it is resolved", func() bool { return len(w.open()) == 0 })
			w.stop() // nobody looks for days, which is less to do
			w.sleep(60 * time.Hour)
			w.start()
			w.sleep(time.Minute)
		}
		if all := w.all(); len(all) != 2 || all[1].Recurrence != all[0].ID || w.escalations(incident.DevOps) != 1 {
			t.Errorf("the second is not told as a recurrence")
		}
	})
}
