package sim

import (
	"log/slog"
	"slices"
	"testing/synctest"
	"time"

	"composure/controller/engine"
	"composure/spec"
	"composure/test/simengine"
)

// hand is from whom the calls of docker compose come, as the simulated engine calls the line.
const hand = ""

// up brings the stack up as docker compose does, before the first remediator starts: each container once what it depends on is as
// it is asked to be. Most stacks run when Composure comes to them.
func (w *world) up() {
	line := w.sim.Line(hand)
	e, err := engine.Connect(w.ctx, engine.Options{Host: engineHost, Dial: line.Dial, Wrap: line.Answer, Logger: slog.New(slog.DiscardHandler)})
	w.must(err)
	defer func() { w.must(e.Close()) }()
	stack := w.check.stack
	for _, n := range stack.Networks {
		w.must(e.CreateNetwork(w.ctx, n))
	}
	for _, v := range stack.Volumes {
		w.must(e.CreateVolume(w.ctx, v))
	}
	for left := slices.Clone(stack.Services); len(left) > 0; {
		everything := w.sim.Everything()
		left = slices.DeleteFunc(left, func(svc *spec.Service) bool {
			if slices.ContainsFunc(svc.DependsOn, func(d spec.Dependency) bool { return !fulfilled(d, everything) }) {
				return false
			}
			image, err := e.Image(w.ctx, svc.Image)
			w.must(err)
			for n := range svc.Replicas {
				made, err := stack.Container(svc, n+1, spec.Facts{ImageID: image.ID})
				w.must(err)
				_, err = e.CreateContainer(w.ctx, made.Name, made)
				w.must(err)
				w.must(w.sim.ByHand(made.Name, "start", ""))
			}
			return true
		})
		time.Sleep(500 * time.Millisecond)
		synctest.Wait() // for what happens at this moment
	}
}

// fulfilled says whether a dependency is as docker compose waits for.
func fulfilled(d spec.Dependency, everything []simengine.Facts) bool {
	return slices.ContainsFunc(everything, func(f simengine.Facts) bool {
		switch {
		case f.Service != d.Service:
			return false
		case d.Condition == "service_completed_successfully":
			return f.Status == "exited" && f.ExitCode == 0
		case d.Condition == "service_healthy":
			return f.Health == "healthy"
		}
		return f.Running
	})
}

// must panics for what cannot fail before anything goes wrong.
func (w *world) must(err error) {
	if err != nil {
		panic(w.Name + ": " + err.Error())
	}
}
