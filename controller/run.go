package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"composure/controller/incident"
	"composure/controller/observe"
	"composure/controller/plan"
	"composure/spec"
)

// Continuous returns a controller that heals: it restores what was last applied, and reports what the file wants beyond
// that. c.Stack is the stack as the file says now.
func Continuous(c Config, h Healing) *Controller {
	if c.Tries == 0 {
		c.Tries = 3
	}
	c.Ledger = h.Memory
	ctl := New(c)
	ctl.heal = &healer{Healing: h, file: c.Stack, examined: map[string]examination{}, weights: map[string]weight{}, masked: map[string]explanation{}, stable: map[string]time.Time{}, unwell: map[string]time.Time{}, ailed: map[string]ailment{}, told: map[string]time.Time{}}
	return ctl
}

// Run passes until ctx ends: on events, on timers, on finished jobs, on changed files. An engine that does not answer is
// one condition: it is waited for, and then everything is looked at anew. When ctx ends no job is begun; those in flight
// are ended, for at most grace.
func (c *Controller) Run(ctx context.Context, resync, grace time.Duration) error {
	if err := c.resume(ctx); err != nil {
		if ctx.Err() != nil { // told to end before it has begun
			return nil
		}
		return err
	}
	work, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	c.over = ctx.Done()
	go c.watch(ctx, c.Stack.Name)
	for ctx.Err() == nil {
		if !c.enter(ctx) {
			break
		}
		began := time.Now()
		c.caughtUp()
		p, err := c.pass(work)
		c.leave()
		if err != nil && ctx.Err() != nil { // the look was cut short, which says nothing about the engine
			break
		}
		if err != nil {
			c.unreachable(ctx, err)
		} else if err := c.remember(work, p); err != nil {
			c.Logger.Warn("not recorded", "error", err)
		}
		breathe(ctx, p, time.Since(began))
		now := time.Now()
		turn := Turn{Pass: p, Took: now.Sub(began), Next: now.Add(c.pause(work, p, resync)), Err: err, Down: c.heal.down}
		c.turned(turn)
		c.idle(ctx, turn)
	}
	return c.windUp(grace, abandon)
}

// resume takes up what an earlier process knew.
func (c *Controller) resume(ctx context.Context) error {
	history, err := c.heal.Memory.Attempts(ctx)
	if err != nil {
		return fmt.Errorf("read what was tried before: %w", err)
	}
	c.mu.Lock()
	c.history = history
	c.mu.Unlock()
	open, _, err := c.heal.Memory.Incidents(ctx)
	if err != nil {
		return fmt.Errorf("read the open incidents: %w", err)
	}
	c.recall(open)
	return c.restoreDesired(ctx, time.Now())
}

// restoreDesired reads what is to be restored: it may have changed by a deployment, a decision or a person.
func (c *Controller) restoreDesired(ctx context.Context, now time.Time) error {
	c.heal.read = time.Now()
	desired, err := c.heal.Memory.Desired(ctx, c.heal.file, now)
	if err != nil {
		return fmt.Errorf("read what was last applied: %w", err)
	}
	c.heal.desired, c.Stack, c.Applied, c.Deploy = desired, desired.Stack, desired.Applied, c.heal.deploying
	switch {
	case c.Deploy:
		c.Stack = desired.File
	case desired.Applied != nil:
		c.Applied = desired.Stack // an override is restored like anything that was applied, and is no pending edit
	}
	return nil
}

// remember records what a pass found: incidents, what was proven stable, what healing decided.
func (c *Controller) remember(ctx context.Context, p Pass) error {
	c.recovered()
	if p.Elsewhere && p.InFlight == 0 { // a deployment, a rollback or a restart by hand changes what is desired and what was tried
		err := c.resume(ctx)
		if err == nil && !c.heal.Memory.Elsewhere(c.heal.read) { // it is over
			c.Trigger()
		}
		return err
	}
	c.explain(p.Plan)
	c.heal.undecided = false
	errs := []error{c.deployed(ctx, p), c.markStable(ctx, p)}
	for _, d := range p.Plan.Decisions {
		c.Logger.Warn("decided", "service", d.Service, "decision", d.Kind, "value", d.Value, "reason", d.Reason)
		if err := c.heal.Memory.Decide(ctx, d, p.Snapshot.At); err != nil {
			c.heal.undecided = true
			errs = append(errs, err)
			continue
		}
		c.Trigger()
	}
	return errors.Join(errs...)
}

// explain logs what is decided against, each reason once while it stands. What a job or an examination has in hand is
// logged as such.
func (c *Controller) explain(p plan.Plan) {
	held := map[string]string{}
	for _, h := range p.Held {
		held[h.Key] = digits.ReplaceAllString(h.Reason, "n") // a failure that is counted on is not another reason
		if c.heal.held[h.Key] != held[h.Key] && !strings.HasPrefix(h.Reason, "in progress: ") {
			c.Logger.Info("held", "subject", h.Title(), "reason", h.Reason)
		}
	}
	c.heal.held = held
}

var digits = regexp.MustCompile(`[0-9]+`)

// markStable closes the budgets of services that have run well for their stable time. What was done to one later and was no rung,
// such as repairs in place, is forgiven after as long: it helped, if nothing is left to do.
func (c *Controller) markStable(ctx context.Context, p Pass) error {
	var errs []error
	said := c.heal.Memory.Data().Said
	well := c.wellSince(&p)
	_, history := c.inFlight()
	c.heal.ripe = time.Time{}
	for _, service := range slices.Sorted(maps.Keys(well)) {
		svc, since := p.Stack.Service(service), c.undisturbed(service, well[service], history)
		if said[service] == incident.DataCompromised {
			continue
		}
		if c.heal.stable[service].Equal(since) {
			if !p.Plan.About(service) {
				c.forgive(service, p.Snapshot.At.Add(-svc.Policy.Remediation.Stable))
			}
			continue
		}
		if ripe := since.Add(svc.Policy.Remediation.Stable); p.Snapshot.At.Before(ripe) {
			if c.heal.ripe.IsZero() || ripe.Before(c.heal.ripe) {
				c.heal.ripe = ripe
			}
			continue
		}
		if err := c.heal.Memory.Stable(ctx, service, p.Snapshot.At); err != nil {
			errs = append(errs, err)
			continue
		}
		c.heal.stable[service] = since
		c.forgive(service, p.Snapshot.At)
	}
	if !c.Deploy { // a deployment pulls an image once
		c.forgiveOthers(p)
	}
	return errors.Join(errs...)
}

// helped is how long ago what belongs to no service, such as a network that was made again, must have been done to count no more, where
// nothing is left to do about it.
const helped = 10 * time.Minute

// forgiveOthers drops the attempts on networks, volumes and orphans that have helped: else what is lost now and then would be held after
// some weeks.
func (c *Controller) forgiveOthers(p Pass) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.history = slices.DeleteFunc(slices.Clone(c.history), func(a plan.Attempt) bool {
		return a.Service == "" && a.At.Before(p.Snapshot.At.Add(-helped)) && !p.Plan.Concerns(a.Key)
	})
}

// undisturbed is since when a service has run well without a break: a start says nothing about an illness that came and
// went since, nor about a remedy that started nothing, such as the end of idle sessions.
func (c *Controller) undisturbed(service string, started time.Time, history []plan.Attempt) time.Time {
	since := started
	if ill := c.heal.unwell[service]; ill.After(since) {
		since = ill
	}
	for _, a := range history {
		if a.Service == service && a.Counts && a.At.After(since) {
			since = a.At
		}
	}
	return since
}

// forgive drops the attempts on a service up to a time: its budget is whole again.
func (c *Controller) forgive(service string, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := c.history[:0:0]
	for _, a := range c.history {
		if a.Service != service || a.At.After(until) {
			kept = append(kept, a)
		}
	}
	c.history = kept
}

// keepIncidents advances the incidents by what was found, and records what changed.
func (c *Controller) keepIncidents(ctx context.Context, o incident.Observation) error {
	if c.heal.Memory.Elsewhere(o.Now) {
		return nil
	}
	open, recent, err := c.heal.Memory.Incidents(ctx)
	if err != nil {
		return err
	}
	change := incident.Advance(open, recent, o)
	if len(change.Changed) == 0 && len(change.Announce) == 0 {
		return c.keepEvidence(ctx, open)
	}
	for _, i := range change.Changed {
		c.Logger.Info("incident", "id", i.ID, "service", i.Service, "cause", i.Cause, "state", i.State)
		if svc := c.Stack.Service(i.Service); i.State == incident.Mitigated && svc != nil && len(svc.Policy.Integrity) > 0 { // its data are checked
			c.Trigger()
		}
	}
	return errors.Join(c.heal.Memory.Keep(ctx, change), c.keepEvidence(ctx, append(open, change.Changed...)))
}

// keepEvidence stores what was collected about the services of open incidents, each collection once.
func (c *Controller) keepEvidence(ctx context.Context, open []incident.Incident) error {
	var errs []error
	for _, i := range open {
		c.mu.Lock()
		e, collected := c.heal.examined[i.Service]
		c.mu.Unlock()
		if !collected || e.pending || e.kept == i.ID || len(e.evidence) == 0 {
			continue
		}
		if err := c.heal.Memory.KeepEvidence(ctx, i, e.evidence); err != nil {
			errs = append(errs, err)
			continue
		}
		e.kept = i.ID
		c.mu.Lock()
		if now := c.heal.examined[i.Service]; now.at.Equal(e.at) {
			c.heal.examined[i.Service] = e
		}
		c.mu.Unlock()
	}
	return errors.Join(errs...)
}

// observation is what a pass says about the incidents.
func (c *Controller) observation(p *Pass) incident.Observation {
	_, history := c.inFlight()
	o := incident.Observation{
		Now: p.Snapshot.At, Stack: p.Stack.Name, Policy: p.Stack.Policy.Escalation, Diagnoses: p.Diagnoses,
		Began: c.heal.began, Well: c.wellSince(p), StableAfter: map[string]time.Duration{}, Exhausted: map[string]string{},
		Attempts: history, DataChecks: c.heal.Memory.Data().Said, Budget: map[string]int{}, Outage: c.outage(p), Raised: c.heal.desired.Raised,
		Endpoints: endpoints(p, p.Ill), Window: p.Window,
	}
	for _, svc := range p.Stack.Services {
		o.StableAfter[svc.Name], o.Budget[svc.Name] = svc.Policy.Remediation.Stable, svc.Policy.Remediation.Attempts
	}
	for _, h := range p.Plan.Held {
		if h.Exhausted {
			o.Exhausted[h.Service] = h.Reason
		}
	}
	return o
}

// outage is since when no service runs that is meant to; zero while one does, or while people have paused the stack. What
// has completed does not count, nor what is in its maintenance window.
func (c *Controller) outage(p *Pass) time.Time {
	var last time.Time
	if c.heal.desired.Paused[""] != "" {
		return last
	}
	for _, svc := range p.Stack.Services {
		if svc.Replicas == 0 || svc.OneShot() || completed(p, svc) || p.Window[svc.Name] != "" {
			continue
		}
		since, ill := c.heal.began[svc.Name]
		if !ill {
			return time.Time{}
		}
		if since.After(last) {
			last = since
		}
	}
	return last
}

// completed says whether all containers of a service have ended as they should.
func completed(p *Pass, svc *spec.Service) bool {
	for _, slot := range observe.Slots(svc, p.Snapshot) {
		c := slot.Container
		if c == nil || c.Running() || p.Judged[c.ID].Verdict != plan.Recovered {
			return false
		}
	}
	return true
}

// wellSince are the services that run well, and since when: one that was ill in its present run, as while its healthcheck failed, from
// when that was first seen to be over.
func (c *Controller) wellSince(p *Pass) map[string]time.Time {
	well := runWell(p)
	for service, since := range well {
		switch ill := c.heal.ailed[service]; {
		case !ill.seen.After(since):
		case ill.over.IsZero():
			well[service] = p.Snapshot.At
		default:
			well[service] = ill.over
		}
	}
	return well
}

// runWell are the services all of whose containers run well, with the start of the youngest. One is not well, nor ill, while a
// probe fails that has not been decided yet: a restart that has not helped has not ended an incident either.
func runWell(p *Pass) map[string]time.Time {
	well := map[string]time.Time{}
	for _, svc := range p.Stack.Services {
		since, all := time.Time{}, svc.Replicas > 0
		for _, slot := range observe.Slots(svc, p.Snapshot) {
			if slot.Surplus { // what is too many is reported, and no part of the service
				continue
			}
			if slot.Container == nil || slot.Replaced != nil || p.Judged[slot.Container.ID].Verdict != plan.Recovered {
				all = false
				break
			}
			if at := slot.Container.StartedAt(); at.After(since) {
				since = at
			}
		}
		if _, sick := p.Ill[svc.Name]; all && !sick {
			well[svc.Name] = since
		}
	}
	for _, r := range p.Probes {
		if r.State == observe.ProbeUnknown && r.Last == observe.ProbeFailing {
			delete(well, r.Service)
		}
	}
	return well
}

// unreachable notes that the engine does not answer: logged once, one incident whatever number of containers it hides.
func (c *Controller) unreachable(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	if c.heal.down.IsZero() {
		c.heal.down = time.Now()
		c.Logger.Error("the engine cannot be observed; waiting for it", "error", err)
	}
	c.tellOfOutage(ctx, c.heal.down, time.Now(), err.Error())
}

// tellOfOutage keeps the incident of an engine that does not answer since a time.
func (c *Controller) tellOfOutage(ctx context.Context, since, now time.Time, why string) {
	o := incident.Observation{Now: now, Stack: c.Stack.Name, Policy: c.Stack.Policy.Escalation, EngineDown: since, EngineError: why}
	if err := c.keepIncidents(ctx, o); err != nil {
		c.Logger.Warn("not recorded", "error", err)
	}
}

// recovered notes that the engine answers again.
func (c *Controller) recovered() {
	if c.heal.down.IsZero() {
		return
	}
	c.Logger.Info("the engine answers again", "away", time.Since(c.heal.down).Round(time.Second).String())
	c.heal.noteOutage(c.heal.down, time.Now())
	c.heal.down = time.Time{}
	c.Trigger()
}

// Reload reads the compose files again, as after a change or SIGHUP, and returns what they say now. Files that cannot be
// read leave the last good desired state in place; the error says what is wrong with them.
func (c *Controller) Reload(ctx context.Context) (*spec.Stack, error) {
	stack, err := c.heal.Reload(ctx)
	if err != nil {
		return nil, fmt.Errorf("the last good desired state stays: %w", err)
	}
	select {
	case c.reload <- stack:
		return stack, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// reread takes over what the files say, between passes. The file is only what is pending; it is deployed by itself only
// when its policy says so, and it says anything else than what is applied.
func (c *Controller) reread(ctx context.Context, stack *spec.Stack) {
	deploy := stack.Policy.Deploy == "auto" && !c.applied(stack)
	c.heal.file = stack
	if deploy {
		c.deployNext()
	}
	if err := c.restoreDesired(ctx, time.Now()); err != nil {
		c.Logger.Warn("desired state not refreshed", "error", err)
	}
}

// windUp lets the jobs in flight end, for at most grace, then abandons them: their intents are on record, and the next
// process goes on from what it observes.
func (c *Controller) windUp(grace time.Duration, abandon context.CancelFunc) error {
	ended := make(chan struct{})
	go func() { c.jobs.Wait(); close(ended) }()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-ended:
		return nil
	case <-timer.C:
		busy, _ := c.inFlight()
		abandon()
		<-ended
		return fmt.Errorf("abandoned %d jobs in flight; the next run continues them", len(busy))
	}
}
