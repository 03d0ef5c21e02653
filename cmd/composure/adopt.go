package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"composure/controller"
	"composure/controller/observe"
	"composure/controller/store"
	"composure/spec"
)

// What is on record as applied without a deployment of ours that proved it: by continuous mode, and by commands where nobody watches.

// Adopt records that the stack is what this pass shows.
func (m *healMemory) Adopt(ctx context.Context, p controller.Pass, origin string) error {
	model, err := p.File.Canonical()
	if err != nil {
		return err
	}
	last, err := m.LastRevision(ctx)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	services := running(p)
	overrides, err := m.Overrides(ctx, p.Snapshot.At)
	asApplied(services, last, p.File, overrides)
	revision := revisionOf(m.stack, model, p, services, origin)
	m.made.sources(revision.Services, last)
	errs := []error{err, m.SaveRevision(ctx, revision)}
	for _, o := range overrides {
		if o.Kind == overrideRebuild { // a deployment decides anew
			errs = append(errs, m.EndOverride(ctx, o.Service, o.Kind, "", "a deployment", p.Snapshot.At))
		}
	}
	return errors.Join(errs...)
}

// AdoptServices implements controller.Memory.
func (m *healMemory) AdoptServices(ctx context.Context, p controller.Pass, services map[string]bool, origin string) error {
	last, err := m.LastRevision(ctx)
	if err != nil {
		return err
	}
	now, err := adopted(m.stack, last, p, services, origin)
	if err != nil {
		return err
	}
	return m.SaveRevision(ctx, now)
}

// adopted is the revision after the last one in which some services are what the file says, with the images that run, or gone.
func adopted(key string, last store.Revision, p controller.Pass, services map[string]bool, origin string) (store.Revision, error) {
	model, err := p.File.CanonicalPart(p.Applied, services)
	if err != nil {
		return store.Revision{}, err
	}
	rows := slices.DeleteFunc(slices.Clone(last.Services), func(s store.ServiceRevision) bool { return services[s.Service] })
	for _, s := range runningOf(p.File, p.Snapshot) {
		if services[s.Service] {
			rows = append(rows, s)
		}
	}
	slices.SortFunc(rows, func(a, b store.ServiceRevision) int { return cmp.Compare(a.Service, b.Service) })
	now := revisionOf(key, model, p, rows, origin)
	for _, c := range p.Snapshot.Containers { // what fails from its first moment on has failed since its deployment
		if at := c.Created(); services[c.Service] && at.After(last.AppliedAt) && at.Before(now.AppliedAt) {
			now.AppliedAt = at
		}
	}
	return now, nil
}

// caughtUp is what is applied, with what somebody else has deployed since that was recorded.
func (s *session) caughtUp(r *restored, applied *spec.Stack, overrides []store.Override, snapshot *observe.Snapshot) (*spec.Stack, error) {
	d := controller.Desired{Applied: applied, Images: map[string]string{}, Returned: map[string]time.Time{}}
	for _, svc := range r.running.Services {
		d.Images[svc.Service] = svc.ImageID
	}
	for _, o := range overrides {
		if o.Kind == overrideRollback || o.Kind == overrideRebuild {
			d.Returned[o.Service] = o.Created
		}
	}
	services := controller.DeployedOutside(s.stack, d, snapshot)
	if len(services) == 0 {
		return applied, nil
	}
	now, err := adopted(s.memory.key, r.running, controller.Pass{Stack: s.stack, File: s.stack, Applied: applied, Snapshot: snapshot}, services, controller.Outside)
	if err != nil {
		return nil, err
	}
	r.running, r.outside = now, &now
	return spec.FromCanonical(now.Model, s.stack)
}

// catchUp records what somebody else has deployed, before anything is done that goes by it.
func (b *byHand) catchUp(ctx context.Context, r restored) error {
	if r.outside == nil {
		return nil
	}
	if err := b.memory.hold(ctx); err != nil {
		return err
	}
	return b.memory.SaveRevision(ctx, *r.outside)
}
