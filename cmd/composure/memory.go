package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"composure/controller"
	"composure/controller/drift"
	"composure/controller/observe"
	"composure/controller/plan"
	"composure/controller/store"
	"composure/spec"
)

// memory is the store opened for one stack.
type memory struct {
	*store.Store
	key   string // of the stack in the store
	owner store.Owner
	made  *images                       // what this process builds; nil: nothing
	log   *slog.Logger                  // nil: none
	waits func(held *store.LeasedError) // tells that the lease is waited for; nil: nobody is told
	seat  *seat                         // nil: none is needed
	lost  func(error)                   // called when somebody else has taken the lease over: nothing may be done to the stack from then on

	lease *store.Lease       // nil: not needed yet
	stop  context.CancelFunc // ends its heartbeat
}

// openMemory opens the store. The lease is taken by the first thing that is done to the stack: a run that finds nothing
// to do needs none.
func (a *app) openMemory(ctx context.Context, engineID string, stack *spec.Stack, command string, lost func(error)) (*memory, error) {
	db, err := a.openStore(ctx)
	if err != nil {
		return nil, err
	}
	key := store.StackKey(engineID, stack.Name)
	if err := a.alone(key, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &memory{
		Store: db, key: key, owner: store.ThisProcess(command), lost: lost, waits: waits(a.stderr),
		seat: &seat{seats: a.seats(), own: occupies(key, db, command), warn: func(text string) { fmt.Fprintln(a.stderr, text) }},
	}, nil
}

// peekMemory opens the store to read, without the lease; nil when there is none yet: a report makes no store.
func (a *app) peekMemory(ctx context.Context, engineID string, stack *spec.Stack) (*memory, error) {
	key := store.StackKey(engineID, stack.Name)
	if a.storeURL == "" {
		dir, err := a.state()
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(filepath.Join(dir, "composure.db")); errors.Is(err, os.ErrNotExist) {
			return nil, a.alone(key, nil)
		}
	}
	db, err := a.openStore(ctx)
	if err != nil {
		return nil, err
	}
	if err := a.alone(key, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &memory{Store: db, key: key}, nil
}

// openStore opens the store that the flags name.
func (a *app) openStore(ctx context.Context) (*store.Store, error) {
	if a.common != nil {
		return a.common.store(), nil
	}
	dir, err := a.state()
	if err != nil {
		return nil, err
	}
	return store.Open(ctx, store.Options{StateDir: dir, URL: a.storeURL, Driver: a.outside.driver, Stamp: a.outside.stamp})
}

// state is the state directory, absolute.
func (a *app) state() (string, error) {
	if a.stateDir != "" {
		return filepath.Abs(a.stateDir)
	}
	return store.DefaultStateDir()
}

// applied returns the stack as it was applied last; nil when that was never recorded.
func (m *memory) applied(ctx context.Context, like *spec.Stack) (*spec.Stack, error) {
	if m == nil {
		return nil, nil
	}
	revision, err := m.LastRevision(ctx, m.key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return spec.FromCanonical(revision.Model, like)
}

// overridden returns the stack with the recorded divergences in it: the deployment verb does not fight them either, but for
// kinds that are its own to decide.
func (m *memory) overridden(ctx context.Context, stack *spec.Stack, but ...string) (*spec.Stack, error) {
	if m == nil {
		return stack, nil
	}
	overrides, err := m.Overrides(ctx, m.key, time.Now())
	if err != nil {
		return nil, err
	}
	overrides = slices.DeleteFunc(overrides, func(o store.Override) bool { return slices.Contains(but, o.Kind) })
	return overridden(ctx, stack, stack.Name, overrides, func(ctx context.Context, id string) (store.Revision, error) {
		return m.Revision(ctx, m.key, id)
	})
}

// paused are the pauses that hold a deployment: whoever asked for one works on it by hand.
func (m *memory) paused(ctx context.Context) (map[string]string, error) {
	if m == nil {
		return nil, nil
	}
	overrides, err := m.Overrides(ctx, m.key, time.Now())
	return pauses(overrides), err
}

// pauses are why services are left alone, "" for the stack, and the way out.
func pauses(overrides []store.Override) map[string]string {
	why := paused(overrides)
	for service := range why {
		why[service] += "; `" + strings.TrimSpace("composure resume "+service) + "` ends that"
	}
	return why
}

// recall returns, for a command that only reads, what the memory adds to a look at the stack: what was applied last, what is
// meant to differ and what is paused.
func (a *app) recall(ctx context.Context, engineID string, stack *spec.Stack) (drift.Input, error) {
	known := drift.Input{Stack: stack}
	memory, err := a.peekMemory(ctx, engineID, stack)
	if memory == nil || err != nil {
		return known, err
	}
	defer memory.Close()
	if known.Applied, err = memory.applied(ctx, stack); err != nil {
		return known, err
	}
	overrides, err := memory.Overrides(ctx, memory.key, time.Now())
	known.Overrides, known.Paused = asDrift(stack, overrides), pauses(overrides)
	return known, err
}

// record saves what a converged pass proves: this is what the stack is now, and it runs. A run that did nothing, and found
// what was applied last or an override of it, is no deployment. Of a run for some services only these are recorded; where
// nothing is on record yet, the remediator or the first whole run begins it.
func (m *memory) record(ctx context.Context, file *spec.Stack, p controller.Pass, deployed map[string]bool, origin string) error {
	services, idle := running(p), m.lease == nil
	last, err := m.LastRevision(ctx, m.key)
	if err == nil {
		overrides, unread := m.Overrides(ctx, m.key, p.Snapshot.At)
		if unread != nil {
			return unread
		}
		asApplied(services, last, file, overrides)
	}
	if idle = idle && err == nil; idle && slices.EqualFunc(services, last.Services, store.ServiceRevision.Same) {
		return nil // before the model is written out, which costs more than the rest of such a run
	}
	if deployed != nil && err != nil {
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	}
	model, err := modelOf(file, last, deployed)
	if err != nil {
		return err
	}
	if id := revisionID(model, services); idle && id == last.ID {
		return nil
	}
	revision := revisionOf(m.key, model, p, services, origin)
	if m.made != nil {
		m.made.sources(revision.Services, last)
	}
	return errors.Join(m.SaveRevision(ctx, revision), endRebuilds(ctx, m.Store, m.key, deployed))
}

// modelOf is the stack after a deployment of some services of its file, all of them when none is named.
func modelOf(file *spec.Stack, last store.Revision, deployed map[string]bool) ([]byte, error) {
	if deployed == nil {
		return file.Canonical()
	}
	applied, err := spec.FromCanonical(last.Model, file)
	if err != nil {
		return nil, err
	}
	return file.CanonicalPart(applied, deployed)
}

// endRebuilds ends what was rebuilt while healing, of the services that were deployed (nil: all): a deployment decides anew.
func endRebuilds(ctx context.Context, s *store.Store, stack string, deployed map[string]bool) error {
	overrides, err := s.Overrides(ctx, stack, time.Now())
	errs := []error{err}
	for _, o := range overrides {
		if o.Kind == overrideRebuild && (deployed == nil || deployed[o.Service]) {
			errs = append(errs, s.EndOverride(ctx, stack, o.Service, o.Kind, "", "a deployment", time.Now()))
		}
	}
	return errors.Join(errs...)
}

// revisionOf is the revision that a converged pass proves: the file without the overrides, which are kept beside it, as its
// canonical model.
func revisionOf(key string, model []byte, p controller.Pass, services []store.ServiceRevision, origin string) store.Revision {
	return store.Revision{
		Stack: key, ID: revisionID(model, services), Model: model, AppliedAt: p.Snapshot.At, Origin: origin, Commit: gitCommit(p.Stack.WorkingDir),
		Services: services,
	}
}

// asApplied puts what was applied last in the place of what runs, for the services that are rolled back: else the older image
// would be on record as that of the file, and come back when the rollback is released.
func asApplied(services []store.ServiceRevision, last store.Revision, file *spec.Stack, overrides []store.Override) {
	for _, o := range overrides {
		before, known := revisionOfService(last, o.Service)
		if _, _, ok := inForce(file, o); !ok || !known || o.Kind != overrideRollback {
			continue
		}
		for i := range services {
			if services[i].Service == o.Service {
				before.StableAt = services[i].StableAt
				services[i] = before
			}
		}
	}
}

// running is what each service runs, sorted by name.
func running(p controller.Pass) []store.ServiceRevision { return runningOf(p.Stack, p.Snapshot) }

func runningOf(stack *spec.Stack, snapshot *observe.Snapshot) []store.ServiceRevision {
	var services []store.ServiceRevision
	for _, svc := range stack.Services {
		if containers := snapshot.Of(svc.Name); len(containers) > 0 {
			services = append(services, store.ServiceRevision{
				Service: svc.Name, ConfigHash: containers[0].Label(spec.LabelConfigHash), ImageID: containers[0].Inspect.Image,
			})
		}
	}
	slices.SortFunc(services, func(a, b store.ServiceRevision) int { return strings.Compare(a.Service, b.Service) })
	return services
}

// revisionID identifies the content of a revision: what the file says, and the images, since the same file builds another
// image of another commit.
func revisionID(model []byte, services []store.ServiceRevision) string {
	sum := sha256.New()
	sum.Write(model)
	for _, s := range services {
		fmt.Fprintf(sum, "\x00%s\x00%s", s.Service, s.ImageID)
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// Begin records an intent before the act; it implements controller.Ledger. What ends a recreation of this run is done also
// when the store cannot take it, such as with a full disk: without it the service would stay down.
func (m *memory) Begin(ctx context.Context, job plan.Job, at time.Time) (string, error) {
	ours := m.lease != nil
	if err := m.hold(ctx); err != nil {
		return "", err
	}
	attempt, err := intent(m.key, job, at)
	if err != nil {
		return "", err
	}
	err = m.Store.Begin(ctx, m.lease, attempt)
	if err != nil && ours && job.Ends() && !errors.Is(err, store.ErrFenced) {
		if m.log != nil {
			m.log.Warn("not recorded, done all the same", "job", job.Title(), "error", err)
		}
		return "", nil
	}
	return attempt.ID, err
}

// intent is the row of a job that is about to be begun.
func intent(key string, job plan.Job, at time.Time) (store.Attempt, error) {
	first := job.Due()[0]
	payload, err := json.Marshal(map[string]any{"steps": steps(job)})
	if err != nil {
		return store.Attempt{}, fmt.Errorf("encode the intent: %w", err)
	}
	a := store.Attempt{
		ID: store.NewID(), Stack: key, Key: job.Key, Service: job.Service, Container: first.Target, Target: first.ID,
		Operation: job.Kind, Cause: job.Cause, StartedAt: at, Payload: payload,
	}
	if job.Counts {
		a.Rung = 1
	}
	return a, nil
}

// Finish records how it ended; it implements controller.Ledger.
func (m *memory) Finish(ctx context.Context, id string, outcome plan.Outcome, reason string, at time.Time) error {
	if id == "" { // its intent is not on record
		return nil
	}
	return m.Store.Finish(ctx, m.lease, id, string(outcome), reason, at)
}

func steps(job plan.Job) []string {
	var texts []string
	for _, s := range job.Due() {
		texts = append(texts, s.String())
	}
	return texts
}
