package plan

import (
	"fmt"
	"slices"

	"composure/controller/observe"
	"composure/spec"
)

// needs lists what must exist before a container of the service can be created, as far as it does not.
func (p *planner) needs(svc *spec.Service, desired spec.Container, image *Wait) []Wait {
	var needs []Wait
	if image != nil {
		needs = append(needs, *image)
	}
	needs = slices.Concat(needs, p.lacking(desired), p.ambiguous(desired))
	for _, v := range p.Stack.Volumes {
		if _, there := p.Snapshot.Volumes[v.Name]; !there && slices.Contains(svc.VolumeKeys, v.Key) {
			needs = append(needs, exists("volume "+v.Name))
		}
	}
	for _, c := range p.going {
		if c.Name == desired.Name {
			needs = append(needs, gone(c))
		}
	}
	for _, name := range svc.Namespaces {
		if other := p.Stack.Service(name); other != nil && !p.steady(other) {
			needs = append(needs, Wait{On: name, Text: name + " to run"})
		}
	}
	return needs
}

// lacking are the networks of a container that do not exist: the engine starts nothing on them, nor makes it.
func (p *planner) lacking(desired spec.Container) (waits []Wait) {
	for _, e := range desired.Networks {
		if _, there := p.Snapshot.Networks[e.Network]; e.Key != "" && !there {
			waits = append(waits, exists("network "+e.Network))
		}
	}
	return waits
}

// ambiguous are the networks of a container that there are several of: the engine starts nothing on them.
func (p *planner) ambiguous(desired spec.Container) (waits []Wait) {
	for _, e := range desired.Networks {
		if len(p.Snapshot.Twins[e.Network]) > 0 {
			waits = append(waits, Wait{On: "network " + e.Network, Text: "one network " + e.Network})
		}
	}
	return waits
}

// steady says whether a service whose namespace is shared runs and stays the container that it is.
func (p *planner) steady(svc *spec.Service) bool {
	c := observe.Current(svc, p.Snapshot)
	return c != nil && c.Running() && !p.planned(svc.Name)
}

// proven says whether the containers of services whose namespaces are shared run, and have done so for long enough.
func (p *planner) proven(services []string) bool {
	for _, name := range services {
		if other := p.Stack.Service(name); other != nil {
			if c := observe.Current(other, p.Snapshot); c == nil || p.Judge[c.ID].Verdict != Recovered {
				return false
			}
		}
	}
	return true
}

// planned says whether something is planned or in flight for a service. Services are planned after their
// dependencies, so for those the answer is complete.
func (p *planner) planned(service string) bool {
	for _, j := range p.plan.Jobs {
		if j.Service == service {
			return true
		}
	}
	for _, h := range p.plan.Held {
		if _, busy := p.Busy[h.Key]; busy && h.Service == service {
			return true
		}
	}
	return false
}

// waits lists the conditions of depends_on that are not met. A dependency that is not required only counts while it
// is on its way.
func (p *planner) waits(svc *spec.Service) []Wait {
	var waits []Wait
	for _, d := range svc.DependsOn {
		other := p.Stack.Service(d.Service)
		if other == nil || (!d.Required && p.blocked[d.Service] != "") {
			continue
		}
		if p.planned(d.Service) || !p.met(other, d.Condition) {
			waits = append(waits, waiting(d))
		}
	}
	return waits
}

// renewed is a dependency with `restart: true` that this run has made anew or restarted since the container started, or "".
func (p *planner) renewed(svc *spec.Service, c *observe.Container) string {
	for _, d := range svc.DependsOn {
		other := p.Stack.Service(d.Service)
		if !d.Restart || other == nil || c == nil {
			continue
		}
		acted := slices.ContainsFunc(p.History, func(a Attempt) bool {
			return a.Service == d.Service && a.Outcome == Done && slices.Contains([]string{"recreate", "restart", Graceful, Hard}, verb(a.Kind))
		})
		if on := observe.Current(other, p.Snapshot); acted && on != nil && on.StartedAt().After(c.StartedAt()) {
			return d.Service
		}
	}
	return ""
}

// met says whether a dependency's condition holds in the snapshot.
func (p *planner) met(svc *spec.Service, condition string) bool {
	for _, slot := range observe.Slots(svc, p.Snapshot) {
		c := slot.Container
		if slot.Surplus {
			continue
		}
		if c == nil || !conditionHolds(*c, condition, p.Judge[c.ID]) {
			return false
		}
	}
	return true
}

func conditionHolds(c observe.Container, condition string, judge Judgement) bool {
	ended := c.Status() == "exited" && c.Inspect.State.ExitCode == 0
	switch condition {
	case spec.ConditionHealthy:
		return c.Running() && c.Health() == "healthy"
	case spec.ConditionCompleted:
		return ended
	}
	return c.Running() || (ended && judge.Verdict == Recovered)
}

// exists is the condition that a network, volume or image is there.
func exists(subject string) Wait { return Wait{On: subject, Text: subject} }

// waiting is the condition of a dependency.
func waiting(d spec.Dependency) Wait {
	text := d.Service + " to run"
	switch d.Condition {
	case spec.ConditionHealthy:
		text = d.Service + " to be healthy"
	case spec.ConditionCompleted:
		text = d.Service + " to complete"
	}
	return Wait{On: d.Service, Text: text}
}

// hopeless returns why a condition will not come true by itself, or "".
func (p *planner) hopeless(w Wait) string {
	if why := p.blocked[w.On]; why != "" {
		return fmt.Sprintf("waits for %s, which is held: %s", w.Text, why)
	}
	return ""
}
