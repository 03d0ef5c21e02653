package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"composure/controller"
	"composure/controller/plan"
	"composure/controller/store"
	"composure/spec"
)

// models is the model of a revision as it was read last: that takes milliseconds, every pass asks, and only a deployment
// or an edited file changes it. Only one goroutine uses it at a time.
type models struct {
	from  func(data []byte, like *spec.Stack) (*spec.Stack, error) // nil: spec.FromCanonical
	id    string                                                   // of the revision, which is its content's
	like  *spec.Stack                                              // the file it was read beside
	stack *spec.Stack
}

func (m *models) read(r store.Revision, like *spec.Stack) (*spec.Stack, error) {
	if m.stack != nil && m.id == r.ID && m.like == like {
		return m.stack, nil
	}
	from := m.from
	if from == nil {
		from = spec.FromCanonical
	}
	stack, err := from(r.Model, like)
	if err != nil {
		return nil, err
	}
	m.id, m.like, m.stack = r.ID, like, stack
	return stack, nil
}

// before is what ran well before what was applied last, by service: only another deployment changes it, and every pass asks. Only
// one goroutine uses it at a time.
type before struct {
	revision string
	applied  time.Time
	stable   map[string]store.StableRevision // without an id: nothing ran well
}

func (b *before) of(ctx context.Context, s *store.Buffered, last store.Revision, service store.ServiceRevision) store.StableRevision {
	if b.revision != last.ID || !b.applied.Equal(last.AppliedAt) {
		*b = before{last.ID, last.AppliedAt, map[string]store.StableRevision{}}
	}
	if known, ok := b.stable[service.Service]; ok {
		return known
	}
	found, err := s.LastStable(ctx, service.Service, service)
	if err == nil || errors.Is(err, store.ErrNotFound) {
		b.stable[service.Service] = found
	}
	return found
}

// Desired is the stack as last applied with the recorded overrides in it.
func (m *healMemory) Desired(ctx context.Context, file *spec.Stack, now time.Time) (controller.Desired, error) {
	m.file = file
	if m.post != nil { // a command that only reads tells nobody
		m.post.follow(ctx, file.Policy.Notify)
	}
	if err := m.Refresh(ctx); err != nil {
		m.log.Debug("store not refreshed", "error", err)
	}
	d := controller.Desired{Stack: file, Paused: map[string]string{}, Stable: map[string]plan.Stable{}, Deployed: map[string]time.Time{}, Images: map[string]string{}, Raised: map[string]time.Time{}, Returned: map[string]time.Time{}, Commits: map[string]string{}}
	last, err := m.LastRevision(ctx)
	switch {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return d, err
	default:
		if d.Applied, err = m.models.read(last, file); err != nil {
			return d, fmt.Errorf("read the revision %s: %w", last.ID, err)
		}
		d.Stack = d.Applied.WithPolicies(file)
		m.rollbacks(ctx, last, d)
	}
	overrides, err := m.Overrides(ctx, now)
	if err != nil {
		return d, err
	}
	for _, o := range overrides {
		switch o.Kind {
		case store.Pause:
			d.Paused[o.Service] = pausedBy(o)
		case overrideMemory:
			d.Raised[o.Service] = o.Created
		case overrideRebuild:
			delete(d.Images, o.Service)
			d.Returned[o.Service] = o.Created
		case overrideRollback:
			d.Returned[o.Service] = o.Created
			delete(d.Stable, o.Service) // never roll back a rollback
			delete(d.Images, o.Service) // its kept tag names the image
		}
	}
	if d.Stack, err = overridden(ctx, d.Stack, m.name, overrides, m.Revision); err != nil {
		return d, err
	}
	kept := slices.DeleteFunc(overrides, func(o store.Override) bool { return o.Kind == overrideRebuild }) // a deployment decides anew
	d.File, err = overridden(ctx, file, m.name, kept, m.Revision)
	return d, err
}

// rollbacks finds where each service could go back to: a proven revision, when the one that runs was never proven.
func (m *healMemory) rollbacks(ctx context.Context, last store.Revision, d controller.Desired) {
	for _, s := range last.Services {
		d.Deployed[s.Service], d.Images[s.Service] = last.AppliedAt, s.ImageID
		if !s.Dirty {
			d.Commits[s.Service] = s.Commit
		}
		if !s.StableAt.IsZero() {
			continue
		}
		if stable := m.before.of(ctx, m.Buffered, last, s); stable.Revision != "" && m.canGoBack(ctx, stable) {
			d.Stable[s.Service] = plan.Stable{Revision: stable.Revision, Deployed: last.AppliedAt}
		}
	}
}

// canGoBack says whether the image of a proven revision is still here, or can be built again from its commit.
func (m *healMemory) canGoBack(ctx context.Context, stable store.StableRevision) bool {
	if stable.Commit != "" && !stable.Dirty {
		return true
	}
	_, err := m.eng.Image(ctx, stable.ImageID)
	return err == nil
}
