package sim

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"

	"composure/controller/engine"
	"composure/spec"
)

// step is how long docker compose takes between two of its calls.
const step = 200 * time.Millisecond

// deploy has a person deploy the file with docker compose: what is another one than the file says is made anew, by the steps that
// docker compose takes. What goes wrong ends it, as it does there, and the person tries again.
func (w *world) deploy() {
	w.running.Go(func() {
		for range 20 {
			err := w.compose()
			if err == nil || w.ctx.Err() != nil {
				return
			}
			w.noted(err)
			w.pause(w.ctx, 10*time.Second)
		}
	})
}

// compose is `docker compose up`.
func (w *world) compose() error {
	ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
	defer cancel()
	line := w.sim.Line(hand)
	e, err := engine.Connect(ctx, engine.Options{Host: engineHost, Dial: line.Dial, Wrap: line.Answer, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	stack := w.check.now()
	for _, svc := range stack.Services {
		for n := range svc.Replicas {
			if err == nil {
				err = w.renew(ctx, e, stack, svc, n+1)
			}
		}
		if err == nil {
			w.scaleDown(ctx, stack, svc)
		}
	}
	w.must(e.Close())
	return err
}

// scaleDown removes the containers of a service beyond its replicas, whoever needs them.
func (w *world) scaleDown(ctx context.Context, stack *spec.Stack, svc *spec.Service) {
	var names []string
	for n := range svc.Replicas {
		if made, err := stack.Container(svc, n+1, spec.Facts{}); err == nil {
			names = append(names, made.Name)
		}
	}
	for _, i := range w.sim.Of(svc.Name) {
		if name := strings.TrimPrefix(i.Name, "/"); !slices.Contains(names, name) {
			w.pause(ctx, step)
			w.check.touchedByHand(name, "remove")
			w.noted(w.sim.ByHand(name, "remove", ""))
		}
	}
}

// renew makes one container anew, or for the first time.
func (w *world) renew(ctx context.Context, e *engine.Engine, stack *spec.Stack, svc *spec.Service, number int) error {
	image, err := e.Image(ctx, svc.Image)
	if err != nil {
		return err
	}
	made, err := stack.Container(svc, number, spec.Facts{ImageID: image.ID})
	if err != nil {
		return err
	}
	old, there := w.called(svc.Name, "/"+made.Name)
	begun, half := w.called(svc.Name, "_"+made.Name)
	if there && !half && slices.Contains(made.Hashes, old.Config.Labels[spec.LabelConfigHash]) {
		return nil
	}
	name := made.Name
	switch {
	case half:
		name = strings.TrimPrefix(begun.Name, "/")
	case there:
		name = old.ID[:12] + "_" + made.Name
		made.Config.Labels[spec.LabelReplace] = made.Name
	}
	if !half {
		if _, err := e.CreateContainer(ctx, name, made); err != nil {
			return err
		}
	}
	then := func(name, what, argument string) {
		if err == nil {
			w.pause(ctx, step)
			w.check.touchedByHand(name, what)
			err = cmp.Or(ctx.Err(), w.sim.ByHand(name, what, argument))
		}
	}
	if there {
		if old.State.Running {
			then(made.Name, "stop", "")
		}
		then(made.Name, "remove", "")
	}
	if name != made.Name {
		then(name, "rename", made.Name)
	}
	then(made.Name, "start", "")
	return err
}

// called is the container of a service whose name ends so.
func (w *world) called(service, name string) (container.InspectResponse, bool) {
	for _, i := range w.sim.Of(service) {
		if strings.HasSuffix(i.Name, name) {
			return i, true
		}
	}
	return container.InspectResponse{}, false
}
