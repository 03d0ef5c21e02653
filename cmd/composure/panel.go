package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"composure/controller"
	"composure/controller/diagnose"
	"composure/controller/drift"
	"composure/controller/engine"
	"composure/controller/incident"
	"composure/controller/observe"
	"composure/controller/view"
	"composure/controller/web"
	"composure/spec"
)

// panel is where the pages read: the last turn of the loop, and the store through a connection of its own, so that no
// reader keeps a pass waiting. It implements web.Source.
type panel struct {
	eng  *engine.Engine
	file *spec.Stack // as the files said at the start: all there is until the engine has answered

	mu     sync.Mutex
	memory *memory
	last   controller.Turn        // Pass is that of the last turn that could observe
	past   view.Memory            // as it was last read
	ill    map[string]view.Walked // service → its decision tree, as it was last walked for a reason
}

// turned takes over what a turn came to.
func (p *panel) turned(t controller.Turn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.Err != nil {
		t.Pass = p.last.Pass
	}
	p.last = t
	if p.ill == nil {
		p.ill = map[string]view.Walked{}
	}
	for _, d := range t.Pass.Diagnoses {
		if t.Err == nil && d.Reason != "" {
			p.ill[d.Service] = view.WalkedAt(d, t.Pass.Snapshot.At)
		}
	}
}

// store is where what is remembered is read.
func (p *panel) store() *memory {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.memory
}

// follow reads what is remembered of another stack from now on.
func (p *panel) follow(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.memory = &memory{Store: p.memory.Store, key: key}
}

// seen is the last turn that is worth showing.
func (p *panel) seen() (controller.Turn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch t := p.last; {
	case t.Pass.Snapshot != nil && t.Pass.File != nil:
		return t, nil
	case t.Err != nil:
		return t, fmt.Errorf("%w: the engine has not answered since %s, and is waited for: %s", web.ErrNotReady, t.Down.UTC().Format(time.DateTime), drift.Line(t.Err.Error()))
	}
	return p.last, web.ErrNotReady
}

// stack is the stack as its files say, also before the engine has answered: the incident about that can be read then.
func (p *panel) stack() *spec.Stack {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last.Pass.File != nil {
		return p.last.Pass.File
	}
	return p.file
}

// input is what the views are made from. storeErr says why the memory in it may be old.
func (p *panel) input(ctx context.Context) (in view.Input, t controller.Turn, storeErr, err error) {
	if t, err = p.seen(); err != nil {
		return in, t, nil, err
	}
	in = shownPass(t.Pass)
	in.Memory, storeErr = p.remembered(ctx, t.Pass)
	in.Drift = drift.Compute(drift.Input{
		Stack: t.Pass.File, Applied: t.Pass.Applied, Snapshot: t.Pass.Snapshot, Overrides: asDrift(t.Pass.File, in.Memory.Overrides),
		Paused: pauses(in.Memory.Overrides),
	})
	in.Next, in.Down = t.Next, t.Down
	if t.Err != nil {
		in.Reason = t.Err.Error()
	}
	return in, t, storeErr, nil
}

// shownPass is what a pass of the remediator says of the services.
func shownPass(p controller.Pass) view.Input {
	return view.Input{Stack: p.File, Snapshot: p.Snapshot, Judged: p.Judged, Plan: p.Plan, Figures: p.Samples, Probes: p.Probes, Ill: p.Ill}
}

// remembered is what the store says, or what it said last.
func (p *panel) remembered(ctx context.Context, pass controller.Pass) (view.Memory, error) {
	past, err := remembered(ctx, p.store(), pass.File)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.past = past
	}
	return p.past, err
}

// Status implements web.Source, as do the methods below.
func (p *panel) Status(ctx context.Context) (view.Status, error) {
	in, _, storeErr, err := p.input(ctx)
	if err != nil {
		return view.Status{}, err
	}
	now := view.StatusOf(in)
	if storeErr != nil {
		now.Notes = append(now.Notes, "the store cannot be read, what is remembered may be old: "+drift.Line(storeErr.Error()))
	}
	return now, nil
}

func (p *panel) Service(ctx context.Context, service string) (view.Detail, error) {
	in, t, storeErr, err := p.input(ctx)
	if err != nil {
		return view.Detail{}, err
	}
	status := view.StatusOf(in)
	at := slices.IndexFunc(status.Services, func(s view.Service) bool { return s.Service == service })
	if at < 0 {
		return view.Detail{}, unknownService(t.Pass.File, service)
	}
	all, err := p.store().incidents(ctx)
	if err != nil && storeErr == nil {
		return view.Detail{}, err
	}
	return view.DetailOf(in, status.Services[at], p.trees(t.Pass, service), all, t.Pass.File.WorkingDir), nil
}

// trees are the decision trees of a service. One that is well is walked too: nothing is looked at for it that a pass has
// not looked at.
func (p *panel) trees(pass controller.Pass, service string) view.Trees {
	p.mu.Lock()
	last, known := p.ill[service]
	p.mu.Unlock()
	if known && last.At.Equal(pass.Snapshot.At.UTC()) {
		return view.Trees{Now: last}
	}
	var trees view.Trees
	for _, d := range diagnose.Diagnose(diagnose.Input{
		Now: pass.Snapshot.At, Stack: pass.Stack, Snapshot: pass.Snapshot, Drift: pass.Drift, Ask: map[string]bool{service: true},
		Probes: pass.Probes, Samples: pass.Samples, Evidence: pass.Evidence,
	}) {
		d.Needs, d.Finding = nil, nil // it is well: a walk for the asking names no cause
		trees.Now = view.WalkedAt(d, pass.Snapshot.At)
	}
	if known {
		trees.Last = &last
	}
	return trees
}

func (p *panel) Log(ctx context.Context, service string) (view.Log, error) {
	t, err := p.seen()
	if err != nil {
		return view.Log{}, err
	}
	if t.Pass.File.Service(service) == nil {
		return view.Log{}, unknownService(t.Pass.File, service)
	}
	log := view.Log{Schema: "composure.log/v1", Stack: t.Pass.File.Name, Service: service, Lines: []view.LogLine{}}
	for _, c := range t.Pass.Snapshot.Of(service) {
		text, err := p.eng.LogsTimed(ctx, c.ID, logLines, logBytes)
		if err != nil {
			log.Gaps = append(log.Gaps, view.Gap{Subject: "log of " + c.Name, Service: service, Error: drift.Line(err.Error())})
			continue
		}
		log.Add(c.Name, observe.Shown(t.Pass.File, c, text))
	}
	return log, nil
}

// Bounds of the end of a log that is shown.
const (
	logLines = 200
	logBytes = 64 << 10
)

func (p *panel) Drift(ctx context.Context) (drift.Document, error) {
	in, t, _, err := p.input(ctx)
	if err != nil {
		return drift.Document{}, err
	}
	return drift.DocumentOf(in.Drift, drift.RenderOptions{Root: t.Pass.File.WorkingDir, At: t.Pass.Snapshot.At}), nil
}

func (p *panel) Diagnoses(context.Context) (view.Diagnoses, error) {
	t, err := p.seen()
	if err != nil {
		return view.Diagnoses{}, err
	}
	return view.DiagnosesOf(t.Pass.File.Name, t.Pass.Diagnoses, t.Pass.Snapshot.Gaps), nil
}

func (p *panel) Plan(context.Context) (view.Plan, error) {
	t, err := p.seen()
	if err != nil {
		return view.Plan{}, err
	}
	return view.PlanOf(t.Pass.Plan, t.Pass.File.Name, t.Pass.File.WorkingDir), nil
}

func (p *panel) History(ctx context.Context, service string, limit int) (view.History, error) {
	t, err := p.seen()
	if err != nil {
		return view.History{}, err
	}
	if service != "" && t.Pass.File.Service(service) == nil {
		return view.History{}, unknownService(t.Pass.File, service)
	}
	record, err := p.store().onRecord(ctx, service, limit)
	if err != nil {
		return view.History{}, err
	}
	return view.HistoryOf(t.Pass.File.Name, record, service, limit), nil
}

func (p *panel) Incidents(ctx context.Context, limit int) (view.Incidents, error) {
	all, err := p.store().incidents(ctx)
	return view.IncidentsOf(p.stack().Name, all, limit), err
}

func (p *panel) Incident(ctx context.Context, id string) (view.Incident, error) {
	i, err := p.incident(ctx, id)
	if err != nil {
		return view.Incident{}, err
	}
	kept, err := p.store().EvidenceOf(ctx, i.ID)
	if err != nil {
		return view.Incident{}, err
	}
	pieces, err := p.store().pieces(ctx, kept, true)
	return view.IncidentOf(i, pieces), err
}

func (p *panel) Report(ctx context.Context, id string) (string, error) {
	i, err := p.incident(ctx, id)
	if err != nil {
		return "", err
	}
	kept, err := p.store().EvidenceOf(ctx, i.ID)
	return reportOf(i, p.stack(), kept, time.Now()), err
}

func (p *panel) incident(ctx context.Context, id string) (incident.Incident, error) {
	all, err := p.store().incidents(ctx)
	if err != nil {
		return incident.Incident{}, err
	}
	i, err := named(all, id)
	if errors.Is(err, errNoIncident) {
		err = fmt.Errorf("%w: no incident has the id %s", web.ErrNotFound, id)
	}
	return i, err
}

func unknownService(stack *spec.Stack, service string) error {
	return fmt.Errorf("%w: no service is called %s; the stack %s has %s", web.ErrNotFound, service, stack.Name, serviceNames(stack))
}
