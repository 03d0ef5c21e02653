package main

import (
	"strings"
	"testing"
	"time"

	"composure/controller/incident"
	"composure/test/simengine"
)

// holds keeps down what people stop.
func holds(shop string) string {
	return strings.Replace(shop, "name: shop\n", "name: shop\nx-composure: {manual_stop: hold}\n", 1)
}

// TestVirtualHeldOverACrash: a person has stopped one container, which is to stay down; then the engine dies with all the others.
// What the crash has ended comes back, what the person has stopped does not, whether somebody watched or not.
func TestVirtualHeldOverACrash(t *testing.T) {
	for name, watched := range map[string]bool{"watched": true, "while nobody watched": false} {
		t.Run(name, func(t *testing.T) {
			virtually(t, holds(shop), func(w *world) {
				if err := w.sim.ByHand("shop-worker-1", "stop", ""); err != nil {
					t.Fatal(err)
				}
				w.sleep(10 * time.Minute)
				if !watched {
					w.stop()
				}
				w.sim.DaemonDies(5 * time.Minute)
				w.sleep(time.Minute)
				if !watched {
					w.start()
				}
				run := func(service string) bool { return w.sim.Of(service)[0].State.Running }
				w.until(15*time.Minute, "what the crash has ended runs", func() bool { return run("postgres") && run("api") && run("web") })
				w.sleep(time.Hour)
				if run("worker") || w.calls("start shop-worker-1") > 0 {
					t.Error("what a person has stopped was started")
				}
			})
		})
	}
}

// slowToStart runs a test on a stack that holds what people stop, and whose database takes 70 s until others may start.
func slowToStart(t *testing.T, test func(w *world)) {
	slow := strings.Replace(holds(shop), "retries: 3}", "retries: 3, start_period: 10m}", 1)
	virtually(t, slow, func(w *world) {
		w.sim.Behave("postgres", func(simengine.Start) simengine.Behaviour {
			return simengine.Behaviour{Healthy: func(up time.Duration) bool { return up > 70*time.Second }}
		})
		test(w)
	})
}

// TestVirtualHeldOverTwoCrashes: the engine dies a second time while something that it left down the first time still waits for what it
// depends on. That was no stop by hand.
func TestVirtualHeldOverTwoCrashes(t *testing.T) {
	slowToStart(t, func(w *world) {
		w.sim.DaemonDies(20 * time.Second)
		w.sleep(80 * time.Second)
		if w.sim.Runs("shop-api-1") {
			t.Fatal("nothing waits any more")
		}
		w.sim.DaemonDies(20 * time.Second)
		w.until(5*time.Minute, "everything runs", w.well)
	})
}

// TestVirtualBackAtOnce: an engine that dies and is back before anybody was refused is one incident, not one of each service that it left
// down, and a remediator that is started meanwhile knows of it too: what still waits for what it depends on was not stopped by hand.
func TestVirtualBackAtOnce(t *testing.T) {
	for name, restarted := range map[string]bool{"by one process": false, "by two processes": true} {
		t.Run(name, func(t *testing.T) {
			slowToStart(t, func(w *world) {
				w.sim.DaemonDies(100 * time.Millisecond)
				w.sleep(20 * time.Second)
				if restarted {
					w.stop()
					w.start()
				}
				w.until(5*time.Minute, "everything runs", w.well)
				w.sleep(15 * time.Minute)
				if all := w.all(); len(all) != 1 || all[0].Cause != "engine_unreachable" || all[0].State != incident.Resolved {
					t.Errorf("incidents: %s", w.story())
				}
			})
		})
	}
}
