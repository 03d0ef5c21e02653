package controller

import (
	"context"
	"time"

	"composure/controller/observe"
	"composure/controller/plan"
)

// An engine that is started again within a few seconds, as by systemd, which holds its socket meanwhile, is never refused nor
// silent for longer than a look waits: only the event stream breaks. What it left down is its condition all the same, and no
// stop by hand.

// lasting is how long a stream has lived that was accepted: one that is refused, as by a proxy, ends at once, again and again.
const lasting = time.Second

// broken notes since when the event stream is broken, as long as no look has followed.
func (c *Controller) broken(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broke.IsZero() {
		c.broke = at
	}
}

// cameBack notes, at a look that the engine has answered, that it was away since the stream broke. An outage that a look has met
// is told of by that. Either is one incident, which explains what the engine has left down, also to the next process.
func (c *Controller) cameBack(ctx context.Context, s *observe.Snapshot) {
	c.mu.Lock()
	broke := c.broke
	seen := !broke.IsZero() && !s.At.Before(broke)
	if seen {
		c.broke = time.Time{}
	}
	c.mu.Unlock()
	back := time.Now() // a look that begins while the engine is away waits for it
	if !seen || c.heal == nil || !c.heal.down.IsZero() || !wasAway(s, broke, back) {
		return
	}
	c.Logger.Info("the engine was started again", "away", back.Sub(broke).Round(time.Millisecond).String())
	c.heal.noteOutage(broke, back)
	c.tellOfOutage(ctx, broke, back, "its event stream broke, and nothing of the stack has run on: it was started again")
}

// remembered is how many outages are: what the first of several has left down may not have been started when the last one comes.
const remembered = 50

// noteOutage notes an outage of the engine.
func (h *healer) noteOutage(began, ended time.Time) {
	h.outages = append(h.outages[max(0, len(h.outages)+1-remembered):], plan.Span{Began: began, Ended: ended})
}

// back is when the engine last came back; zero: it was not away.
func (h *healer) back() time.Time {
	if len(h.outages) == 0 {
		return time.Time{}
	}
	return h.outages[len(h.outages)-1].Ended
}

// wasAway says whether the engine itself has ended when the stream broke, and not only a connection to it: nothing has run on,
// and something was ended or started meanwhile. With live-restore everything runs on, and nothing is left down.
func wasAway(s *observe.Snapshot, broke, back time.Time) bool {
	since, until, meanwhile := broke.Add(-ahead), back.Add(ahead), false
	for i := range s.Containers {
		c := &s.Containers[i]
		if c.Inspect.State == nil {
			continue
		}
		began, ended := c.StartedAt(), c.FinishedAt()
		if c.Running() && began.Before(since) {
			return false
		}
		meanwhile = meanwhile || began.After(since) && began.Before(until) || ended.After(since) && ended.Before(until)
	}
	return meanwhile
}
