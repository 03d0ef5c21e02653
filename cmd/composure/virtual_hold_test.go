package main

import (
	"strings"
	"testing"
	"time"
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
