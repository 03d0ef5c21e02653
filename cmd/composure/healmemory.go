package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"composure/controller/engine"
	"composure/controller/incident"
	"composure/controller/observe"
	"composure/controller/plan"
	"composure/controller/store"
	"composure/spec"
)

// healMemory is what continuous mode remembers of one stack: the buffered store, and the lease, which it keeps while it
// runs, also over an outage of the store, and lends to commands that ask for it. It implements controller.Memory.
type healMemory struct {
	*store.Buffered
	eng    *engine.Engine
	engine string      // its id, or what stands for that
	stack  string      // key in the store
	name   string      // project
	dir    string      // state directory
	file   *spec.Stack // as the files say now: what reports refer to
	owner  store.Owner
	seat   *seat // nil: none is needed
	log    *slog.Logger

	measure func(ctx context.Context, stack *spec.Stack, snapshot *observe.Snapshot, service string) observe.Measurement
	made    *images // what this process builds
	models  models
	before  before
	samples sampleBuffer
	beats   beats
	wake    func()                    // asks for a pass: the lease was taken, or others have written; it must not block. nil: nobody asks
	kept    func([]incident.Incident) // told of incidents that are on record; nil: nobody asks
	data    dataChecks
	post    *postman

	mu       sync.Mutex
	lease    *store.Lease
	why      string    // why there is no lease
	taken    time.Time // when the lease was last taken
	inFlight int
	asker    string        // command that asks for the lease; empty: none did when the store last answered
	nudge    chan struct{} // the last job in flight has ended, and a command waits
	waited   bool          // a command waited for the lease when the store was last asked, or it did not answer
	others   store.Others  // who may ask for the lease
	stamp    string        // of the store when it was last looked at
}

// How often the lease is renewed, and how often it is looked whether there is anything else to do about it where nothing tells.
const (
	renewEvery = leaseTTL / 2 // what fails is tried again every second: there is time for two that hang
	lookEvery  = time.Second
	burst      = 100 * time.Millisecond // what is written together is heard of once
)

// keepLease holds the lease until ctx ends: takes it, renews it, and lends it while somebody asks for it and nothing is
// in flight. stirs tells when the store was written to; nil: it is looked at every second.
func (m *healMemory) keepLease(ctx context.Context, stirs <-chan struct{}) {
	var renewed time.Time
	timer, listening := time.NewTimer(0), stirs
	defer timer.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			continue
		case <-listening:
			listening = nil
			timer.Reset(burst)
			continue
		case <-m.nudge:
		case <-timer.C:
		}
		listening = stirs
		if renew := time.Since(renewed) >= renewEvery; renew || m.stirred() {
			if renew {
				renewed = time.Now()
			}
			m.tendLease(ctx, renew)
			if m.wake != nil && m.News(ctx) { // such as a pause: it counts from now on, and not from the next look
				m.wake()
			}
		}
		if stirs == nil || m.restless() {
			timer.Reset(lookEvery)
		} else {
			timer.Reset(max(time.Until(renewed.Add(renewEvery)), 0))
		}
	}
	m.release(context.WithoutCancel(ctx))
}

// restless says whether the lease may have to be looked after before it is to be renewed, though nobody writes.
func (m *healMemory) restless() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lease == nil || m.waited
}

// stirred says whether there may be anything to do about the lease before it is to be renewed: it is not held, a command
// waits for it, or somebody has written to the store.
func (m *healMemory) stirred() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	stamp := m.Store().Stamp()
	still := m.lease != nil && !m.waited && stamp != "" && stamp == m.stamp
	m.stamp = stamp
	return !still
}

func (m *healMemory) tendLease(ctx context.Context, renew bool) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	asker, err := m.asked(ctx)
	asked := asker != ""
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		m.relieved(asker)
	}
	switch {
	case err != nil: // the store is down: what is held stays held
	case m.lease == nil && asked:
		m.why = "lent to a command"
	case m.lease == nil:
		err = m.take(ctx)
	case asked && m.inFlight == 0:
		if err = m.lease.Release(ctx); err == nil {
			m.lease, m.why = nil, "lent to a command"
		}
	case renew || m.waited: // after an outage at once, before it is somebody else's turn
		if err = m.lease.Renew(ctx); errors.Is(err, store.ErrLeaseLost) {
			m.lease, m.why = nil, err.Error()
		}
	}
	down := err != nil && !errors.Is(err, store.ErrLeased) && !errors.Is(err, store.ErrLeaseLost)
	m.waited = asked || down
}

// take takes the lease, or says why it cannot. What others did while they had it is read first, such as a deployment: what is in
// memory after an outage of the store would undo it.
func (m *healMemory) take(ctx context.Context) error {
	if err := m.seat.take(); err != nil {
		m.why = err.Error()
		return err
	}
	lease, err := m.Store().Acquire(ctx, m.stack, m.owner, leaseTTL)
	m.taken = time.Now()
	if err != nil {
		m.why = err.Error()
		return err
	}
	if err := errors.Join(m.Flush(ctx), m.Refresh(ctx)); err != nil {
		m.why = "what was done meanwhile could not be read: " + err.Error()
		return errors.Join(err, lease.Release(ctx))
	}
	m.lease = lease
	if m.wake != nil {
		m.wake()
	}
	return nil
}

// Elsewhere says whether somebody else had the stack at a time.
func (m *healMemory) Elsewhere(at time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lease == nil || at.Before(m.taken)
}

// asked is the command that waits for the lease, or nothing. One that died is not waited for: what it asked expires.
// Nobody asks who did not when the store was asked last, if nobody else has written since.
func (m *healMemory) asked(ctx context.Context) (string, error) {
	wrote, err := m.others.Wrote(ctx, m.Store())
	if err != nil || !wrote && !m.restless() {
		return "", err
	}
	overrides, err := m.Store().Overrides(ctx, m.stack, time.Now())
	for _, o := range overrides {
		if o.Kind == overrideHandover {
			return cmp.Or(o.Owner, "a command"), nil
		}
	}
	return "", err
}

// relieved takes over who asks for the lease. When nobody does any more, what was put off is due. The caller holds mu.
func (m *healMemory) relieved(asker string) {
	if m.asker != "" && asker == "" && m.lease != nil && m.wake != nil {
		m.wake()
	}
	m.asker = asker
}

// Asked implements controller.Memory.
func (m *healMemory) Asked() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asker
}

func (m *healMemory) release(ctx context.Context) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lease == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := m.lease.Release(ctx); err != nil {
		m.log.Warn("lease not given back; it expires by itself", "error", err)
	}
	m.lease = nil
}

// Begin records an intent before the act. Without the lease nothing is begun.
func (m *healMemory) Begin(ctx context.Context, job plan.Job, at time.Time) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lease == nil {
		return "", fmt.Errorf("the stack is not leased to this process: %s", m.why)
	}
	if err := m.seat.take(); err != nil {
		m.log.Warn("the stack is watched, and nothing is done to it until it is free", "reason", err)
		err = errors.Join(err, m.lease.Release(ctx))
		m.lease, m.why = nil, err.Error()
		return "", err
	}
	attempt, err := intent(m.stack, job, at)
	if err == nil {
		err = m.Buffered.Begin(ctx, m.lease, attempt)
	}
	if err == nil {
		m.inFlight++
	}
	return attempt.ID, err
}

// Finish records how it ended.
func (m *healMemory) Finish(ctx context.Context, id string, outcome plan.Outcome, reason string, at time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.inFlight--; m.inFlight == 0 && m.asker != "" {
		select {
		case m.nudge <- struct{}{}:
		default:
		}
	}
	return m.Buffered.Finish(ctx, m.lease, id, string(outcome), reason, at)
}

// Attempts returns what was tried on each service since it was last stable.
func (m *healMemory) Attempts(ctx context.Context) ([]plan.Attempt, error) {
	rows, err := m.Buffered.Attempts(ctx, store.AttemptFilter{Stack: m.stack})
	if err != nil {
		return nil, err
	}
	stable, err := m.stableTimes(ctx)
	if err != nil {
		return nil, err
	}
	var attempts []plan.Attempt
	for _, a := range rows {
		if a.StartedAt.After(stable[a.Service]) {
			attempts = append(attempts, asAttempt(a))
		}
	}
	return attempts, nil
}

// asAttempt reads a row. One without an outcome was cut short with its process: nobody knows how far it came.
func asAttempt(a store.Attempt) plan.Attempt {
	at, outcome, reason := a.FinishedAt, plan.Outcome(a.Outcome), a.Error
	if at.IsZero() {
		at, outcome, reason = a.StartedAt, plan.Unknown, "cut short, and nobody knows how far it came"
	}
	return plan.Attempt{Key: a.Key, Service: a.Service, Kind: a.Operation, Cause: a.Cause, Counts: a.Rung > 0, At: at, Outcome: outcome, Reason: reason}
}

// serviceState is what is kept of a service between processes.
type serviceState struct {
	StableAt time.Time `json:"stable_at"` // when it was last proven stable: attempts before it do not count
}

func (m *healMemory) stableTimes(ctx context.Context) (map[string]time.Time, error) {
	states, err := m.States(ctx)
	stable := map[string]time.Time{}
	for _, s := range states {
		var state serviceState
		if err := json.Unmarshal(s.Document, &state); err == nil {
			stable[s.Service] = state.StableAt
		}
	}
	return stable, err
}

// Stable closes the budget of a service and, when its revision is known, records it as proven: its image is kept from
// `docker image prune` by a tag of ours, so that a rollback finds it.
func (m *healMemory) Stable(ctx context.Context, service string, now time.Time) error {
	m.captureSoon(ctx, service)
	document, err := json.Marshal(serviceState{StableAt: now})
	if err != nil {
		return err
	}
	if err := errors.Join(m.SaveState(ctx, store.State{Service: service, Document: document, Updated: now}), m.CloseAttempts(ctx, service, string(plan.Recovered), now)); err != nil {
		return err
	}
	overrides, err := m.Overrides(ctx, now)
	if err != nil {
		return err
	}
	another := func(o store.Override) bool {
		return (o.Kind == overrideRollback || o.Kind == overrideRebuild) && o.Service == service
	}
	last, err := m.LastRevision(ctx)
	if errors.Is(err, store.ErrNotFound) || slices.ContainsFunc(overrides, another) {
		return nil // what runs well after a rollback, or of an image that was built anew, is not the revision that was applied last
	}
	if err != nil {
		return err
	}
	for _, s := range last.Services {
		if s.Service == service && s.StableAt.IsZero() {
			if err := m.eng.Tag(ctx, s.ImageID, keptImage(m.name, s)); err != nil && !observe.IsNotFound(err) { // an image that is gone is no way back, and no reason to ask for ever
				return err
			}
			return m.MarkStable(ctx, service, last.ID, now)
		}
	}
	return nil
}

// Decide records an override that healing chose. The image that it names is kept by a tag of ours; one that is gone is
// built again.
func (m *healMemory) Decide(ctx context.Context, d plan.Decision, now time.Time) error {
	image := store.ServiceRevision{Service: d.Service, ImageID: d.Value}
	if d.Kind == overrideRollback {
		r, err := m.Revision(ctx, d.Value)
		if err != nil {
			return err
		}
		image, _ = revisionOfService(r, d.Service)
	}
	if d.Kind != overrideMemory {
		if err := m.eng.Tag(ctx, image.ImageID, keptImage(m.name, image)); err != nil && !observe.IsNotFound(err) {
			return err
		}
	}
	value, err := overrideOf(d.Value, m.configHash(ctx, d.Service))
	if err != nil {
		return err
	}
	return m.SetOverride(ctx, store.Override{
		Stack: m.stack, Service: d.Service, Kind: d.Kind, Value: value, Owner: "composure", Reason: d.Reason, Created: now,
	})
}

// configHash is that of a service as it was last applied; empty when that is not recorded. It is not the label of its
// container, which stays as it was when a limit is changed in place.
func (m *healMemory) configHash(ctx context.Context, service string) string {
	last, err := m.LastRevision(ctx)
	if err != nil {
		return ""
	}
	applied, err := m.models.read(last, m.file)
	if err != nil || applied.Service(service) == nil {
		return ""
	}
	c, err := applied.Container(applied.Service(service), 1, spec.Facts{})
	if err != nil {
		return ""
	}
	return c.Hash
}

// Incidents returns the open incidents, and those resolved within the last two days, or as long as the policy looks back for a
// recurrence.
func (m *healMemory) Incidents(ctx context.Context) (open, recent []incident.Incident, err error) {
	rows, err := m.Buffered.Incidents(ctx, store.IncidentFilter{Stack: m.stack})
	back := 48 * time.Hour
	if m.file != nil {
		back = max(back, m.file.Policy.Escalation.Recurrence)
	}
	for _, row := range rows {
		i, readErr := asIncident(row)
		if readErr != nil {
			return nil, nil, readErr
		}
		switch {
		case row.Resolved.IsZero():
			open = append(open, i)
		case time.Since(row.Resolved) <= back:
			recent = append(recent, i)
		}
	}
	return open, recent, err
}

// Keep records incidents, and what people are to be told.
func (m *healMemory) Keep(ctx context.Context, change incident.Change) error {
	var errs []error
	refused := map[string]bool{}
	for _, i := range change.Changed {
		m.data.note(i)
		row, err := incidentRow(m.stack, i)
		if err != nil {
			return err
		}
		switch err := m.SaveIncident(ctx, row); {
		case errors.Is(err, store.ErrTaken): // the next pass gives it another id
			refused[i.ID] = true
			errs = append(errs, err)
			continue
		case errors.Is(err, store.ErrChanged): // a person was faster: the next pass, which that begins, goes on from there
			refused[i.ID] = true
			m.log.Debug("incident not written", "incident", i.ID, "reason", err)
			continue
		case err != nil:
			errs = append(errs, err)
		}
		errs = append(errs, m.report(ctx, i))
	}
	for _, a := range change.Announce {
		if !refused[a.Incident] {
			errs = append(errs, m.announce(ctx, a))
		}
	}
	if m.kept != nil {
		m.kept(change.Changed)
	}
	return errors.Join(errs...)
}
