package main

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"composure/controller"
	"composure/controller/diagnose"
	"composure/controller/drift"
	"composure/controller/incident"
	"composure/controller/observe"
	"composure/controller/store"
	"composure/controller/verify"
	"composure/spec"
)

// The diagnosis by hand: what the remediator would find, from the same facts, by a process that only reads.

// known is what the store tells a diagnosis; all of it is empty where there is none.
type known struct {
	desired controller.Desired
	pass    controller.Pass // what was tried
	began   map[string]time.Time
	before  []store.Baseline
	open    []incident.Incident
}

// knows reads the store as the remediator does. The stack is then what was last applied, since that is what runs.
func (s *session) knows(ctx context.Context) (k known, err error) {
	if s.memory, err = s.app.peekMemory(ctx, s.id, s.stack); s.memory == nil {
		return k, err
	}
	buffered, err := store.NewBuffered(ctx, s.memory.Store, s.memory.key)
	if err != nil {
		return k, err
	}
	defer buffered.Close(ctx)
	memory := &healMemory{Buffered: buffered, eng: s.eng, stack: s.memory.key, name: s.stack.Name, log: s.log}
	if k.desired, err = memory.Desired(ctx, s.stack, time.Now()); err != nil {
		return k, err
	}
	if k.pass.Tried, err = memory.Attempts(ctx); err != nil {
		return k, err
	}
	if k.before, err = memory.Baselines(ctx); err != nil {
		return k, err
	}
	k.open, _, err = memory.Incidents(ctx)
	k.began = map[string]time.Time{}
	for _, i := range k.open {
		if i.State == incident.Open || i.State == incident.Acknowledged {
			k.began[i.Service] = i.IllSince
		}
	}
	return k, err
}

// examined is what was found, what could not be observed, and what is on record about it.
type examined struct {
	found []diagnose.Diagnosis
	gaps  []observe.Gap
	open  []incident.Incident
}

// examine looks twice, as the remediator does: once to learn what evidence is needed, once with it.
func (s *session) examine(ctx context.Context, asked map[string]bool) (e examined, err error) {
	k, unread := s.knows(ctx)
	if unread != nil || k.desired.Stack == nil {
		k = known{desired: controller.Desired{Stack: s.stack}}
	}
	stack := k.desired.Stack
	snapshot, err := observe.Collect(ctx, s.eng, stack)
	if err != nil {
		return e, err
	}
	if unread != nil { // the ill are looked at all the same
		snapshot.Gaps = append(snapshot.Gaps, observe.Gap{Subject: "what is on record of the stack (deployments, baselines, overrides)", Err: unread.Error()})
	}
	p := k.pass
	p.Stack, p.Snapshot, p.Judged = stack, snapshot, verify.All(stack, snapshot)
	compared := drift.Input{Stack: stack, Snapshot: snapshot}
	if k.desired.Applied != nil {
		compared.Applied = stack
	}
	p.Drift = drift.Compute(compared)
	sampler := observe.NewMemorySampler(s.eng)
	sampler.Sample(ctx, snapshot)
	p.Samples = sampler.Samples()
	prober := observe.NewProber(observe.ProberConfig{Engine: s.eng, EngineHost: engineHost(s.eng), Dial: s.app.outside.reach, Logger: s.log})
	defer prober.Close()
	answers := make([][]observe.ProbeResult, len(stack.Services))
	var all sync.WaitGroup
	for i, svc := range stack.Services {
		all.Go(func() { answers[i] = prober.Once(ctx, stack, snapshot, svc.Name) })
	}
	all.Wait()
	p.Probes = slices.Concat(answers...)
	data, err := s.data(ctx, &p, k.before)
	if err != nil {
		return e, err
	}
	p.Unsound = controller.Unsound(&p, data, k.desired.Applied != nil)
	in := diagnose.Input{
		Now: snapshot.At, Stack: stack, Snapshot: snapshot, Drift: p.Drift, Ill: s.ill(&p, k), Ask: asked, Probes: p.Probes, Samples: p.Samples,
		Evidence: map[string][]observe.Evidence{}, Began: k.began, Deployed: k.desired.Deployed, Returned: k.desired.Returned, Undone: controller.Undone(k.pass.Tried), Stable: map[string]string{},
		Baseline: data.Baseline, Measured: data.Measured, Broken: data.Broken, Clusters: data.Clusters, Systems: data.Systems, Volumes: k.desired.Applied != nil,
	}
	for service, stable := range k.desired.Stable {
		in.Stable[service] = stable.Revision
	}
	examiner := s.app.examiner(s.eng)
	for _, d := range diagnose.Diagnose(in) {
		if len(d.Needs) > 0 {
			in.Evidence[d.Service] = examiner.Examine(ctx, stack, snapshot, d.Service, d.Needs)
		}
	}
	return examined{append(diagnose.Diagnose(in), undeployed(stack, asked)...), snapshot.Gaps, k.open}, nil
}

// ill are the services that are not well, as the remediator judges. Where nothing is on record a container that is not there
// is missing.
func (s *session) ill(p *controller.Pass, k known) map[string]string {
	ill := map[string]string{}
	if k.desired.Applied == nil {
		for _, svc := range p.Stack.Services {
			for _, slot := range observe.Slots(svc, p.Snapshot) {
				if slot.Container == nil {
					ill[svc.Name] = "it does not exist"
				}
			}
		}
	}
	maps.Copy(ill, controller.Illnesses(p, k.desired.Deployed))
	return ill
}

// undeployed tells of services that were asked for and that only the file has.
func undeployed(stack *spec.Stack, asked map[string]bool) []diagnose.Diagnosis {
	var found []diagnose.Diagnosis
	for name := range asked {
		if stack.Service(name) == nil {
			found = append(found, diagnose.Diagnosis{Service: name, Steps: []diagnose.Step{{
				Question: "container running?", Answer: diagnose.No, Checked: "what was last applied",
				Seen: "the file has it, and it was never deployed; `composure reconcile --once " + name + "` deploys it",
			}}})
		}
	}
	return found
}

// data makes the integrity checks of what runs, and holds them against the baseline.
func (s *session) data(ctx context.Context, p *controller.Pass, captured []store.Baseline) (controller.Data, error) {
	d := controller.Data{
		Baseline: map[string]map[string]float64{}, Measured: map[string]map[string]float64{}, Broken: map[string]map[string]string{},
		Clusters: map[string]string{}, Systems: map[string]string{},
	}
	measure := s.app.outside.measure
	if measure == nil {
		measure = s.app.examiner(s.eng).Measure
	}
	for _, svc := range p.Stack.Services {
		before, err := baselineOf(svc.Name, captured)
		if err != nil {
			return d, err
		}
		if len(before) == 0 || len(svc.Policy.Integrity) == 0 || !controller.Settled(p, svc) {
			continue
		}
		m := measure(ctx, p.Stack, p.Snapshot, svc.Name)
		d.Measured[svc.Name], d.Broken[svc.Name], d.Systems[svc.Name] = m.Values, m.Broken, m.System
		d.Baseline[svc.Name] = map[string]float64{}
		for name, b := range before {
			d.Baseline[svc.Name][name], d.Clusters[svc.Name] = b.Value, cmp.Or(b.System, d.Clusters[svc.Name])
		}
	}
	return d, nil
}
