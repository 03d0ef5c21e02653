package controller

import (
	"context"
	"time"

	"composure/controller/observe"
)

// weight is what is known of the writable layer of a container, in one run of it.
type weight struct {
	run     string    // when that began, as the engine writes it
	at      time.Time // when the engine has answered
	pending bool
	known   bool
	bytes   int64
}

// weigh measures in the background what the containers of a service have written outside its volumes, which a recreation drops:
// once a run, and again after a while when the engine did not say. The more it is the longer that takes, and only what would drop
// it waits for the answer.
func (c *Controller) weigh(ctx context.Context, p *Pass, service string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range p.Snapshot.Of(service) {
		run, last := one.Inspect.State.StartedAt, c.heal.weights[one.ID]
		if last.pending || last.run == run && (last.known || p.Snapshot.At.Sub(last.at) < stale) {
			continue
		}
		c.heal.weights[one.ID] = weight{run: run, pending: true}
		c.jobs.Go(func() {
			ctx, cancel := c.untilOver(ctx)
			defer cancel()
			bytes, err := c.heal.WritableSize(ctx, one.ID)
			c.mu.Lock()
			c.heal.weights[one.ID] = weight{run: run, at: time.Now(), known: err == nil, bytes: bytes}
			c.mu.Unlock()
			c.Trigger()
		})
	}
}

// written is what is known of the writable layers, by container id, and which of them are being measured. Containers that are gone
// are forgotten.
func (c *Controller) written(s *observe.Snapshot) (bytes map[string]int64, weighing map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	bytes, weighing = map[string]int64{}, map[string]bool{}
	there := map[string]weight{}
	for _, one := range s.Containers {
		w, asked := c.heal.weights[one.ID]
		switch {
		case !asked:
			continue
		case w.pending:
			weighing[one.ID] = true
		case w.known:
			bytes[one.ID] = w.bytes
		}
		there[one.ID] = w
	}
	c.heal.weights = there
	return bytes, weighing
}
