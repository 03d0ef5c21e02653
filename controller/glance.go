package controller

import (
	"context"
	"slices"
	"time"

	"composure/controller/plan"
)

// GlanceEvery is how often the engine is asked for its list of containers while nothing happens: what watches the remediator
// hears of it as often.
const GlanceEvery = time.Minute

// idle rests after a turn until something calls for a look at everything: a trigger, or the time that the turn says. While
// all is as it should be, and stays so by the list of containers, a glance a minute is enough: events that were lost without
// notice, and an engine that is gone, are found by it.
func (c *Controller) idle(ctx context.Context, turn Turn) {
	for ctx.Err() == nil {
		left := time.Until(turn.Next)
		if left <= GlanceEvery {
			c.rest(ctx, turn.Pass, left)
			return
		}
		if !c.rest(ctx, turn.Pass, GlanceEvery) || !c.glance(ctx, &turn) {
			return
		}
	}
}

// glance brings a turn up to now, and shows it, if the list of containers says what it said at the look.
func (c *Controller) glance(ctx context.Context, turn *Turn) bool {
	began, p := time.Now(), turn.Pass
	snapshot, err := p.Snapshot.Glance(ctx, c.Source, c.Stack.Name)
	if err != nil || snapshot == nil || c.heal.Memory.Elsewhere(c.heal.read) {
		return false
	}
	p.Snapshot = snapshot
	c.sample(context.WithoutCancel(ctx), &p)
	turn.Pass, turn.Took, turn.Glance = p, time.Since(began), true
	c.turned(*turn)
	return true
}

// turned shows a turn to whoever watches.
func (c *Controller) turned(t Turn) {
	if c.heal.Turned != nil {
		c.heal.Turned(t)
	}
}

// calm says whether everything is as it should be, and nothing is on record whose time passes: an attempt that counts, an
// incident that is not over, a pause that ends, a service whose data are checked now and then.
func (c *Controller) calm(ctx context.Context, p Pass) bool {
	if p.Snapshot == nil || !c.heal.down.IsZero() || p.Elsewhere || p.InFlight > 0 || len(p.Ill) > 0 || len(p.Plan.Jobs) > 0 || len(p.Plan.Held) > 0 ||
		len(p.Snapshot.Gaps) > 0 || len(c.heal.desired.Paused) > 0 || c.heal.undecided {
		return false
	}
	for _, svc := range p.Stack.Services {
		if len(svc.Policy.Integrity) > 0 || !Settled(&p, svc) && svc.Replicas > 0 {
			return false
		}
	}
	if _, history := c.inFlight(); slices.ContainsFunc(history, func(a plan.Attempt) bool { return a.Counts }) {
		return false
	}
	open, _, err := c.heal.Memory.Incidents(ctx)
	return err == nil && len(open) == 0
}
