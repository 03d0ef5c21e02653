package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"composure/controller"
	"composure/controller/act"
	"composure/controller/engine"
	"composure/controller/incident"
	"composure/controller/observe"
	"composure/controller/plan"
	"composure/controller/store"
	"composure/spec"
)

// grace is how long jobs in flight may take to end after SIGTERM, beyond which they are left to the next run.
const grace = 20 * time.Second

// started is when the start is over, with its first passes.
const started = 20 * time.Second

// reconcileContinuously runs the remediator until it is told to end.
func (a *app) reconcileContinuously(ctx context.Context, f reconcileFlags) error {
	collectGarbage(steady)
	defer time.AfterFunc(started, debug.FreeOSMemory).Stop() // reading the files takes more than all that follows
	log, err := a.logger()
	if err != nil {
		return err
	}
	site, err := openSite(f, log)
	if err != nil {
		return err
	}
	defer site.close()
	if site != nil {
		a.observeEngine = site.meters.Engine
	}
	r, err := a.remediate(ctx, log)
	if err != nil {
		return err
	}
	r.site = site
	r.pulse = newBeater(r.eng.Host(), r.stack.Name, min(f.interval, controller.GlanceEvery), log)
	defer r.pulse.end()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	return r.run(ctx, f.interval, hangup)
}

// remediation is continuous mode on one stack, assembled and not begun.
type remediation struct {
	app    *app
	log    *slog.Logger
	eng    *engine.Engine
	about  observe.Engine // who answered; without an id: nobody yet
	files  *follower
	site   *site   // nil: nobody looks
	pulse  *beater // nil: nobody asks how this process is
	looked func()  // told of every turn; nil: nobody asks
	source *sameEngine
	prober *observe.Prober
	memory *healMemory

	mu    sync.Mutex
	stack *spec.Stack            // as the files said when they were last read
	ctl   *controller.Controller // another one when it begins anew
}

// remediate assembles continuous mode. What it returns is to be run, which also closes it. An engine that does not answer yet is
// waited for by that; one that answers and refuses is an error.
func (a *app) remediate(ctx context.Context, log *slog.Logger) (*remediation, error) {
	began := time.Now()
	stack, err := a.load(ctx)
	if err != nil {
		return nil, err
	}
	files := &follower{sources: stack.Sources, seen: fingerprintSince(stack.Sources, began), changes: a.fileStirs(), round: fileRound, log: log}
	eng, err := a.find(log)
	if err != nil {
		return nil, err
	}
	r := &remediation{app: a, log: log, eng: eng, stack: stack, files: files}
	if r.about, err = eng.Engine(ctx); err != nil && !engine.Absent(err) || ctx.Err() != nil {
		return nil, errors.Join(err, ctx.Err(), eng.Close())
	}
	id, err := a.identify(ctx, eng, r.about)
	if err == nil {
		r.memory, err = a.openHealMemory(ctx, eng, id, stack, log)
	}
	if err != nil {
		return nil, errors.Join(err, eng.Close())
	}
	r.assemble()
	return r, nil
}

// find finds the engine, without asking it anything.
func (a *app) find(log *slog.Logger) (*engine.Engine, error) {
	if a.common != nil {
		return a.common.eng, nil
	}
	return engine.Find(a.engineOptions(log))
}

// assemble makes the controller.
func (r *remediation) assemble() {
	a, eng, log, memory, stack := r.app, r.eng, r.log, r.memory, r.read()
	r.source = &sameEngine{Source: eng, id: memory.engine}
	r.prober = observe.NewProber(observe.ProberConfig{
		Engine: eng, EngineHost: engineHost(eng), Dial: a.outside.reach, Changed: r.trigger, Logger: log,
		Sample: func(v observe.Sample) {
			memory.samples.take(v)
			r.site.probed(v)
		},
	})
	ctl := controller.Continuous(controller.Config{
		Source: r.source, Stack: stack, Logger: log, Events: eng, Prune: stack.Policy.Prune == "remove",
		Room: a.common.room(),
		Actor: &act.Actor{
			Engine: eng, Images: memory.made, Capture: a.capture(eng, r.read), Dump: dump(eng, dumpWait), EndSessions: a.endSessions(eng, stack),
			Before: func(j plan.Job, s plan.Step) {
				crashPoint(s)
				log.Info("step", "job", j.Title(), "step", s.String())
			},
		},
	}, controller.Healing{
		Prober: r.prober, Examiner: a.examiner(eng), Memory: memory,
		Sampler: observe.NewMemorySampler(eng), WritableSize: eng.WritableSize,
		Reload: r.reload, Edited: r.files.edited,
		Ended: func(done plan.Attempt) { r.site.ended(done) },
		Turned: func(t controller.Turn) {
			memory.beats.turned(t, memory.samples.keep)
			r.site.turned(t)
			r.pulse.beat(t.Err)
			if r.looked != nil {
				r.looked()
			}
		},
	})
	r.files.reload = ctl.Reload
	memory.wake, memory.kept = ctl.Trigger, func(all []incident.Incident) { r.site.kept(all) }
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctl != nil {
		ctl.OnPass = r.ctl.OnPass
	}
	r.ctl = ctl
}

// reload reads the files again. What is looked after is one project: under another name they describe another one, with a lease, a
// memory and volumes of its own.
func (r *remediation) reload(ctx context.Context) (*spec.Stack, error) {
	stack, err := r.app.load(ctx)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if stack.Name != r.stack.Name {
		return nil, fmt.Errorf("the files call the project %q now, and this process looks after %q; give it its name back, or end this process and start it again for the other one", stack.Name, r.stack.Name)
	}
	r.stack = stack
	return stack, nil
}

// read is the stack as the files said when they were last read.
func (r *remediation) read() *spec.Stack {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stack
}

// trigger asks for a pass soon.
func (r *remediation) trigger() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctl != nil {
		r.ctl.Trigger()
	}
}

// run heals until ctx ends. A signal on hangup has the files read again.
func (r *remediation) run(ctx context.Context, interval time.Duration, hangup <-chan os.Signal) error {
	defer r.eng.Close()
	shown, hide := context.WithCancel(ctx)
	var site sync.WaitGroup
	defer func() { hide(); site.Wait() }()
	err := r.site.open(shown, r)
	if err != nil {
		r.memory.close(ctx)
		return err
	}
	site.Go(func() { r.site.serve(shown) })
	for {
		err = r.heal(ctx, interval, hangup)
		if !errors.Is(err, errOtherEngine) {
			return err
		}
		if err := r.move(ctx); err != nil {
			return err
		}
		r.site.follow(r.memory.stack)
	}
}

// heal heals with the memory that is open, which it closes, until ctx ends or another engine answers. The lease is kept until
// the last job has ended.
func (r *remediation) heal(ctx context.Context, interval time.Duration, hangup <-chan os.Signal) error {
	defer r.memory.close(ctx)
	leased, unlease := context.WithCancel(context.WithoutCancel(ctx))
	ctx, end := context.WithCancelCause(ctx)
	var beside sync.WaitGroup
	defer func() { end(nil); unlease(); beside.Wait() }()
	r.source.other = func(about observe.Engine) {
		r.about = about
		end(errOtherEngine)
	}
	beside.Go(func() { r.memory.keepLease(leased, r.app.storeStirs(leased, r.memory.dir, r.log)) })
	beside.Go(func() { r.memory.post.run(ctx) })
	beside.Go(func() { r.memory.writeSamples(ctx) })
	beside.Go(func() { r.memory.tidy(ctx) })
	beside.Go(func() { r.files.run(ctx, hangup) })
	defer r.prober.Close()
	r.log.Info("watching", "stack", r.read().Name, "engine", cmp.Or(r.about.Version, "not known yet"), "services", len(r.read().Services))
	err := r.ctl.Run(ctx, interval, grace)
	if err == nil && errors.Is(context.Cause(ctx), errOtherEngine) {
		err = errOtherEngine
	}
	return err
}

// storeStirs tells when somebody has written to the store; nil: it has to be asked.
func (a *app) storeStirs(ctx context.Context, dir string, log *slog.Logger) <-chan struct{} {
	switch {
	case a.storeURL != "":
		return nil
	case a.common != nil:
		return a.common.ear(ctx)
	case a.outside.stirs != nil:
		return a.outside.stirs(ctx, dir, log)
	}
	return stirs(ctx, dir, log)
}

// fileStirs is how it is told that compose files have changed. Nothing is told where something stands in for the system, nor to
// several stacks: the kernel gives a user's processes few listeners in all, and others need them too.
func (a *app) fileStirs() func(context.Context, []string) (<-chan struct{}, error) {
	if a.outside.stirs != nil || a.common != nil {
		return nil
	}
	return changes
}

// openHealMemory opens the store for the remediator.
func (a *app) openHealMemory(ctx context.Context, eng *engine.Engine, engineID string, stack *spec.Stack, log *slog.Logger) (*healMemory, error) {
	dir, err := a.state()
	if err != nil {
		return nil, err
	}
	db, err := a.openStore(ctx)
	if err != nil {
		return nil, err
	}
	key := store.StackKey(engineID, stack.Name)
	buffered, err := store.NewBuffered(ctx, db, key)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	m := &healMemory{
		Buffered: buffered, eng: eng, engine: engineID, stack: key, name: stack.Name, dir: dir, owner: store.ThisProcess(remediator), log: log,
		why: "not taken yet", nudge: make(chan struct{}, 1), measure: a.outside.measure, made: a.images(eng), models: models{from: a.outside.model},
	}
	m.seat = &seat{seats: a.seats(), own: occupies(key, db, remediator), warn: func(text string) { log.Warn("not alone", "reason", text) }}
	if m.measure == nil {
		m.measure = a.examiner(eng).Measure
	}
	if err := m.deliver(ctx, stack.Policy.Notify); err != nil {
		m.close(ctx) // what is tried again and again must leave nothing behind
		return nil, err
	}
	m.tendLease(ctx, false)
	if m.lease == nil {
		log.Warn("the stack is watched, and nothing is done to it until it is free", "reason", m.why)
	}
	return m, nil
}

// deliver makes what tells people, and takes up what they were not told.
func (m *healMemory) deliver(ctx context.Context, channels []spec.Notifier) (err error) {
	if m.post, err = newPostman(m.Buffered, channels, m.log); err != nil {
		return err
	}
	m.post.retry(ctx)
	return m.announceAgain(ctx)
}

// close gives back the lease and writes what waits.
func (m *healMemory) close(ctx context.Context) {
	m.release(context.WithoutCancel(ctx))
	m.seat.give()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := errors.Join(m.Buffered.Close(ctx), m.Store().Close()); err != nil {
		m.log.Error("the store could not be closed cleanly", "error", err)
	}
}
