package controller

import (
	"context"
	"time"
)

// Resync is how long the one-shot waits for an event before it looks again anyway: events are hints and can be lost.
const Resync = time.Second

// Once makes passes until the stack is converged, nothing can go on by itself, or ctx is over. It returns the last
// pass; whether that is converged is Plan.Settled. Jobs in flight are waited for, also when ctx is over: a job is
// never left half done because of a timeout.
func (c *Controller) Once(ctx context.Context) (Pass, error) {
	watch, stop := context.WithCancel(ctx)
	defer stop()
	go c.watch(watch, c.Stack.Name)
	work := context.WithoutCancel(ctx)
	c.over = ctx.Done()
	defer c.jobs.Wait()
	for {
		began := time.Now()
		c.caughtUp()
		p, err := c.pass(work)
		if err != nil {
			return p, err
		}
		if p.InFlight == 0 && (p.Plan.Settled() || p.Plan.Stuck()) {
			return p, nil
		}
		breathe(ctx, p, time.Since(began))
		if err := c.sleep(ctx, p); err != nil {
			c.jobs.Wait()
			last, lookErr := c.Look(work)
			if lookErr != nil {
				return p, lookErr
			}
			return last, err
		}
	}
}
