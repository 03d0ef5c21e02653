package controller

import (
	"context"
	"time"
)

// Trigger asks for a pass soon. It never blocks.
func (c *Controller) Trigger() { ask(c.wake) }

// ask leaves a mark in a channel of capacity one: marks coalesce.
func ask(mark chan<- struct{}) {
	select {
	case mark <- struct{}{}:
	default:
	}
}

// enter waits for room for a pass. It says whether there is any: not when ctx has ended.
func (c *Controller) enter(ctx context.Context) bool {
	if c.Room == nil {
		return true
	}
	select {
	case c.Room <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (c *Controller) leave() {
	if c.Room != nil {
		<-c.Room
	}
}

// pause is how long to wait at most: the time that the plan asks for, or that a service still needs to be proven stable, or the
// resync, which is a minute at most unless all is calm; while the engine is away a tenth of
// the time that it has been, from a second to ten. Whoever gets the stack back is woken;
// while somebody else has it, or a decision cannot be recorded, what is due stays due, and is not asked for again at once.
func (c *Controller) pause(ctx context.Context, p Pass, resync time.Duration) time.Duration {
	pause := resync
	switch {
	case !c.heal.down.IsZero():
		pause = min(max(time.Since(c.heal.down)/10, time.Second), 10*time.Second)
	case pause > GlanceEvery && !c.calm(ctx, p):
		pause = GlanceEvery
	}
	if ripe := c.heal.ripe; !ripe.IsZero() {
		pause = min(pause, max(time.Until(ripe), time.Second))
	}
	if wake := p.Plan.Wake(); !wake.IsZero() {
		soonest := 10 * time.Millisecond
		if p.Elsewhere || c.heal.undecided {
			soonest = time.Second
		}
		pause = min(pause, max(time.Until(wake), soonest))
	}
	return pause
}

// rest waits for a trigger, or for the pause to be over, which it reports. A burst of events becomes one pass.
func (c *Controller) rest(ctx context.Context, last Pass, pause time.Duration) (undisturbed bool) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
		return true
	case stack := <-c.reload:
		c.reread(ctx, stack)
	case <-c.wake:
	case <-c.hint:
		c.settle(ctx, last)
	}
	return false
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
