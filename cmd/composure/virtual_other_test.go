package main

import (
	"testing"
	"time"

	"composure/test/simengine"
)

// TestVirtualDeploymentOfAnother: a service that falls ill after another one was deployed is not rolled back for it: it was not deployed,
// and what it runs was proven.
func TestVirtualDeploymentOfAnother(t *testing.T) {
	auto := checkedAuto(shop)
	virtually(t, auto, func(w *world) {
		w.sleep(15 * time.Minute) // the first version is proven
		second := w.sim.IDOf("sim/api:1")
		w.sim.Behave("web", func(s simengine.Start) simengine.Behaviour {
			if s.Image == second && s.N < 3 {
				return simengine.Behaviour{Healthy: func(up time.Duration) bool { return up < 30*time.Minute }}
			}
			return simengine.Behaviour{}
		})
		runs := func(service, image string) bool { return w.well() && w.sim.Of(service)[0].Image == w.sim.IDOf(image) }
		w.edit("image: sim/web:1", "image: sim/api:1")
		w.until(2*time.Minute, "the second version runs", func() bool { return runs("web", "sim/api:1") })
		w.sleep(25 * time.Minute) // it is proven too
		w.edit("  worker:\n    image: sim/worker:1", "  worker:\n    image: sim/db:1")
		w.until(2*time.Minute, "the worker is deployed", func() bool { return runs("worker", "sim/db:1") })
		w.until(15*time.Minute, "web falls ill", func() bool { return len(w.all()) > 0 })
		w.sleep(30 * time.Minute)
		if all := w.all(); len(all) == 0 || all[0].Cause == "bad_deployment" || !runs("web", "sim/api:1") {
			t.Errorf("it was put down to the deployment of another service")
		}
	})
}
