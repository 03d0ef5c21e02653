package controller

import (
	"context"
	"maps"

	"composure/controller/diagnose"
	"composure/controller/observe"
	"composure/controller/plan"
	"composure/spec"
)

// Data consistency is a part of every verdict: a database that answers, on a volume that is empty, is no recovery.

// checkData returns what the integrity checks last said, has them made anew where that is due, and notes which services
// are not well by them.
func (c *Controller) checkData(ctx context.Context, p *Pass) Data {
	data := c.heal.Memory.Data()
	for _, svc := range p.Stack.Services {
		if len(svc.Policy.Integrity) > 0 && Settled(p, svc) {
			c.heal.Memory.CheckData(ctx, p.Stack, p.Snapshot, svc.Name, c.checkedOn(p, svc.Name), c.Trigger)
		}
	}
	p.Unsound = Unsound(p, data, c.heal.desired.Applied != nil)
	return data
}

// Unsound are the services whose data are not what they were, and why. Of a stack that was applied before, a volume that is
// not there is gone.
func Unsound(p *Pass, data Data, applied bool) map[string]string {
	unsound := maps.Clone(data.Failing)
	if unsound == nil {
		unsound = map[string]string{}
	}
	for _, svc := range p.Stack.Services {
		gone := applied && len(diagnose.LostVolumes(svc, p.Stack, p.Snapshot)) > 0
		if gone || len(diagnose.LostRows(svc, data.Baseline[svc.Name], data.Measured[svc.Name], data.Broken[svc.Name])) > 0 {
			unsound[svc.Name] = "its data are not what they were"
		}
		if was := data.Clusters[svc.Name]; was != "" && data.Systems[svc.Name] != "" && data.Systems[svc.Name] != was {
			unsound[svc.Name] = "its data are another database's"
		}
	}
	return unsound
}

// checkedOn identifies what the checks of a service are about: the runs of its containers, and what was done last.
func (c *Controller) checkedOn(p *Pass, service string) string {
	about := runs(p, service)
	for _, t := range p.Tried {
		if t.Service == service && t.Outcome == plan.Done {
			about = runs(p, service) + t.At.String()
		}
	}
	return about
}

// Settled says whether all containers of a service do what they are there for, as far as the engine says.
func Settled(p *Pass, svc *spec.Service) bool {
	for _, slot := range observe.Slots(svc, p.Snapshot) {
		if slot.Container == nil || slot.Replaced != nil || p.Judged[slot.Container.ID].Verdict != plan.Recovered {
			return false
		}
	}
	return svc.Replicas > 0
}
