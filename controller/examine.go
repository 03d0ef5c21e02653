package controller

import (
	"context"
	"slices"
	"time"

	"composure/controller/diagnose"
	"composure/controller/observe"
	"composure/spec"
)

// examination is the evidence on one illness of a service: collected once, for one run of its container.
type examination struct {
	of       string    // the runs of the containers it is about
	at       time.Time // of the end of the collection
	pending  bool
	kept     string // incident that it was stored with
	evidence []observe.Evidence
}

// stale is how old evidence may be for a diagnosis that still asks for it, as one that waits for progress does.
const stale = 30 * time.Second

// examine collects the evidence that a diagnosis asks for, in the background: once a run of the containers, and again
// while something is waited for. It says whether the service has to wait for it.
func (c *Controller) examine(ctx context.Context, p *Pass, d diagnose.Diagnosis) bool {
	if len(d.Needs) == 0 {
		return false
	}
	of := runs(p, d.Service)
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.heal.examined[d.Service]
	if ok && (known.pending || (known.of == of && p.Snapshot.At.Sub(known.at) < stale)) {
		return known.pending
	}
	c.heal.examined[d.Service] = examination{of: of, pending: true, evidence: known.evidence}
	stack, snapshot := c.Stack, p.Snapshot
	c.jobs.Go(func() {
		e := c.collect(ctx, stack, snapshot, d)
		e.of, e.at = of, time.Now()
		c.mu.Lock()
		c.heal.examined[d.Service] = e
		c.mu.Unlock()
		c.Trigger()
	})
	return true
}

// collect fetches the evidence, with what the engine's events said. A service that is down is not kept waiting for what takes
// longer than a glance.
func (c *Controller) collect(ctx context.Context, stack *spec.Stack, snapshot *observe.Snapshot, d diagnose.Diagnosis) examination {
	needs, containers := d.Needs, snapshot.Of(d.Service)
	if d.Urgent {
		needs = slices.DeleteFunc(slices.Clone(needs), func(n observe.Need) bool { return !urgent(n, containers) })
	}
	looking, cancel := context.WithCancel(ctx)
	if d.Urgent && observe.Cheap(needs) {
		cancel()
		looking, cancel = context.WithTimeout(ctx, observe.CheapTime)
	}
	defer cancel()
	e := examination{evidence: c.heal.Examiner.Examine(looking, stack, snapshot, d.Service, needs)}
	for _, one := range containers {
		for i := range e.evidence {
			if at := c.oom(one.ID); e.evidence[i].ID == one.ID && (at.After(one.StartedAt()) || one.EndedBy(at)) {
				e.evidence[i].OOM = at
			}
		}
	}
	return e
}

// urgent says whether a service that is down waits for a piece of evidence: for what answers within 150 ms, and for what
// tells a cause that no restart helps against: a database that is away, which refuses at once, a disk that is full, and a
// port that is taken, when the engine has said so. When the healthcheck fails the application is asked, too: one that works
// answers at once, and one that does not would not stop when asked.
func urgent(n observe.Need, containers []observe.Container) bool {
	switch n {
	case observe.NeedLogs, observe.NeedStats, observe.NeedProcesses, observe.NeedCheck, observe.NeedDatabase, observe.NeedDisk:
		return true
	case observe.NeedProbes:
		return slices.ContainsFunc(containers, func(c observe.Container) bool { return c.Health() == "unhealthy" })
	case observe.NeedPorts:
		return slices.ContainsFunc(containers, func(c observe.Container) bool {
			return c.Inspect.State != nil && c.Inspect.State.Error != "" && !c.Running()
		})
	}
	return false
}

// oom is when the engine last said that the kernel killed for memory in a container: the one fact that inspect lies
// about, since its flag stays true on the running successor.
func (c *Controller) oom(id string) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ooms[id]
}

// evidence is what has been collected, by service.
func (c *Controller) evidence() map[string][]observe.Evidence {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := map[string][]observe.Evidence{}
	for service, e := range c.heal.examined {
		if !e.pending {
			found[service] = e.evidence
		}
	}
	return found
}

// runs identifies the runs of a service's containers, and a start that the engine refused.
func runs(p *Pass, service string) string {
	of := ""
	for _, one := range p.Snapshot.Of(service) {
		of += one.ID + one.Inspect.State.StartedAt + one.Status() + one.Inspect.State.Error
	}
	return of
}

// forget drops the evidence on services that are well again, and on runs that are over.
func (c *Controller) forget(p *Pass, ill map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for service, e := range c.heal.examined {
		if _, still := ill[service]; !e.pending && (!still || e.of != runs(p, service)) {
			delete(c.heal.examined, service)
		}
	}
}
