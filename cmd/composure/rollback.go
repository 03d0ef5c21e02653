package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"composure/controller/observe"
	"composure/controller/plan"
	"composure/controller/store"
)

func newRollback(a *app) *cobra.Command {
	var f byHandFlags
	var to string
	cmd := &cobra.Command{
		Use:   "rollback SERVICE [--to REVISION]",
		Short: "Take a service back to the last revision that was proven stable",
		Long: `Take a service back to the last revision that was proven stable, or to one that "composure history" shows, with the
image it had then. The rollback is recorded with its owner and reason and stays in force until "composure release",
or until the service is edited in the compose file: no pass goes forward again by itself.

Exit status: 0 rolled back and well, 1 not (the reason is said, and the service is left as it was), 2 error.`,
		Example:           "  composure rollback api\n  composure rollback api --to 3fa9c2d1 --reason \"slow queries\"\n  composure rollback api --dry-run",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := output(f.format, "text", "json"); err != nil {
				return err
			}
			return a.rollback(cmd.Context(), f, args[0], to)
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "revision to go back to, or the beginning of its id")
	offer(cmd, "to", a.completeRevisions)
	f.add(cmd, "roll back also a service that keeps data: its data stays as it is now")
	return cmd
}

// backTo is where a rollback leads.
type backTo struct {
	revision store.Revision
	service  store.ServiceRevision
	basis    string          // config hash of the service as it was last applied
	build    bool            // the image is gone: it is built again from its commit
	before   *store.Override // the rollback that was in force before; nil: none was
}

func (a *app) rollback(ctx context.Context, f byHandFlags, service, to string) (err error) {
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	snapshot, err := s.look(ctx)
	if err != nil {
		return err
	}
	want, err := s.restored(ctx, snapshot)
	if err != nil {
		return err
	}
	back, err := s.backTo(ctx, f, want, service, to)
	if err != nil {
		return err
	}
	if want.stack, err = rolledBack(want.stack, s.stack.Name, service, back.revision); err != nil {
		return err
	}
	delete(want.images, service)
	fmt.Fprintln(a.progressOut(f), back.text(service))
	if f.dryRun && !back.build { // the image may not have its tag yet
		want.stack = want.stack.With(want.stack.Service(service).WithImage(back.service.ImageID))
	}
	if f.dryRun {
		return a.preview(ctx, want.config(s, map[string]bool{service: true}))
	}
	if !back.build {
		if err := s.eng.Tag(ctx, back.service.ImageID, keptImage(s.stack.Name, back.service)); err != nil {
			return fmt.Errorf("keep the image of revision %s: %w", back.revision.ID, err)
		}
	}
	config := want.config(s, map[string]bool{service: true})
	run, b, err := a.begin(ctx, s, f, "rollback "+service)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.end(ctx)) }()
	if err := b.memory.hold(run); err != nil {
		return a.refused(err)
	}
	if err := b.catchUp(run, want); err != nil {
		return err
	}
	if err := b.override(run, service, back); err != nil {
		return err
	}
	last, early, err := b.run(run, config)
	if err == nil && last.Plan.Settled() {
		return b.answer(ctx, last, "composure.rollback/v1", service+": rolled back and well; `composure release "+service+"` goes forward again", early)
	}
	if err = errors.Join(err, b.takeBack(context.WithoutCancel(ctx), service, back)); err != nil {
		return err
	}
	return b.answer(ctx, last, "composure.rollback/v1", "", early)
}

// backTo finds where to go back to, or says why there is no way back.
func (s *session) backTo(ctx context.Context, f byHandFlags, want restored, service, to string) (backTo, error) {
	svc, err := serviceOf(want.stack, service)
	if err != nil {
		return backTo{}, err
	}
	if !want.known {
		return backTo{}, fmt.Errorf("nothing that was applied to %s is on record; `composure reconcile --once` records it", s.stack.Name)
	}
	if plan.Stateful(svc) && !f.force {
		return backTo{}, fmt.Errorf("%s keeps data, which a rollback does not take back: an older version may not read it; --force does it all the same", service)
	}
	now, _ := revisionOfService(want.running, service)
	before, inForce, err := s.rolledBackTo(ctx, service)
	if err != nil {
		return backTo{}, err
	}
	if inForce != "" && to == "" {
		return backTo{}, fmt.Errorf("%s is rolled back already, to revision %s; `composure release %s` goes forward again, --to goes to another one", service, inForce, service)
	}
	revision, err := s.revisionFor(ctx, service, to, now)
	if err != nil {
		return backTo{}, err
	}
	target, known := revisionOfService(revision, service)
	switch {
	case !known:
		return backTo{}, fmt.Errorf("revision %s has no service %s; `composure history %s` shows those that have", revision.ID, service, service)
	case revision.ID == inForce:
		return backTo{}, fmt.Errorf("%s is rolled back to revision %s already", service, revision.ID)
	case inForce == "" && target.Same(now):
		return backTo{}, fmt.Errorf("revision %s of %s is what was applied last: there is nothing to go back to", revision.ID, service)
	case inForce != "" && target.Same(now):
		return backTo{}, fmt.Errorf("revision %s of %s is what was applied last: `composure release %s` goes forward to it", revision.ID, service, service)
	}
	back := backTo{revision: revision, service: target, basis: now.ConfigHash, before: before}
	switch _, err := s.eng.Image(ctx, target.ImageID); {
	case observe.IsNotFound(err) && target.Dirty:
		return backTo{}, fmt.Errorf("the image of revision %s is no longer here (%.19s), and it was built from files that are in no commit: load it, or go to another revision with --to", revision.ID, target.ImageID)
	case observe.IsNotFound(err) && target.Commit == "":
		return backTo{}, fmt.Errorf("the image of revision %s is no longer here (%.19s): load it, or go to another revision with --to", revision.ID, target.ImageID)
	case observe.IsNotFound(err):
		back.build = true
	case err != nil:
		return backTo{}, err
	}
	return back, nil
}

// rolledBackTo is the rollback of a service that is in force, and the revision that it leads to; nil and "" when there is none.
func (s *session) rolledBackTo(ctx context.Context, service string) (*store.Override, string, error) {
	overrides, err := s.memory.Overrides(ctx, s.memory.key, time.Now())
	if err != nil {
		return nil, "", err
	}
	for _, o := range overrides {
		if o.Service != service || o.Kind != overrideRollback {
			continue
		}
		var v overrideValue
		if err := json.Unmarshal(o.Value, &v); err != nil {
			return nil, "", fmt.Errorf("read the rollback of %s: %w", service, err)
		}
		return &o, v.Value, nil
	}
	return nil, "", nil
}

// revisionFor is the revision that --to names, or the last one that was proven stable and is another one.
func (s *session) revisionFor(ctx context.Context, service, to string, now store.ServiceRevision) (store.Revision, error) {
	if to == "" {
		stable, err := s.memory.LastStable(ctx, s.memory.key, service, now)
		if errors.Is(err, store.ErrNotFound) {
			return store.Revision{}, fmt.Errorf("no other revision of %s was proven stable; `composure history %s` shows all of them, --to goes to one", service, service)
		}
		if err != nil {
			return store.Revision{}, err
		}
		to = stable.Revision
	}
	all, err := s.memory.Revisions(ctx, s.memory.key, 0)
	if err != nil {
		return store.Revision{}, err
	}
	found := map[string]bool{}
	for _, r := range all {
		if strings.HasPrefix(r.ID, to) {
			found[r.ID] = true
		}
	}
	if len(found) != 1 {
		return store.Revision{}, fmt.Errorf("--to: %d revisions begin with %q; `composure history %s` shows them", len(found), to, service)
	}
	for id := range found {
		to = id
	}
	return s.memory.Revision(ctx, s.memory.key, to)
}

// text says what a rollback does.
func (b backTo) text(service string) string {
	text := fmt.Sprintf("%s: back to revision %s, applied %s", service, b.revision.ID, shownTime(b.revision.AppliedAt))
	switch {
	case b.build:
		text += fmt.Sprintf(", built again from commit %.12s", b.service.Commit)
	case b.revision.Commit != "":
		text += fmt.Sprintf(", commit %.12s", b.revision.Commit)
	}
	if b.service.StableAt.IsZero() {
		return text + ", which was never proven stable"
	}
	return text + ", proven stable " + shownTime(b.service.StableAt)
}

// override records the rollback before it is done.
func (b *byHand) override(ctx context.Context, service string, back backTo) error {
	value, err := overrideOf(back.revision.ID, back.basis)
	if err != nil {
		return err
	}
	return b.memory.SetOverride(ctx, store.Override{
		Stack: b.memory.key, Service: service, Kind: overrideRollback, Value: value, Owner: b.operator(), Reason: b.flags.reason, Created: time.Now(),
	})
}

// takeBack ends a rollback that did not work, so that no pass tries it again. The one before it is in force again: nothing goes
// forward by itself because another way back led nowhere.
func (b *byHand) takeBack(ctx context.Context, service string, back backTo) error {
	if back.before != nil {
		return b.memory.SetOverride(ctx, *back.before)
	}
	return b.memory.EndOverride(ctx, b.memory.key, service, overrideRollback, "", b.operator(), time.Now())
}
