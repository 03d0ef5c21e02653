package plan

import (
	"fmt"
	"math"
	"time"

	"composure/spec"
)

// exhausted decides what happens when no attempt is left: people are called, and there is one try after each reset time,
// which doubles.
func (p *planner) exhausted(pl *place, ill Illness, steps []*rung, tried []Attempt) bool {
	policy := pl.svc.Policy.Remediation
	if len(steps) == 0 {
		return p.retry(pl, ill, tried)
	}
	if len(tried) == 0 {
		p.exhaust(pl.key, pl.svc.Name, "no attempt is allowed for it: "+ill.Summary, time.Time{})
		return false
	}
	until := tried[len(tried)-1].At.Add(halfOpen(policy, tried))
	if p.Now.Before(until) {
		p.exhaust(pl.key, pl.svc.Name, fmt.Sprintf("%d attempts did not help: %s", len(tried), ill.Summary), until)
		return false
	}
	return p.take(pl, ill, next(steps, tried))
}

// halfOpen is how long after the last try the next single one is due: the reset time, doubled for each since the budget was
// used up, whatever the causes were.
func halfOpen(policy spec.Remediation, tried []Attempt) time.Duration {
	return time.Duration(float64(policy.Backoff.Reset) * math.Pow(2, float64(max(0, len(tried)-policy.Attempts))))
}

// retry is what is done about a container that no remedy is allowed for: people are called, and one that is down is started
// once after each reset time, which doubles. What kept it from starting, such as a disk that was not mounted, may be gone.
func (p *planner) retry(pl *place, ill Illness, tried []Attempt) bool {
	reason, starter := "no remedy is allowed for it: "+ill.Summary, rungNamed("start")
	if !down(pl) {
		p.exhaust(pl.key, pl.svc.Name, reason, time.Time{})
		return false
	}
	last := pl.slot.Container.FinishedAt()
	if created := pl.slot.Container.Created(); created.After(last) {
		last = created
	}
	switch {
	case len(tried) > 0:
		last = tried[len(tried)-1].At
	case last.After(p.Now): // by a clock that was set back since
		last = time.Time{}
	}
	until := last.Add(halfOpen(pl.svc.Policy.Remediation, tried))
	if p.Now.Before(until) {
		p.exhaust(pl.key, pl.svc.Name, reason, until)
		return false
	}
	return p.take(pl, ill, starter)
}

func rungNamed(name string) *rung {
	for i := range rungs {
		if rungs[i].name == name {
			return &rungs[i]
		}
	}
	return nil
}

// exhaust holds a subject for people, and until the next single try when there is one.
func (p *planner) exhaust(key, service, reason string, until time.Time) {
	p.plan.Held = append(p.plan.Held, Held{Key: key, Service: service, Reason: reason, Until: until, Exhausted: true})
	if service != "" {
		p.blocked[service] = reason
	}
}
