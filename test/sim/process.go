package sim

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"composure/test/simengine"
)

// engineHost is the address of the engine, which lines reach.
const engineHost = "tcp://engine.sim:2375"

// process is a Process as the simulation sees it. When it dies, its connections break, its database refuses it, and what
// its goroutines still do changes nothing.
type process struct {
	w       *world
	name    string
	command bool // a command by hand, not the remediator
	dir     string
	line    *simengine.Line
	dead    atomic.Bool
	asked   atomic.Bool // to end
	end     context.CancelFunc
	ended   chan struct{}
	began   time.Time
	passes  []time.Time // the last ones; the checker's
}

// newProcess makes a process with its own path to the shared state directory.
func (w *world) newProcess(kind string) *Process {
	w.mu.Lock()
	w.serial++
	name := fmt.Sprintf("%s-%d", kind, w.serial)
	w.mu.Unlock()
	p := &process{w: w, name: name, dir: filepath.Join(w.dir, name), line: w.sim.Line(name), ended: make(chan struct{}), began: time.Now()}
	if err := os.Symlink(filepath.Join(w.dir, "state"), p.dir); err != nil {
		panic(err)
	}
	Own(p.dir, p)
	stamp := p.stamp
	if w.Seed%8 == 0 { // as PostgreSQL, which is asked every time
		stamp = nil
	}
	return &Process{
		Files: []string{w.file}, StateDir: p.dir, Driver: Driver, Stamp: stamp, Load: w.load, Model: w.model, Host: engineHost, Dial: p.line.Dial, Calls: p.line.Answer, Reach: w.reach,
		Log: slog.New(w.journal.handler(name)), Out: w.journal.writer(name), Interval: w.interval, Passed: w.check.passed(p), process: p,
	}
}

// remediate starts a remediator.
func (w *world) remediate() {
	p := w.newProcess("remediator")
	ctx, end := context.WithCancel(w.ctx)
	p.end = end
	w.mu.Lock()
	w.remediators = append(w.remediators, p.process)
	w.mu.Unlock()
	w.trace.add("%s starts", p.name)
	w.running.Go(func() {
		defer close(p.ended)
		defer owners.Delete(p.dir)
		for ctx.Err() == nil { // a supervisor starts it again, as systemd does
			err := w.program.Reconcile(ctx, p)
			if ctx.Err() == nil {
				w.trace.add("%s ended: %v", p.name, err)
				w.check.gaveUp(p.process)
				w.pause(ctx, 5*time.Second)
			}
		}
	})
}

// revive starts a remediator, unless one lives.
func (w *world) revive() {
	w.mu.Lock()
	alive := slices.ContainsFunc(w.remediators, (*process).alive)
	w.mu.Unlock()
	if !alive && w.ctx.Err() == nil {
		w.remediate()
	}
}

// process is one by its name; nil: none.
func (w *world) process(name string) *process {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range slices.Concat(w.remediators, w.commands) {
		if p.name == name {
			return p
		}
	}
	return nil
}

// alive says whether a process runs, and is not about to end.
func (p *process) alive() bool { return !p.dead.Load() && !p.asked.Load() && !isClosed(p.ended) }

// command runs a command line as a person would, in the background.
func (w *world) command(args ...string) *Process {
	p := w.newProcess("ops")
	p.command = true
	ctx, end := context.WithCancel(w.ctx)
	p.end = end
	w.trace.add("%s runs %v", p.name, args)
	w.check.commandBegins(args)
	w.mu.Lock()
	w.commands = append(w.commands, p.process)
	w.mu.Unlock()
	w.running.Go(func() {
		defer close(p.ended)
		defer owners.Delete(p.dir)
		code := w.program.Command(ctx, p, args...)
		w.trace.add("%s ended with %d", p.name, code)
		w.check.commandEnded(p.process, args, code)
	})
	return p
}

// die is SIGKILL. sameHost says whether the next process finds out that this one is dead; else its lease has to run out.
func (p *process) die(sameHost bool) {
	if p.dead.Swap(true) {
		return
	}
	p.w.trace.add("%s is killed", p.name)
	p.w.check.forgets(p.name)
	p.line.Cut()
	p.end()
	if sameHost {
		p.w.onStore(`UPDATE leases SET pid = 4999999 WHERE command = 'reconcile'`) // not that of a command that it was lent to
	}
}

// stop is SIGTERM.
func (p *process) stop() {
	p.w.trace.add("%s is asked to end", p.name)
	p.w.check.forgets(p.name)
	p.asked.Store(true)
	p.end()
}

// Fails implements Owner.
func (p *process) Fails(writes bool) error {
	if p.dead.Load() || p.w.storeDown(writes) {
		return errStore
	}
	return nil
}

// lends gives the connections to the store that other processes of the run have closed.
func (p *process) lends() *parked { return &p.w.parked }

// stamp changes with all that is written to the store; it is empty while the store does not answer.
func (p *process) stamp() string {
	if p.Fails(false) != nil {
		return ""
	}
	return strconv.FormatInt(p.w.writes.Load(), 10)
}

// Stirred implements Owner.
func (p *process) Stirred() { p.w.writes.Add(1) }

// Wrote implements Owner: a commit may not be acknowledged.
func (p *process) Wrote(_ []string, tx bool) error {
	if tx && (p.dead.Load() || p.w.commitsLost()) {
		return errStore
	}
	return nil
}

// trace is what happened, in order. Lines of one instant are sorted: which of two things that happen at once is noted
// first is not decided by the seed.
type trace struct {
	mu    sync.Mutex
	began time.Time
	lines []traced
}

type traced struct {
	at   time.Duration
	text string
}

func (t *trace) add(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, traced{time.Since(t.began), fmt.Sprintf(format, args...)})
}
