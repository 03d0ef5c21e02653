package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"composure/controller/act"
	"composure/controller/drift"
	"composure/controller/observe"
	"composure/controller/plan"
	"composure/controller/verify"
)

// Look is the line cut short after the plan: what a pass would decide now. It touches nothing of the stack.
func (c *Controller) Look(ctx context.Context) (Pass, error) {
	c.settleHistory(time.Now())
	busy, history := c.inFlight() // before the look: what ends meanwhile is planned by the pass that its end triggers
	snapshot, err := c.observe(ctx)
	if err != nil {
		return Pass{}, err
	}
	c.settleStarts(snapshot)
	c.cameBack(ctx, snapshot)
	if c.adoptOutside(ctx, snapshot, busy) { // what is restored now may need other images, which nobody has looked at
		if snapshot, err = c.observe(ctx); err != nil {
			return Pass{}, err
		}
		c.settleStarts(snapshot)
	}
	c.concerns(snapshot)
	c.ahead.Store(int64(snapshot.Engine.Ahead))
	p := Pass{Stack: c.Stack, Snapshot: snapshot, Tried: history}
	p.Drift = c.compare(ctx, snapshot)
	p.Judged = verify.All(c.Stack, snapshot)
	in := plan.Input{
		Now: snapshot.At, Stack: c.Stack, Snapshot: snapshot, Drift: p.Drift, Judge: p.Judged, Busy: busy, History: history,
		Deploy: c.Deploy, Prune: c.Prune, Services: c.Services, TakeOver: c.TakeOver, Tries: c.Tries,
		Asked: c.Asked, Pinned: c.Pinned, Paused: c.Paused,
	}
	if c.heal != nil {
		p.File, p.Applied = c.heal.file, c.heal.desired.Applied
	}
	switch {
	case c.heal != nil && c.Deploy:
		p.Ill = Illnesses(&p, nil)
		in.Patient, in.Paused = true, maintenance(c.Stack, c.heal.desired.Paused, snapshot.At)
		pausedByHand(&p, in.Paused)
		p.Window = maintenance(c.Stack, nil, snapshot.At)
	case c.heal != nil:
		c.diagnose(ctx, &p, &in)
	}
	p.Plan = plan.Compute(in)
	return p, nil
}

// compare says how the stack differs. What was applied last is read, once, where that tells more: it takes longer than all the rest of a run
// that has nothing to do.
func (c *Controller) compare(ctx context.Context, snapshot *observe.Snapshot) drift.Report {
	in := drift.Input{Stack: c.Stack, Applied: c.Applied, Snapshot: snapshot, Overrides: c.Overrides}
	report := drift.Compute(in)
	if !report.Edited || c.Recall == nil {
		return report
	}
	applied, err := c.Recall(ctx)
	c.Recall = nil
	if err != nil {
		c.Logger.Warn("what was last applied is not known; what was taken out of the file may not be seen", "error", err)
	}
	if applied == nil {
		return report
	}
	c.Applied, in.Applied = applied, applied
	return drift.Compute(in)
}

// observe looks at everything. A look that was begun before is ended, once.
func (c *Controller) observe(ctx context.Context) (*observe.Snapshot, error) {
	if c.heal != nil { // an engine that hangs does not keep it from ending; the deployment verb has to say how all is in the end
		over, cancel := c.untilOver(ctx)
		defer cancel()
		ctx = over
	}
	begun := c.Begun
	c.Begun = nil
	if begun == nil || begun.Project() != c.Stack.Name {
		begun = observe.Begin(ctx, c.Source, c.Stack.Name)
	}
	snapshot, err := begun.Finish(ctx, c.Stack)
	if err == nil && c.heal != nil {
		err = ctx.Err() // the gaps of a look that was cut short are none
	}
	return snapshot, err
}

// ahead is how far in the future an attempt may have ended before the clocks disagree.
const ahead = 2 * time.Second

// settleStarts gives each run one start by this host's clock. The engine's clock may be another one, and is corrected for; a
// run that began in the future all the same, because this host's clock was set back, counts from when it was first seen: else
// everything about it would be pending until the clock has caught up.
func (c *Controller) settleStarts(s *observe.Snapshot) {
	early := map[string]time.Time{}
	for i := range s.Containers {
		one := &s.Containers[i]
		if one.Inspect.State == nil {
			continue
		}
		run := one.ID + one.Inspect.State.StartedAt
		seen, known := c.early[run]
		switch {
		case known:
			one.Seen = seen
		case !one.StartKnown(s.At):
			one.Seen = s.At
		case one.Ahead != 0:
			one.Seen = one.StartedAt()
		default:
			continue
		}
		early[run] = one.Seen
	}
	c.early = early
}

// settleHistory counts an attempt that ended in the future from now: the backoff after it would last until a clock that was set
// back has caught up with itself.
func (c *Controller) settleHistory(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.history {
		if c.history[i].At.After(now.Add(ahead)) {
			c.history[i].At = now
		}
	}
}

// pausedByHand adds the services with a container that a person has paused: a file that is deployed by itself does not undo
// what somebody did to a container, as the deployment verb does.
func pausedByHand(p *Pass, alone map[string]string) {
	for _, one := range p.Snapshot.Containers {
		if one.Status() == "paused" && alone[one.Service] == "" {
			alone[one.Service] = "its container was paused by hand; `docker unpause` or `composure reconcile --once` resumes it"
		}
	}
}

// pass looks, records what it found with the evidence, and sends off what is due. It never waits for a job: each that ends
// triggers the pass that verifies it.
func (c *Controller) pass(ctx context.Context) (Pass, error) {
	c.recollect(ctx)
	p, err := c.Look(ctx)
	if err != nil {
		return p, err
	}
	if c.heal != nil {
		p.Unread = c.heal.Edited != nil && c.heal.Edited()
		if why := c.yields(ctx, &p); why != "" {
			p.Plan.Yield(why)
		}
	}
	due := p.Plan.Due()
	switch {
	case c.ending():
		due = nil
	case c.heal == nil:
	case c.heal.Memory.Elsewhere(c.heal.read):
		p.Elsewhere, due = true, nil
	}
	c.tell(ctx, &p)
	for _, job := range due {
		err := c.dispatch(ctx, job)
		if err != nil && c.heal == nil {
			return p, err
		}
		if err != nil { // somebody else works on the stack, or the store cannot take an intent: nothing is done, it is tried again
			c.Logger.Warn("not begun", "job", job.Title(), "error", err)
		}
	}
	busy, _ := c.inFlight()
	p.InFlight = len(busy)
	if c.OnPass != nil {
		c.OnPass(p)
	}
	return p, nil
}

// recollect reads what is to be restored, and who is to be left alone, before anything is decided: a pause counts from when
// it was said. Where somebody else had the stack meanwhile nothing is done in this pass, and more is read after it.
func (c *Controller) recollect(ctx context.Context) {
	if c.heal == nil || c.heal.Memory.Elsewhere(c.heal.read) {
		return
	}
	if err := c.restoreDesired(ctx, time.Now()); err != nil {
		c.Logger.Warn("desired state not refreshed", "error", err)
	}
}

// yields is why nothing new is begun in this pass, or "".
func (c *Controller) yields(ctx context.Context, p *Pass) string {
	if command := cmp.Or(c.heal.Memory.Asked(), c.meanwhile(ctx, p.Plan)); command != "" {
		return fmt.Sprintf("the stack is given to `composure %s` first, which asks for it", command)
	}
	if p.Unread {
		return "the compose files were changed a moment ago, and are read first"
	}
	return ""
}

// meanwhile is the command that was given while everything was looked at, and changed who is to be left alone: an engine can
// take its time to answer. Nothing is begun, and nothing decided, on what was known before it.
func (c *Controller) meanwhile(ctx context.Context, p plan.Plan) string {
	if len(p.Due()) == 0 && len(p.Decisions) == 0 {
		return ""
	}
	now, err := c.heal.Memory.Desired(ctx, c.heal.file, time.Now()) // only compared: this pass goes by what it began with
	before := c.heal.desired.Paused
	if err != nil || maps.Equal(before, now.Paused) {
		return ""
	}
	c.Trigger()
	if len(now.Paused) < len(before) {
		return "resume"
	}
	return "pause"
}

// tell records the incidents that a pass found, before anything is done about them.
func (c *Controller) tell(ctx context.Context, p *Pass) {
	if c.heal == nil || p.Elsewhere || p.Unread {
		return
	}
	if err := c.keepIncidents(ctx, c.observation(p)); err != nil {
		c.Logger.Warn("incidents not recorded", "error", err)
		return
	}
	c.told(p)
}

// inFlight returns copies of what is being done and what was tried.
func (c *Controller) inFlight() (map[string]string, []plan.Attempt) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.busy), append([]plan.Attempt(nil), c.history...)
}

// dispatch records the intent and runs the job in the background.
func (c *Controller) dispatch(ctx context.Context, job plan.Job) error {
	id, err := c.Ledger.Begin(ctx, job, time.Now())
	if err != nil {
		return fmt.Errorf("record the intent to %s: %w", job.Title(), err)
	}
	c.mu.Lock()
	c.busy[job.Key] = string(job.Due()[0].Op)
	c.mu.Unlock()
	c.Logger.Info("act", "job", job.Title(), "kind", job.Kind, "cause", job.Cause)
	c.jobs.Go(func() {
		c.slots <- struct{}{}
		run, cancel := c.bounded(ctx, job)
		err := c.Actor.Run(run, job)
		cancel()
		<-c.slots
		c.ended(ctx, id, job, err)
	})
	return nil
}

// ending says whether the run was told to end: a look takes its time, and what it asks for is left to the next run.
func (c *Controller) ending() bool {
	select {
	case <-c.over:
		return true
	default:
		return false
	}
}

// untilOver is a context that ends with the run.
func (c *Controller) untilOver(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-c.over:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// bounded is the context of a job. A pull or a build ends with the run: it can take for ever, and nothing is half done
// when it is cut short. Every other job is ended first.
func (c *Controller) bounded(ctx context.Context, job plan.Job) (context.Context, context.CancelFunc) {
	if op := job.Due()[0].Op; op == plan.ImagePull || op == plan.ImageBuild {
		return c.untilOver(ctx)
	}
	return context.WithCancel(ctx)
}

// ended records how a job ended and triggers the pass that looks at what it did.
func (c *Controller) ended(ctx context.Context, id string, job plan.Job, err error) {
	attempt := plan.Attempt{Service: job.Service, Key: job.Key, Kind: job.Kind, Cause: job.Cause, Counts: job.Counts, At: time.Now(), Outcome: outcome(err)}
	if err != nil {
		attempt.Reason = err.Error()
		level := slog.LevelWarn
		if c.heal == nil { // the deployment verb shows it in its own way
			level = slog.LevelDebug
		}
		c.Logger.Log(ctx, level, "act ended", "job", job.Title(), "outcome", attempt.Outcome, "reason", attempt.Reason)
	}
	// The record is kept also when the run is being cancelled.
	record, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := c.Ledger.Finish(record, id, attempt.Outcome, attempt.Reason, attempt.At); err != nil {
		c.Logger.Warn("outcome not recorded", "job", job.Title(), "error", err)
	}
	c.mu.Lock()
	delete(c.busy, job.Key)
	c.history = append(c.history, attempt)
	c.mu.Unlock()
	if c.heal != nil && c.heal.Ended != nil {
		c.heal.Ended(attempt)
	}
	c.Trigger()
}

// outcome names how a job ended.
func outcome(err error) plan.Outcome {
	switch {
	case err == nil:
		return plan.Done
	case errors.Is(err, observe.ErrImageMissing): // not in the registry either: looking again does not change that
		return plan.Failure
	case errors.Is(err, act.ErrStale), errors.Is(err, observe.ErrNotFound), errors.Is(err, observe.ErrNetworkTwice): // the second one was not there yet
		return plan.Stale
	case errors.Is(err, observe.ErrNoAnswer), errors.Is(err, context.Canceled):
		return plan.Unknown
	}
	return plan.Failure
}
