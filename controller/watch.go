package controller

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/docker/docker/api/types/events"

	"composure/controller/observe"
)

// Events is the engine's stream of what happens to a stack. The error channel gets one error when the stream ends.
type Events interface {
	Events(ctx context.Context, project string) (<-chan events.Message, <-chan error)
}

// watch asks for a pass on events of a project until ctx ends. Events are hints: after every break it subscribes again and
// asks for a full look, and what is lost without notice is found by the resync.
func (c *Controller) watch(ctx context.Context, project string) {
	again := backoff.NewExponentialBackOff(backoff.WithInitialInterval(200*time.Millisecond), backoff.WithMaxInterval(10*time.Second),
		backoff.WithRandomizationFactor(0), backoff.WithMaxElapsedTime(0))
	for ctx.Err() == nil {
		messages, ended := c.Events.Events(ctx, project)
		c.Trigger()
		began := time.Now()
		if err := c.follow(ctx, messages, ended, again); err != nil && ctx.Err() == nil {
			c.Logger.Debug("event stream ended", "error", err)
			if now := time.Now(); now.Sub(began) >= lasting {
				c.broken(now)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(again.NextBackOff()):
		}
	}
}

// follow reads one stream to its end. A stream that delivers makes the next break start at the first delay again.
func (c *Controller) follow(ctx context.Context, messages <-chan events.Message, ended <-chan error, again *backoff.ExponentialBackOff) error {
	for {
		select {
		case m := <-messages:
			again.Reset()
			if c.note(m) {
				ask(c.hint)
			}
		case err := <-ended:
			return err
		case <-ctx.Done():
			return nil
		}
	}
}

// concerns notes which events are about the stack from now on.
func (c *Controller) concerns(s *observe.Snapshot) {
	if c.heal == nil {
		return
	}
	found := concernOf(s, c.Stack, c.heal.file)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.concern = found
}

// note keeps the one fact that events know better than inspect, and says whether an event may be about the stack.
func (c *Controller) note(m events.Message) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.Action == events.ActionOOM {
		c.ooms[m.Actor.ID] = time.Unix(0, m.TimeNano-c.ahead.Load()) // by this host's clock, as all that it is compared with
	}
	return c.concern == nil || c.concern.is(m)
}
