package controller

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"composure/controller/diagnose"
	"composure/controller/incident"
	"composure/controller/observe"
	"composure/controller/plan"
	"composure/spec"
)

// Prober watches the services by their probes. Results are as they stand; Sync makes the probes follow the containers.
type Prober interface {
	Sync(ctx context.Context, stack *spec.Stack, snapshot *observe.Snapshot)
	Results() []observe.ProbeResult
}

// Examiner collects evidence about a service, once, bounded in time.
type Examiner interface {
	Examine(ctx context.Context, stack *spec.Stack, snapshot *observe.Snapshot, service string, needs []observe.Need) []observe.Evidence
}

// Memory is what healing remembers beyond the life of a process. It answers also while the store behind it is down.
type Memory interface {
	Ledger
	// Attempts returns what was tried on each service since it was last stable, oldest first.
	Attempts(ctx context.Context) ([]plan.Attempt, error)
	// Desired returns what is to be restored: the stack as last applied with the recorded overrides in it, and who is
	// to be left alone and why. file is the stack as the file says now.
	Desired(ctx context.Context, file *spec.Stack, now time.Time) (Desired, error)
	// Decide records an override that healing chose.
	Decide(ctx context.Context, d plan.Decision, now time.Time) error
	// Adopt records that the stack is, from now on, what this pass shows.
	Adopt(ctx context.Context, p Pass, origin string) error
	// AdoptServices records that some services are, from now on, what the file of this pass says, with the images that run, or gone with
	// it; the others stay as they were applied.
	AdoptServices(ctx context.Context, p Pass, services map[string]bool, origin string) error
	// Stable records that a service has run well for its stable time: its attempts no longer count.
	Stable(ctx context.Context, service string, now time.Time) error
	// Elsewhere says whether somebody else had the stack at a time, such as a deployment or a restart by hand: what is
	// down then is their doing, and no incident.
	Elsewhere(at time.Time) bool
	// Asked is the command that asks for the stack, such as "restart api"; empty: none does. It gets it once nothing is in
	// flight, so nothing new is begun.
	Asked() string
	// CheckData makes the integrity checks of a service in the background, once for each thing that they are about and
	// again while they say that something is wrong, and calls done when their answer is part of Data.
	CheckData(ctx context.Context, stack *spec.Stack, snapshot *observe.Snapshot, service, about string, done func())
	// Data returns what the integrity checks last said.
	Data() Data
	Incidents(ctx context.Context) (open, recent []incident.Incident, err error)
	Keep(ctx context.Context, change incident.Change) error
	KeepEvidence(ctx context.Context, i incident.Incident, evidence []observe.Evidence) error
}

// Desired is what continuous mode restores.
type Desired struct {
	Stack    *spec.Stack
	Applied  *spec.Stack       // without overrides; nil: nothing is recorded
	File     *spec.Stack       // as the file says, with the overrides that a deployment keeps: what one makes of the stack
	Paused   map[string]string // service, "" for the stack → why it is left alone
	Stable   map[string]plan.Stable
	Images   map[string]string    // service → id of the image that was applied
	Raised   map[string]time.Time // service → when its memory limit was last raised
	Deployed map[string]time.Time // service → when a deployment last changed it
	Returned map[string]time.Time // service → when a rollback, or a rebuilt image, was decided that is in force
	Commits  map[string]string    // service → commit from which its image was built, where that is known for sure
}

// Data is what the integrity checks last said, by service, and what they are held against.
type Data struct {
	Said     map[string]string             // incident.DataVerified, DataCompromised or DataUnchecked
	Baseline map[string]map[string]float64 // check → figure that must not fall
	Measured map[string]map[string]float64
	Broken   map[string]map[string]string // check → why a server that answers refused to give a figure
	Clusters map[string]string            // system identifier of the PostgreSQL when the baseline was taken
	Systems  map[string]string            // and now
	Failing  map[string]string            // which check has failed for a while; a copy of the caller's own
}

// Sampler takes the resource figures of running containers now and then; Sample does nothing when it is not due.
type Sampler interface {
	Sample(ctx context.Context, snapshot *observe.Snapshot) bool
	Samples() map[string]observe.Stats
}

// Healing is what continuous mode works with beyond a Config.
type Healing struct {
	Prober   Prober
	Examiner Examiner
	Sampler  Sampler
	Memory   Memory
	// WritableSize is how many bytes a container has written outside its volumes.
	WritableSize func(ctx context.Context, id string) (int64, error)
	// Reload reads the compose files again.
	Reload func(ctx context.Context) (*spec.Stack, error)
	// Edited says whether the files have changed and are still to be read, which Reload does then: what somebody has done to the stack
	// may be what they say now. It must answer at once. nil: nobody knows.
	Edited func() bool
	// Turned is called after every turn of the loop, when what it found is on record; it must not block. nil: nobody asks.
	Turned func(Turn)
	// Ended is called when a job has ended, from its goroutine; it must not block. nil: nobody asks.
	Ended func(plan.Attempt)
}

// healer is the state of continuous mode between passes. Everything in it can be found again after a restart, from the
// memory or by looking.
type healer struct {
	Healing
	file    *spec.Stack // as the files say now, or as they last said when they cannot be read
	desired Desired
	read    time.Time // when it was last read

	undecided bool        // a decision could not be recorded
	deploying bool        // the passes are those of the deployment verb, on file
	failed    *spec.Stack // the file whose deployment failed: it is not tried again

	examined map[string]examination  // by service
	weights  map[string]weight       // container id → what it has written outside its volumes
	stable   map[string]time.Time    // service → start of the run that was recorded as stable
	ripe     time.Time               // when the next service is proven stable, if it stays well; zero: none is waited for
	down     time.Time               // since when the engine does not answer; zero: it does
	outages  []plan.Span             // when it was away, oldest first
	mass     time.Time               // when most of the stack last failed at once
	suspects map[string]plan.Illness // service → what was found about its data before this process began
	began    map[string]time.Time    // service → since when it is not well
	unwell   map[string]time.Time    // service → when it was last seen not to be well
	ailed    map[string]ailment      // by service
	masked   map[string]explanation  // by service
	told     map[string]time.Time    // container id → kill for memory that an incident tells of
	held     map[string]string       // key → why it was left alone in the last pass
	sampling atomic.Bool
}

// restored is how long after the engine came back containers that are down are simply started: the engine leaves some
// down after a crash, which is its condition and not an incident of each.
const restored = 2 * time.Minute

// diagnose walks the tree for every service that is not well and hands what it finds to the plan.
func (c *Controller) diagnose(ctx context.Context, p *Pass, in *plan.Input) {
	h := c.heal
	h.Prober.Sync(ctx, c.Stack, p.Snapshot)
	p.Probes = h.Prober.Results()
	c.sample(ctx, p)
	data := c.checkData(ctx, p)
	p.Killed = c.killed(p)
	ill := Illnesses(p, h.desired.Deployed)
	p.Ill = ill
	c.noteBegan(p, ill)
	c.forget(p, ill)
	byOthers(p, in.Busy)
	seen := diagnose.Input{
		Now: p.Snapshot.At, Stack: c.Stack, Snapshot: p.Snapshot, Drift: p.Drift, Ill: ill, Probes: p.Probes, Samples: p.Samples,
		Evidence: c.evidence(), Deployed: h.desired.Deployed, Returned: h.desired.Returned, Undone: Undone(p.Tried), Stable: map[string]string{}, Began: h.began, Repaired: map[string]time.Time{},
		Baseline: data.Baseline, Measured: data.Measured, Broken: data.Broken, Clusters: data.Clusters, Systems: data.Systems, Volumes: h.desired.Applied != nil,
	}
	for service, stable := range h.desired.Stable {
		seen.Stable[service] = stable.Revision
	}
	for service, at := range p.Killed {
		if ill[service] == killed {
			seen.Repaired[service] = at
		}
	}
	// What a service looks like while a job, or somebody else, has it in hand is their doing.
	p.Evidence = seen.Evidence
	p.Diagnoses = slices.DeleteFunc(diagnose.Diagnose(seen), func(d diagnose.Diagnosis) bool { return inHand(in.Busy, d.Service) })
	c.aftermath(p)
	in.Ill = map[string]plan.Illness{}
	for _, d := range p.Diagnoses {
		if d.MaskedBy == "" {
			c.weigh(ctx, p, d.Service)
		}
		if c.examine(ctx, p, d) {
			for _, slot := range observe.Slots(c.Stack.Service(d.Service), p.Snapshot) {
				in.Busy[fmt.Sprintf("service/%s/%d", d.Service, slot.Number)] = "being examined"
			}
			continue
		}
		if illness, ok := asIllness(d, seen.Evidence[d.Service], ill); ok {
			in.Ill[d.Service] = illness
		}
	}
	c.suspect(in.Ill, data)
	alsoHandsOff(in.Ill, p.Diagnoses)
	in.Written, in.Weighing = c.written(p.Snapshot)
	in.Sick = sick(p)
	in.Stable, in.Pinned, in.Raised = h.desired.Stable, h.desired.Images, h.desired.Raised
	in.Commits, in.Returned = h.desired.Commits, h.desired.Returned
	in.Paused = maintenance(c.Stack, h.desired.Paused, p.Snapshot.At)
	p.Window = maintenance(c.Stack, nil, p.Snapshot.At)
	in.Outages = h.outages
	in.Restoring = len(h.outages) > 0 && p.Snapshot.At.Before(h.back().Add(restored))
	mass := diagnose.MassFailure(seen, p.Diagnoses)
	switch {
	case mass != nil:
		h.mass, in.Brake = p.Snapshot.At, mass.Summary
		p.Diagnoses = append(p.Diagnoses, diagnose.Diagnosis{Reason: mass.Summary, Finding: mass})
	case diagnose.MassFailureLooms(seen, p.Diagnoses):
		in.Brake = "most of the stack is not well, and what failed is being looked at"
	case p.Snapshot.At.Before(h.mass.Add(settles)): // they do not all get well in the same moment
		in.Brake = "most of the stack failed at once, and is just getting well"
	}
}

// recall takes from the open incidents since when services are not well, or are well again, whose data are in doubt, and whether the
// engine has just come back: what it left down is no stop by hand because another process was here when it left it.
func (c *Controller) recall(open []incident.Incident) {
	c.heal.began, c.heal.suspects = map[string]time.Time{}, map[string]plan.Illness{}
	for _, i := range open {
		if now := time.Now(); i.Cause == "engine_unreachable" && len(c.heal.outages) == 0 {
			back := i.Returned
			if back.IsZero() || back.After(now) {
				back = now
			}
			c.heal.noteOutage(i.Began, back)
		}
		if i.State != incident.Open && i.State != incident.Acknowledged {
			if last, known := c.heal.ailed[i.Service]; !known || !last.over.IsZero() && i.MitigatedAt.After(last.over) { // an open one goes before
				c.heal.ailed[i.Service] = ailment{seen: i.MitigatedAt, over: i.MitigatedAt}
			}
			continue
		}
		c.heal.ailed[i.Service] = ailment{seen: time.Now()}
		if i.Cause == "data_loss" || i.Cause == "data_corruption_suspected" {
			c.heal.suspects[i.Service] = plan.Illness{Cause: i.Cause, Summary: i.Summary, HandsOff: true}
		}
		for _, service := range append([]string{i.Service}, i.Impact.Services...) {
			c.heal.began[service] = i.IllSince
		}
	}
}

// sample takes the figures in the background, so that no pass waits for them. They call for one only when they make a
// service ill that was not, or the other way round.
func (c *Controller) sample(ctx context.Context, p *Pass) {
	p.Samples = c.heal.Sampler.Samples()
	if !c.heal.sampling.CompareAndSwap(false, true) {
		return
	}
	before := *p
	c.jobs.Go(func() {
		defer c.heal.sampling.Store(false)
		if !c.heal.Sampler.Sample(ctx, before.Snapshot) {
			return
		}
		now := before
		now.Samples = c.heal.Sampler.Samples()
		if slices.ContainsFunc(now.Snapshot.Containers, func(one observe.Container) bool { return gorged(&now, one) != gorged(&before, one) }) {
			c.Trigger()
		}
	})
}
