package sim

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"composure/controller"
	"composure/controller/plan"
	"composure/test/simengine"
)

// Most rules say what must not be done. These say what must be.

const (
	attentive = 20 * time.Second // how soon after something happened there is a look at it
	settled   = 2 * time.Minute  // after trouble, until nothing is excused by it any more
	toTell    = 2 * time.Minute  // how soon after its budget is used up people know of a service
)

// trouble notes until when something does not work that Composure needs.
func (c *checker) trouble(what string, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.excuse(what, until)
}

func (c *checker) excuse(what string, until time.Time) {
	if what == "store" && !c.excused(time.Now(), what) {
		c.storeLeft = time.Now()
	}
	if until.After(c.troubles[what]) {
		c.troubles[what] = until
	}
}

// excused says whether something did not work since a time.
func (c *checker) excused(since time.Time, what ...string) bool {
	return slices.ContainsFunc(what, func(w string) bool { return c.troubles[w].After(since) })
}

// occurred notes what happened that a look has to follow.
func (c *checker) occurred(h simengine.Happening) {
	if c.unseen.IsZero() && c.ours(h.Of) && slices.Contains([]string{"die", "start", "destroy", "pause", "unpause"}, h.Action) {
		c.unseen = time.Now()
	}
}

// looked takes note of a pass of the current remediator.
func (c *checker) looked(p controller.Pass) {
	if !p.Snapshot.At.Before(c.unseen) {
		c.unseen = time.Time{}
	}
	spent := map[string]time.Time{}
	for _, h := range p.Plan.Held {
		if !h.Exhausted || h.Service == "" || p.Elsewhere || explained(h, p.Plan.Held) {
			continue
		}
		spent[h.Service] = time.Now()
		if since, known := c.spent[h.Service]; known {
			spent[h.Service] = since
		}
	}
	c.spent = spent
	for _, d := range p.Plan.Decisions {
		if d.Kind != "raise_memory" { // another image has other limits
			delete(c.raised, d.Service)
		}
	}
}

// explained says whether a service only waits for another one that is left to people: they are called for that one, and are to
// see the root cause alone.
func explained(h plan.Held, all []plan.Held) bool {
	return slices.ContainsFunc(all, func(other plan.Held) bool {
		return other.Exhausted && other.Service != "" && strings.HasPrefix(h.Reason, "waits for "+other.Service+" to ")
	})
}

// duties are looked at now and then.
func (c *checker) duties() {
	now, p := time.Now(), c.w.current()
	if p == nil || !p.alive() || now.Sub(p.began) < attentive {
		c.unseen, c.spent = time.Time{}, nil
		return
	}
	if !c.unseen.IsZero() && now.Sub(c.unseen) > attentive && !c.excused(c.unseen.Add(-settled), "engine", "events", "store") {
		c.violate("a service in flight delays another", "nobody has looked since something happened at %s", c.unseen.Sub(c.w.began))
	}
	for _, service := range slices.Sorted(maps.Keys(c.spent)) {
		since := c.spent[service]
		if now.Sub(since) > toTell && !c.excused(since.Add(-settled), "people", "store", "engine") && !c.w.people.know(service) {
			c.violate("escalates when due", "nobody was told of %s, whose budget is used up since %s", service, since.Sub(c.w.began))
		}
	}
}

// know says whether people were ever called for a service, or for the stack as a whole.
func (p *people) know(service string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.told, func(t told) bool {
		return t.kind == "escalated" && (t.service == service || t.service == "" || slices.Contains(t.services, service))
	})
}

// gaveUp notes that a process ended by itself, and starts again: what it held is free.
func (c *checker) gaveUp(p *process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.holder == p.name {
		c.holder = ""
	}
	p.began = time.Now()
}

// twoAtOnce holds the calls against the lease: while a process that has it lives, no other acts. A remediator lends it to a
// command, and to nobody else.
func twoAtOnce(c *checker, call simengine.Call) string {
	if call.From == "" || call.Op == "tag" || call.Sent.Before(c.held) { // sent before somebody else had it
		return ""
	}
	last := c.holder
	if last == call.From {
		c.held = call.Sent
		return ""
	}
	since := c.held
	c.holder, c.held = call.From, call.Sent
	p := c.w.process(last)
	if c.ended.After(since) { // what was lent is free when it is given back
		return ""
	}
	if p == nil || !p.alive() || c.excused(since.Add(-settled), "store") || !p.command && !c.remediator(call.From) {
		return ""
	}
	return fmt.Sprintf("%s has the stack, and acted %s before", last, call.Sent.Sub(since))
}

// tooSoon holds the restarts and kills of one replica against its backoff.
func tooSoon(c *checker, call simengine.Call) string {
	svc, p := c.service(call.Of.Service), c.place(call.Of)
	if !isRung(call) || !c.remediator(call.From) || !c.ours(call.Of) || c.deploys[call.Of.ID] || svc == nil {
		return ""
	}
	taken := p.before(call.Sent)
	if len(taken) == 0 {
		return ""
	}
	last, policy := taken[len(taken)-1], svc.Policy.Remediation.Backoff
	wait := min(policy.Max, time.Duration(float64(policy.Initial)*math.Pow(policy.Factor, float64(len(taken)-1))))
	least := wait*8/10 - time.Second // a fifth of jitter
	if since := call.Sent.Sub(last); since < least && !c.excused(last.Add(-settled), "engine") {
		return fmt.Sprintf("%s after the last one, backoff %s", since, wait)
	}
	return ""
}

// raises notes a memory limit that the remediator has raised above the file's.
func (c *checker) raises(call simengine.Call) {
	svc := c.service(call.Of.Service)
	if svc == nil || call.Sent.Before(c.meant[svc.Name]) || c.forgotten[call.From] { // executed late
		return
	}
	if call.Op == "update" && c.remediator(call.From) && c.ours(call.Of) && call.Size > max(svc.Memory(), c.raised[svc.Name].limit) && svc.Memory() > 0 {
		c.raised[svc.Name] = raise{call.Size, call.From, call.Sent}
	}
}

// meddle has a person restart the next container that is to be restarted, between the decision and the act.
func (c *checker) meddle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.meddles = true
}

// forgets drops what a process did while the store did not work, and that died with it: the limits it raised, the rungs it took.
// What is on record nowhere cannot be known to the next one. The store is asked again within 30 s.
func (c *checker) forgets(process string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.excused(time.Now().Add(-30*time.Second), "store") {
		return
	}
	c.forgotten[process] = true
	maps.DeleteFunc(c.raised, func(_ string, r raise) bool { return r.by == process })
	for _, p := range c.places {
		p.rungs = slices.DeleteFunc(p.rungs, func(at time.Time) bool { return !at.Before(c.storeLeft) })
	}
}

// commandBegins notes that a person changes what is meant.
func (c *checker) commandBegins(args []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(args) > 0 && strings.Contains("release rollback reconcile", args[0]) {
		clear(c.raised)
		for _, svc := range c.stack.Services {
			c.meant[svc.Name] = time.Now()
		}
	}
}
