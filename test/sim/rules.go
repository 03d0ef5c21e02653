package sim

import (
	"fmt"
	"math"
	"strings"
	"time"

	"composure/test/simengine"
)

// callRules hold for every call of Composure's that changes something.
var callRules = []struct {
	name   string
	broken func(c *checker, call simengine.Call) string
}{
	{"outside the stack", func(c *checker, call simengine.Call) string {
		if call.Of.ID == "" || c.ours(call.Of) {
			return ""
		}
		for _, name := range c.stack.Policy.Ports {
			if call.Of.Name == name && call.Op == "stop" {
				return ""
			}
		}
		return "a container of somebody else"
	}},
	{"removes a volume", func(_ *checker, call simengine.Call) string {
		if call.WithVolumes || call.Op == "remove volume" {
			return "with its volumes"
		}
		return ""
	}},
	{"budget", overBudget},
	{"backoff", tooSoon},
	{"two at once", twoAtOnce},
	{"acts on what it has not seen", func(c *checker, call simengine.Call) string {
		if call.Op != "restart" && call.Op != "stop" && call.Op != "kill" || !c.remediator(call.From) {
			return ""
		}
		if call.Op != "restart" && call.Of.Restarts > 0 { // a recreation ends the loop in which the engine starts it
			return ""
		}
		seen, planned := c.planned[call.Of.ID]
		blind := 200 * time.Millisecond // a recreation has other steps before
		if call.Op == "restart" {
			blind = 0 // the look at the target comes right before
		}
		if planned && call.Of.Started.After(seen) && call.Of.Started.Before(call.Sent.Add(-blind)) && call.Of.Recreates == "" {
			return fmt.Sprintf("it was started %s after the look on which this was decided", call.Of.Started.Sub(seen))
		}
		return ""
	}},
	{"touches what is well", func(c *checker, call simengine.Call) string {
		p := c.place(call.Of)
		if !c.up || !isRung(call) || !c.remediator(call.From) || call.Of.Recreates != "" || p.well.IsZero() || call.Sent.Sub(p.well) < time.Minute {
			return ""
		}
		if at := c.byHand[call.Of.Name]; !at.IsZero() || c.afflicted(call.Of.Service, call.Sent.Add(-2*time.Minute)) {
			return ""
		}
		return fmt.Sprintf("it has run well for %s", call.Sent.Sub(p.well))
	}},
	{"fights an override", func(c *checker, call simengine.Call) string {
		raised := c.raised[call.Of.Service]
		if c.remediator(call.From) && call.Size > 0 && call.Size < raised.limit && call.Sent.After(raised.sent) { // one sent before may be executed late
			return fmt.Sprintf("lowers the memory to %d, which was raised to %d", call.Size, raised.limit)
		}
		return ""
	}},
	{"paused by hand", func(c *checker, call simengine.Call) string {
		late := call.Sent.Before(c.byHand[call.Of.Name]) // it was sent before, and executed late
		if c.remediator(call.From) && call.Of.Paused && !late && (isRung(call) || call.Op == "unpause" || call.Op == "stop") {
			return "a person paused it"
		}
		return ""
	}},
	{"after the end", func(c *checker, call simengine.Call) string {
		if !c.quiet.IsZero() && call.Op != "tag" && !call.Sent.Before(c.quiet) { // the engine may do late what was asked for before
			return "the stack is converged, and nothing happens to it"
		}
		return ""
	}},
}

// isRung says whether a call is what a rung of the ladder does to a running container. A recreation stops, and does not
// kill.
func isRung(call simengine.Call) bool { return call.Op == "restart" || call.Op == "kill" }

// overBudget holds the restarts and kills of one replica against its budget: so many since it was last stable, then one
// after each reset time, which doubles.
func overBudget(c *checker, call simengine.Call) string {
	if !isRung(call) || !c.remediator(call.From) || !c.ours(call.Of) || c.deploys[call.Of.ID] {
		return ""
	}
	svc, p := c.service(call.Of.Service), c.place(call.Of)
	if svc == nil || c.byAuto(call.Sent) {
		return ""
	}
	policy := svc.Policy.Remediation
	taken := p.before(call.Sent)
	beyond := len(taken) - policy.Attempts
	if beyond < 0 {
		return ""
	}
	wait := time.Duration(float64(policy.Backoff.Reset) * math.Pow(2, float64(beyond)))
	if since := call.Sent.Sub(taken[len(taken)-1]); since < wait-time.Second {
		return fmt.Sprintf("attempt %d, budget %d, %s after the last one, reset %s", len(taken)+1, policy.Attempts, since, policy.Backoff.Reset)
	}
	return ""
}

// byAuto says whether a call may still be of before an edit that is deployed by itself: the files are looked at every
// two seconds.
func (c *checker) byAuto(sent time.Time) bool {
	return !c.editedAt.IsZero() && sent.Before(c.editedAt.Add(10*time.Second))
}

// stateRules hold for everything that happens.
var stateRules = []struct {
	name   string
	broken func(c *checker, h simengine.Happening) string
}{
	{"old and new run together", func(c *checker, h simengine.Happening) string {
		if h.Action != "start" || !c.ours(h.Of) || c.late[h.Of.ID] { // nobody can take back what the engine does so late
			return ""
		}
		first, _, _ := strings.Cut(h.Of.Name, ".")
		if at := c.byHand[first]; !at.IsZero() && time.Since(at) < time.Second { // by hand, and renamed between its creation and this
			return ""
		}
		for id, other := range c.all {
			related := h.Of.Recreates == id || other.Recreates == h.Of.ID
			if id != h.Of.ID && related && other.Running && c.byHand[other.Name].IsZero() && c.byHand[h.Of.Name].IsZero() {
				return "so does " + other.Name
			}
		}
		return ""
	}},
	{"a completed one-shot runs again", func(c *checker, h simengine.Happening) string {
		svc := c.service(h.Of.Service)
		if h.Action != "start" || !c.ours(h.Of) || svc == nil || !svc.OneShot() || !c.place(h.Of).completed || c.edited {
			return ""
		}
		if at := c.byHand[h.Of.Name]; !at.IsZero() {
			return ""
		}
		return "it had ended with 0"
	}},
}

// moment is what is looked at now and then: how long replicas have run well decides on their budgets.
func (c *checker) moment() {
	if asked := c.w.sim.Unknown(); len(asked) > 0 {
		c.violated("unknown to the simulated engine", "%v", asked)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.all {
		if !c.ours(f) || f.Number == 0 {
			continue
		}
		p, svc := c.place(f), c.service(f.Service)
		if svc == nil || p.well.IsZero() {
			continue
		}
		if stable := p.well.Add(svc.Policy.Remediation.Stable - 5*time.Second); !time.Now().Before(stable) {
			p.beginAnew(stable)
		}
	}
	c.duties()
}
