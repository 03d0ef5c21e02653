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
	go c.watch(watch)
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

// How long a pass is put off although there is reason for one.
const (
	longestBreath  = 500 * time.Millisecond
	shortestBreath = 50 * time.Millisecond
)

// breathe waits four times as long as the last pass took, and no less than shortestBreath, while jobs are in flight. Each of their steps
// is an event, and a look at everything after each would take from the engine what the jobs themselves need.
func breathe(ctx context.Context, last Pass, took time.Duration) {
	if last.InFlight == 0 {
		return
	}
	timer := time.NewTimer(min(max(4*took, shortestBreath), longestBreath))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// How long events are collected before they are looked at. One restart is five of them, and a look at everything after each finds
// what the next one finds again. What happens by itself is looked at almost at once; while jobs are in flight their own steps are
// most of what happens.
const (
	burst = 10 * time.Millisecond
	steps = 100 * time.Millisecond
)

// settle waits until a burst of events is over, or a trigger cuts it short: the end of a job is looked at at once.
func (c *Controller) settle(ctx context.Context, last Pass) {
	wait := burst
	if last.InFlight > 0 {
		wait = steps
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-c.wake:
	case <-timer.C:
	}
}

// caughtUp forgets what called for a look that is about to begin.
func (c *Controller) caughtUp() {
	select {
	case <-c.wake:
	default:
	}
	select {
	case <-c.hint:
	default:
	}
}

// sleep waits for a trigger, the time the plan asks for, or the resync.
func (c *Controller) sleep(ctx context.Context, p Pass) error {
	pause := Resync
	if wake := p.Plan.Wake(); !wake.IsZero() {
		pause = min(pause, max(time.Until(wake), 10*time.Millisecond))
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.wake:
	case <-c.hint:
		c.settle(ctx, p)
	case <-timer.C:
	}
	return nil
}
