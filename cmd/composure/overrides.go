package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"composure/controller/drift"
	"composure/controller/store"
	"composure/controller/view"
	"composure/spec"
)

// Kinds of overrides beside store.Pause.
const (
	overrideRollback = view.Rollback
	overrideMemory   = view.RaiseMemory
	overrideRebuild  = view.Rebuild
	overrideHandover = view.Handover
)

// overrideValue is how the value of an override is stored.
type overrideValue = view.OverrideValue

func overrideOf(value, basis string) (json.RawMessage, error) {
	return json.Marshal(overrideValue{Value: value, Basis: basis})
}

// overridden returns the stack with the recorded divergences in it: services of older revisions, and raised limits, which hold
// for those as well. Whether a service was edited since is asked of the stack as it came, and not of what the override before
// has made of it.
func overridden(ctx context.Context, stack *spec.Stack, project string, overrides []store.Override, revision func(context.Context, string) (store.Revision, error)) (*spec.Stack, error) {
	file := stack
	for _, o := range raisesLast(overrides) {
		_, value, ok := inForce(file, o)
		svc := stack.Service(o.Service)
		if !ok {
			continue
		}
		switch o.Kind {
		case overrideMemory:
			limit, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("read the override of %s: %w", svc.Name, err)
			}
			if now := svc.Memory(); now > 0 && now < limit { // an older revision may have had more, or no limit
				stack = stack.With(svc.WithMemory(limit))
			}
		case overrideRebuild:
			stack = stack.With(svc.WithImage(keptImage(project, store.ServiceRevision{Service: svc.Name, ImageID: value})))
		case overrideRollback:
			r, err := revision(ctx, value)
			if err != nil {
				return nil, fmt.Errorf("read the revision that %s is rolled back to: %w", svc.Name, err)
			}
			if stack, err = rolledBack(stack, project, svc.Name, r); err != nil {
				return nil, err
			}
		}
	}
	return stack, nil
}

// raisesLast are the overrides with raised limits behind all others: a service that is put in the place of another takes its
// limit along.
func raisesLast(overrides []store.Override) []store.Override {
	var raises, others []store.Override
	for _, o := range overrides {
		if o.Kind == overrideMemory {
			raises = append(raises, o)
		} else {
			others = append(others, o)
		}
	}
	return append(others, raises...)
}

// inForce returns the service and value of an override that changes what is desired, unless the service was edited
// since.
func inForce(stack *spec.Stack, o store.Override) (svc *spec.Service, value string, ok bool) {
	svc = stack.Service(o.Service)
	if svc == nil || (o.Kind != overrideMemory && o.Kind != overrideRollback && o.Kind != overrideRebuild) {
		return nil, "", false
	}
	var v overrideValue
	if err := json.Unmarshal(o.Value, &v); err != nil {
		return nil, "", false
	}
	c, err := stack.Container(svc, 1, spec.Facts{})
	edited := err != nil || (v.Basis != "" && !slices.Contains(c.Hashes, v.Basis))
	return svc, v.Value, !edited
}

// rolledBack puts the service of a proven revision, with its kept image, in the place of the one there is.
func rolledBack(stack *spec.Stack, project, service string, r store.Revision) (*spec.Stack, error) {
	before, err := spec.FromCanonical(r.Model, stack)
	if err != nil {
		return nil, fmt.Errorf("read the revision %s: %w", r.ID, err)
	}
	older := before.Service(service)
	for _, s := range r.Services {
		if older != nil && s.Service == service {
			return stack.With(fromCommit(older.WithImage(keptImage(project, s)), s)), nil
		}
	}
	return stack, nil
}

// keptImage is the tag that keeps the image of a proven revision from `docker image prune`.
func keptImage(project string, s store.ServiceRevision) string {
	return fmt.Sprintf("%s:%.12s", keptRepository(project, s.Service), strings.TrimPrefix(s.ImageID, "sha256:"))
}

func keptRepository(project, service string) string {
	return "composure-kept/" + project + "-" + service
}

// asDrift is what the report on drift knows of the overrides.
func asDrift(stack *spec.Stack, overrides []store.Override) []drift.Override {
	var known []drift.Override
	for _, o := range overrides {
		if _, _, ok := inForce(stack, o); !ok {
			continue
		}
		d := drift.Override{Service: o.Service, Owner: o.Owner, Reason: o.Kind + because(o.Reason), Until: o.Until}
		switch o.Kind {
		case overrideRebuild:
			d.Field = drift.FieldImage
			fallthrough
		case overrideRollback:
			known = append(known, d)
			continue
		}
		for _, field := range []string{"mem_limit", "memswap_limit", "deploy.resources.limits.memory"} {
			d.Field = field
			known = append(known, d)
		}
	}
	return known
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

func until(t time.Time) string {
	if t.IsZero() {
		return ", until it is resumed"
	}
	return ", until " + t.UTC().Format("2006-01-02 15:04 UTC")
}
