package controller

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"composure/controller/observe"
	"composure/spec"
)

// Continuous mode deploys in two cases only: the stack does not exist yet, or a file changed and its policy says
// `deploy: auto`. It is the deployment verb's own line, over several passes; what fails is not tried again before the
// file changes.

// deployed moves a deployment on after a pass: begins the first one, and ends one that is through.
func (c *Controller) deployed(ctx context.Context, p Pass) error {
	h := c.heal
	switch {
	case !h.deploying && h.desired.Applied == nil && nothingThere(p.Snapshot) && h.failed != h.file:
		c.Logger.Info("the stack does not exist yet and is made as the file says", "stack", c.Stack.Name)
		c.deployNext()
	case h.deploying && p.InFlight == 0 && p.Plan.Settled():
		h.deploying = false
		c.Logger.Info("deployed", "stack", c.Stack.Name)
		return h.Memory.Adopt(ctx, p, "deploy")
	case h.deploying && p.InFlight == 0 && p.Plan.Stuck():
		h.deploying, h.failed = false, h.file
		for _, held := range p.Plan.Held {
			c.Logger.Error("not deployed", "subject", held.Title(), "reason", held.Reason)
		}
	case h.desired.Applied == nil && p.Plan.Settled() && !p.Drift.Differs():
		return h.Memory.Adopt(ctx, p, "adopt")
	}
	return nil
}

// nothingThere says whether the stack has no containers. One that could not be read is there.
func nothingThere(s *observe.Snapshot) bool {
	unread := slices.ContainsFunc(s.Gaps, func(g observe.Gap) bool { return strings.HasPrefix(g.Subject, "container ") })
	return len(s.Containers) == 0 && !unread
}

// applied says whether a file that was read says what is applied, as one that was only touched: to deploy it again would undo what
// was decided since, such as a rollback, and make every budget whole. After a deployment that failed nobody knows what is applied.
func (c *Controller) applied(stack *spec.Stack) bool {
	h := c.heal
	if h.desired.Applied == nil || h.failed == h.file {
		return false
	}
	before, err := h.desired.Applied.Canonical()
	if err != nil {
		return false
	}
	now, err := stack.Canonical()
	return err == nil && bytes.Equal(before, now)
}

// deployNext makes the next pass a deployment of the file. Its attempts are its own.
func (c *Controller) deployNext() {
	c.heal.deploying = true
	c.mu.Lock()
	c.history = nil
	c.mu.Unlock()
	c.Trigger()
}
