package controller

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"composure/controller/diagnose"
	"composure/controller/observe"
	"composure/controller/plan"
	"composure/spec"
)

// suspect leaves the services alone whose data were found missing or damaged before this process began, until they have
// been looked at again: only what runs can be asked, and starting it is for people.
func (c *Controller) suspect(ill map[string]plan.Illness, data Data) {
	for service, before := range c.heal.suspects {
		if _, asked := data.Measured[service]; asked {
			delete(c.heal.suspects, service)
			continue
		}
		ill[service] = before
	}
}

// settles is how long the symptoms of a dependency may outlast it: a probe or a healthcheck has to come round again.
const settles = 30 * time.Second

// ownChecks is how long the checks of a database may take to find what a service that uses it has found already.
const ownChecks = time.Minute

// explanation is what last explained that a service is not well.
type explanation struct {
	by string
	at time.Time
}

// aftermath goes on explaining a service by a dependency that has just recovered, unless it is down itself. In the same
// way a service is explained by its database before the database's own checks have failed: a restart would not help it.
func (c *Controller) aftermath(p *Pass) {
	for i := range p.Diagnoses {
		d := &p.Diagnoses[i]
		last, known := c.heal.masked[d.Service]
		f, began := d.Finding, c.heal.began[d.Service]
		switch {
		case f != nil && f.Cause == "database_unavailable" && f.Dependency != "" && p.Ill[f.Dependency] == "" && p.Snapshot.At.Sub(began) < ownChecks:
			d.Finding, d.MaskedBy = nil, f.Dependency
		case d.MaskedBy != "":
			c.heal.masked[d.Service] = explanation{d.MaskedBy, p.Snapshot.At}
		case known && !d.Urgent && p.Snapshot.At.Sub(last.at) < settles:
			d.Finding, d.Needs, d.MaskedBy = nil, nil, last.by
		}
	}
}

// handover is how long somebody else's recreation may stand between its steps before it counts as cut short.
const handover = time.Minute

// byOthers marks the services that docker compose is recreating just now: the new container is created and the old one
// not removed yet (safety rule 5).
func byOthers(p *Pass, busy map[string]string) {
	for _, c := range p.Snapshot.Containers {
		created := c.Created()
		if !created.IsZero() && c.Label(spec.LabelReplace) != "" && c.Label(spec.LabelRecreates) == "" && c.Status() == "created" && p.Snapshot.At.Sub(created) < handover {
			busy[fmt.Sprintf("service/%s/%d", c.Service, c.Number)] = "being recreated by docker compose"
		}
	}
}

// inHand says whether a container of a service is being worked on.
func inHand(busy map[string]string, service string) bool {
	for key := range busy {
		if strings.HasPrefix(key, "service/"+service+"/") {
			return true
		}
	}
	return false
}

// asIllness is what the plan needs to know of a diagnosis.
func asIllness(d diagnose.Diagnosis, evidence []observe.Evidence, ill map[string]string) (plan.Illness, bool) {
	switch {
	case d.MaskedBy != "":
		return plan.Illness{Cause: "dependency", Summary: "explained by " + d.MaskedBy, MaskedBy: d.MaskedBy}, true
	case d.Finding == nil || d.Reason == "":
		return plan.Illness{}, false
	}
	f := d.Finding
	cause, _ := diagnose.Explain(f.Cause)
	i := plan.Illness{Cause: f.Cause, Summary: f.Summary, Remedies: cause.Remedies, Wait: f.Wait, HandsOff: cause.HandsOff, Repaired: !f.Repaired.IsZero()}
	if _, alsoIll := ill[f.Dependency]; alsoIll && f.Dependency != d.Service && !cause.HandsOff {
		i.MaskedBy = f.Dependency
	}
	for _, e := range evidence {
		if e.OOM.After(i.Killed) {
			i.Killed = e.OOM
		}
		if e.Database != nil {
			i.Database, i.Idle = e.Database.Service, e.Database.Idle
		}
		for _, port := range e.Ports {
			if port.Holder.Container != "" {
				i.Holder = port.Holder.Container
			}
		}
	}
	return i, true
}

// alsoHandsOff leaves the database alone as well, when what was found about its data was found by a service that uses it.
func alsoHandsOff(ill map[string]plan.Illness, found []diagnose.Diagnosis) {
	for _, d := range found {
		if d.Finding == nil || d.Finding.Dependency == "" || !ill[d.Service].HandsOff {
			continue
		}
		database := ill[d.Service]
		database.Summary = d.Service + ": " + database.Summary
		ill[d.Finding.Dependency] = database
	}
}

// noteBegan keeps since when each service is not well: from the first failure until it is proven well, whatever it looks
// like in between, such as between two ends of a crash loop. The map is made anew: a diagnosis may hold the one before.
func (c *Controller) noteBegan(p *Pass, ill map[string]string) {
	began, well := make(map[string]time.Time, len(ill)), runWell(p)
	for _, svc := range p.Stack.Services {
		_, proven := well[svc.Name]
		since, known := c.heal.began[svc.Name]
		switch {
		case known && !proven:
			began[svc.Name] = since
		case known: // it counts from here on, and not from when it was last seen not to be
			c.heal.unwell[svc.Name] = p.Snapshot.At
		case ill[svc.Name] == killed:
			began[svc.Name] = p.Killed[svc.Name]
		case ill[svc.Name] != "":
			began[svc.Name] = p.Snapshot.At
		}
	}
	c.heal.began = began
	c.noteAilments(p, ill)
	for service := range began {
		c.heal.unwell[service] = p.Snapshot.At
	}
}

// ailment is the last illness of a service: when it was last seen, and first seen to be over; zero: it is not.
type ailment struct{ seen, over time.Time }

// noteAilments keeps the last illness of each service. That the engine has started again what was killed is none of the run that began with it.
func (c *Controller) noteAilments(p *Pass, ill map[string]string) {
	for _, svc := range p.Stack.Services {
		last, known := c.heal.ailed[svc.Name]
		switch reason := ill[svc.Name]; {
		case reason != "" && reason != killed:
			c.heal.ailed[svc.Name] = ailment{seen: p.Snapshot.At}
		case known && last.over.IsZero():
			last.over = p.Snapshot.At
			c.heal.ailed[svc.Name] = last
		}
	}
}

// cannotBeMade says why a container is missing, when the last try to make it failed.
func cannotBeMade(tried []plan.Attempt, svc *spec.Service, slot observe.Slot) string {
	if slot.Container != nil {
		return ""
	}
	for _, a := range slices.Backward(tried) {
		if a.Key == fmt.Sprintf("service/%s/%d", svc.Name, slot.Number) {
			if a.Outcome == plan.Done || a.Outcome == plan.Stale {
				return ""
			}
			return "it cannot be made: " + a.Reason
		}
	}
	return ""
}

// Illnesses are the services that are not well, with the reason, gravest last: memory near its limit, a failing probe,
// a container's verdict, that there is none although there was one when the service was deployed, data that are not what
// they were. A kill for memory that the engine has repaired comes before all of them.
func Illnesses(p *Pass, deployed map[string]time.Time) map[string]string {
	ill := map[string]string{}
	for service := range p.Killed {
		ill[service] = killed
	}
	for _, c := range p.Snapshot.Containers {
		if s := p.Samples[c.ID]; gorged(p, c) {
			ill[c.Service] = fmt.Sprintf("memory at %d %% of its limit", 100*s.MemoryUsage/s.MemoryLimit)
		}
	}
	for _, r := range p.Probes {
		if r.State == observe.ProbeFailing {
			ill[r.Service] = fmt.Sprintf("probe %s fails: %s", r.Name, r.Detail)
		}
	}
	for _, svc := range p.Stack.Services {
		for _, slot := range observe.Slots(svc, p.Snapshot) {
			if slot.Surplus {
				continue
			}
			if slot.Container != nil && p.Judged[slot.Container.ID].Verdict == plan.Failed {
				ill[svc.Name] = p.Judged[slot.Container.ID].Reason
			}
			if _, was := deployed[svc.Name]; was && slot.Container == nil && !svc.OneShot() {
				ill[svc.Name] = "its container was removed"
			}
			if why := cannotBeMade(p.Tried, svc, slot); why != "" {
				ill[svc.Name] = why
			}
		}
	}
	maps.Copy(ill, p.Unsound)
	return ill
}

// gorged says whether a container's memory is near its limit.
func gorged(p *Pass, c observe.Container) bool {
	svc, s := p.Stack.Service(c.Service), p.Samples[c.ID]
	if now := c.Inspect.HostConfig; s.MemoryLimit > 0 && now != nil && now.Memory > 0 {
		s.MemoryLimit = now.Memory // it may have been raised since
	}
	return svc != nil && s.MemoryLimit > 0 && float64(s.MemoryUsage) > svc.Policy.Memory.Alert*float64(s.MemoryLimit)
}

// sick are the containers that make their services ill, by id: a replica that is well is not restarted for another one.
// Unsound data, and a kill for memory that the engine has repaired, are the illness of all of a service's containers.
func sick(p *Pass) map[string]bool {
	found := map[string]bool{}
	for _, c := range p.Snapshot.Containers {
		_, unsound := p.Unsound[c.Service]
		_, killed := p.Killed[c.Service]
		if unsound || killed || gorged(p, c) || p.Judged[c.ID].Verdict == plan.Failed {
			found[c.ID] = true
		}
	}
	for _, r := range p.Probes {
		if r.State == observe.ProbeFailing {
			found[r.Container] = true
		}
	}
	return found
}

// killed is the illness of a service that runs again after the kernel has killed it for memory. Nothing is to be done, and
// people want to know.
const killed = "the kernel killed it for memory, and the engine started it again"

// killed returns the services of which that is so and of which no incident tells yet.
func (c *Controller) killed(p *Pass) map[string]time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := map[string]time.Time{}
	for _, svc := range p.Stack.Services {
		for _, one := range p.Snapshot.Of(svc.Name) {
			if at := c.ooms[one.ID]; at.After(c.heal.told[one.ID]) && one.Running() && one.EndedBy(at) {
				found[svc.Name] = at
			}
		}
	}
	return found
}

// told notes that incidents tell of the kills for memory that were found, with the evidence.
func (c *Controller) told(p *Pass) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range p.Diagnoses {
		if d.Finding == nil || d.Finding.Repaired.IsZero() || c.heal.examined[d.Service].pending {
			continue
		}
		for _, one := range p.Snapshot.Of(d.Service) {
			c.heal.told[one.ID] = d.Finding.Repaired
		}
		c.Trigger()
	}
}

// Undone are the services that a recreation was undone for, and when last.
func Undone(tried []plan.Attempt) map[string]time.Time {
	at := map[string]time.Time{}
	for _, a := range tried {
		if strings.HasPrefix(a.Kind, "undo:") && a.Outcome == plan.Done && a.At.After(at[a.Service]) {
			at[a.Service] = a.At
		}
	}
	return at
}
