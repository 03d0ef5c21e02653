package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"composure/controller"
	"composure/controller/act"
	"composure/controller/observe"
	"composure/controller/plan"
	"composure/controller/store"
	"composure/spec"
)

// What people do by hand to single services (restart, rollback) is passes of the same controller as anything else, with
// the same lease, budget and verdict.

// byHandFlags are the flags that such commands share.
type byHandFlags struct {
	reason, format string
	dryRun, force  bool
	timeout        time.Duration
}

// restored is what the remediator would restore: the stack as it was last applied, with the overrides in it.
type restored struct {
	stack   *spec.Stack
	known   bool              // what was last applied is on record; else stack is what the file says
	images  map[string]string // service → id of the image that was applied
	running store.Revision
	outside *store.Revision // what somebody else has deployed since that was recorded; nil: nothing
}

func (s *session) restored(ctx context.Context, snapshot *observe.Snapshot) (restored, error) {
	r := restored{stack: s.stack, images: map[string]string{}}
	if s.memory == nil {
		return r, nil
	}
	applied, err := s.memory.applied(ctx, s.stack)
	if err != nil {
		return r, err
	}
	overrides, err := s.memory.Overrides(ctx, s.memory.key, time.Now())
	if err != nil {
		return r, err
	}
	if applied != nil {
		r.known = true
		if r.running, err = s.memory.LastRevision(ctx, s.memory.key); err != nil {
			return r, err
		}
		if applied, err = s.caughtUp(&r, applied, overrides, snapshot); err != nil {
			return r, err
		}
		r.stack = applied.WithPolicies(s.stack)
		for _, svc := range r.running.Services {
			r.images[svc.Service] = svc.ImageID
		}
	}
	for _, o := range overrides {
		if o.Kind == overrideRollback || o.Kind == overrideRebuild {
			delete(r.images, o.Service) // its kept tag names the image
		}
	}
	r.stack, err = s.memory.overridden(ctx, r.stack)
	return r, err
}

// config is a run on some services that restores and deploys nothing else.
func (r restored) config(s *session, services map[string]bool) controller.Config {
	return controller.Config{
		Source: s.eng, Stack: r.stack, Applied: r.stack, Logger: s.log, Services: services, Pinned: r.images, Tries: 1,
		Asked: map[string]plan.Asked{},
	}
}

// ledger is the memory of a command by hand: it also records whether what was begun helped.
type ledger struct {
	*memory
	mu    sync.Mutex
	begun []string
}

func (l *ledger) Begin(ctx context.Context, job plan.Job, at time.Time) (string, error) {
	id, err := l.memory.Begin(ctx, job, at)
	if err == nil {
		l.mu.Lock()
		l.begun = append(l.begun, id)
		l.mu.Unlock()
	}
	return id, err
}

// judge records the verdict on everything that was begun.
func (l *ledger) judge(ctx context.Context, verdict plan.Verdict) error {
	var errs []error
	for _, id := range l.begun {
		errs = append(errs, l.Verdict(ctx, l.lease, id, string(verdict), time.Now()))
	}
	return errors.Join(errs...)
}

// byHand is one run by hand under way.
type byHand struct {
	*app
	*session
	memory *memory
	flags  byHandFlags
	cancel context.CancelFunc
}

// begin opens the memory to write. The context that it returns ends when the lease is lost and when the time is over.
func (a *app) begin(ctx context.Context, s *session, f byHandFlags, command string) (context.Context, *byHand, error) {
	ctx, lost := context.WithCancelCause(ctx)
	ctx, cancel := context.WithTimeoutCause(ctx, f.timeout, fmt.Errorf("the time of --timeout %s is over", f.timeout))
	memory, err := a.openMemory(ctx, s.id, s.stack, command, func(err error) { lost(err) })
	if err != nil {
		cancel()
		return nil, nil, err
	}
	return ctx, &byHand{app: a, session: s, memory: memory, flags: f, cancel: cancel}, nil
}

func (b *byHand) end(ctx context.Context) error {
	b.cancel()
	return b.memory.close(ctx)
}

// run makes passes until nothing is left to do, and records the verdict. early is why it ended before its time, or nil.
func (b *byHand) run(ctx context.Context, config controller.Config) (last controller.Pass, early, err error) {
	show, book := newProgress(b.app, b.flags.format), &ledger{memory: b.memory}
	config.Ledger, config.Events, config.OnPass = book, b.eng, show.pass
	config.Actor = &act.Actor{
		Engine: b.eng, Images: b.images(b.eng), Capture: b.capture(b.eng, func() *spec.Stack { return config.Stack }), Dump: dump(b.eng, dumpWait),
		Before: func(j plan.Job, s plan.Step) { crashPoint(s); show.before(j, s) }, After: show.after, Report: show.report,
	}
	last, err = controller.New(config).Once(ctx)
	show.end()
	if err != nil && ctx.Err() != nil {
		early, err = err, nil
	}
	if err != nil {
		return last, nil, err
	}
	verdict := plan.Recovered
	if !last.Plan.Settled() {
		verdict = plan.Failed
	}
	return last, early, book.judge(context.WithoutCancel(ctx), verdict)
}

// answer says how it ended and returns the exit status.
func (b *byHand) answer(ctx context.Context, p controller.Pass, schema, done string, early error) error {
	if p.Plan.Settled() && b.flags.format == "text" {
		_, err := io.WriteString(b.stdout, done+"\n")
		return err
	}
	c := conclusion{Schema: schema, Stack: p.Stack.Name, Converged: p.Plan.Settled(), Held: []held{}, Notes: append([]string{}, p.Plan.Notes...)}
	if early != nil {
		c.Reason = early.Error()
	}
	for _, h := range p.Plan.Held {
		c.Held = append(c.Held, held{Subject: h.Title(), Service: h.Service, Reason: printable(h.Reason), Log: lastLines(ctx, b.eng, p, h.Key, h.Reason)})
	}
	for _, j := range p.Plan.Jobs {
		c.Held = append(c.Held, held{Subject: j.Title(), Service: j.Service, Reason: printable("left to do: " + j.Cause)})
	}
	if err := b.printConclusion(c, len(p.Stack.Services), b.flags.format); err != nil {
		return err
	}
	if !c.Converged {
		return status(exitFinding)
	}
	return nil
}

// preview prints the plan that a run would begin with.
func (a *app) preview(ctx context.Context, config controller.Config) error {
	seen, err := controller.New(config).Look(ctx)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprint(a.stdout, seen.Plan); err != nil {
		return err
	}
	if len(seen.Plan.Jobs) == 0 && !seen.Plan.Settled() {
		return status(exitFinding)
	}
	return nil
}

// progressOut is where a command says what it does beside its answer.
func (a *app) progressOut(f byHandFlags) io.Writer {
	if f.format == "text" {
		return a.stdout
	}
	return a.stderr
}

// refused turns a stack that somebody else works on into an answer: it is no error of the command.
func (a *app) refused(err error) error {
	if !errors.Is(err, store.ErrLeased) {
		return err
	}
	fmt.Fprintln(a.stderr, err)
	return status(exitFinding)
}

// serviceOf returns the named service, or says which there are.
func serviceOf(stack *spec.Stack, name string) (*spec.Service, error) {
	if svc := stack.Service(name); svc != nil {
		return svc, nil
	}
	return nil, fmt.Errorf("no such service: %s; the stack %s has %s", name, stack.Name, serviceNames(stack))
}

// revisionOfService is one service of a revision.
func revisionOfService(r store.Revision, service string) (store.ServiceRevision, bool) {
	i := slices.IndexFunc(r.Services, func(s store.ServiceRevision) bool { return s.Service == service })
	if i < 0 {
		return store.ServiceRevision{}, false
	}
	return r.Services[i], true
}
