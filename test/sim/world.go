package sim

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"composure/spec"
	"composure/test/simengine"
)

// world is one run.
type world struct {
	Scenario
	program Program
	sim     *simengine.Engine
	ctx     context.Context
	dir     string // everything on disk: compose file and state
	file    string // the compose file
	began   time.Time

	interval time.Duration // of the remediator's full looks
	trace    trace
	journal  journal
	check    *checker
	people   people
	running  sync.WaitGroup

	records *sql.DB
	parked  parked       // connections to the store
	loaded  sync.Map     // stacks that were made, by what the files or the model say
	writes  atomic.Int64 // to the store
	probed  atomic.Int64 // until when probes get something else than what is so, in nanoseconds since 1970

	mu          sync.Mutex
	serial      int
	remediators []*process // all there were; the last one is current
	commands    []*process // all there were
	troubles    []trouble
	storeMode   string // what is wrong with the store: "", "down", "full", "lost"
	ports       map[int]int
	apps        map[string]*app
	deadly      func(r *http.Request, from string, t *simengine.Trouble) // called under mu for each call that changes something; nil: nothing
}

// Run runs a scenario in a bubble of virtual time. verbose keeps the program's log.
func Run(t *testing.T, program Program, s Scenario, verbose bool) (result Result) {
	dir, err := os.MkdirTemp(scratch(), "composure-sim-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	synctest.Test(t, func(inner *testing.T) {
		ctx, cancel := context.WithCancel(inner.Context())
		w := &world{
			Scenario: s, program: program, sim: simengine.New(), ctx: ctx, dir: dir, file: filepath.Join(dir, "compose.yaml"),
			records: openRecords(dir), began: time.Now(), interval: time.Minute << (s.Seed % 3), ports: map[int]int{}, apps: map[string]*app{},
		}
		w.trace.began, w.journal.on, w.journal.began = w.began, verbose, w.began
		w.check = newChecker(w)
		w.people.open(w)
		w.run(cancel)
		if err := w.parked.close(); err != nil {
			inner.Error(err)
		}
		result = w.result()
	})
	return result
}

// scratch is where stores are kept while a simulation runs: in memory when the machine has a place there.
func scratch() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

// boot is how long a stack has to come up before anything goes wrong; adoption is how long Composure may take to know one that runs.
const (
	boot     = 100 * time.Second
	adoption = 40 * time.Second
)

// longest is how long what the engine is asked for may take: a stop that waits for its grace, executed late.
const longest = 5 * time.Minute

func (w *world) run(cancel context.CancelFunc) {
	makeState(filepath.Join(w.dir, "state"))
	w.edit(0)
	w.images()
	w.sim.Observe(w.check)
	w.sim.TroubleBy(w.trouble)
	w.sim.Serve(w.ctx)
	steps := w.Steps
	for ; len(steps) > 0 && steps[0].At == 0; steps = steps[1:] { // before Composure is there
		w.step(steps[0])
	}
	w.remediate()
	defer func() {
		w.finish()
		cancel()
		w.people.close()
		end := time.Second
		if w.check.broken() { // in the middle of something
			end = longest
		}
		time.Sleep(end)
		synctest.Wait()
	}()
	w.until(w.boot())
	if !w.check.converged() {
		w.check.violated("boot", "the stack does not run %s after the beginning: %s", w.boot(), w.check.why())
		return
	}
	w.check.booted()
	for _, step := range steps {
		if w.until(step.At); w.check.broken() {
			return
		}
		w.step(step)
	}
	if w.until(w.End); !w.check.broken() {
		w.aftermath()
	}
}

// boot is when the stack has come up.
func (s Scenario) boot() time.Duration {
	if len(s.Steps) > 0 && s.Steps[0].At == 0 {
		return adoption
	}
	return boot
}

// step makes a line of the script happen.
func (w *world) step(s Step) {
	w.trace.add("> %s", s)
	verbs[s.Verb](w, s.Args)
}

// until lets time go by, in pieces: rules are looked at in between.
func (w *world) until(at time.Duration) {
	for !w.check.broken() {
		left := at - time.Since(w.began)
		if left <= 0 {
			return
		}
		time.Sleep(min(left, 5*time.Second))
		synctest.Wait()
		w.check.moment()
	}
}

// pause waits, unless ctx ends.
func (w *world) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// finish ends all processes in good order, and the engine.
func (w *world) finish() {
	w.calm()
	w.mu.Lock()
	all := slices.Clone(w.remediators)
	w.mu.Unlock()
	for _, p := range all {
		p.end()
	}
	w.running.Wait()
	_ = w.records.Close()
}

// current is the remediator that was started last.
func (w *world) current() *process {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.remediators) == 0 {
		return nil
	}
	return w.remediators[len(w.remediators)-1]
}

// edit puts a compose file in the place of the one there is.
func (w *world) edit(n int) {
	if err := os.WriteFile(w.file, []byte(w.Files[n]), 0o600); err != nil {
		panic(err)
	}
	now := time.Now() // the file system's own clock is another one
	if err := os.Chtimes(w.file, now, now); err != nil {
		panic(err)
	}
	files, err := spec.Read(spec.Options{Files: []string{w.file}})
	if err != nil {
		panic(fmt.Sprintf("%s: %v", w.Name, err))
	}
	stack, err := w.load(w.ctx, files)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", w.Name, err))
	}
	w.check.file(stack, n)
}

// load makes the stack of the compose file, once for all who ask: nobody changes a stack, and all of one is in one file here.
func (w *world) load(ctx context.Context, files *spec.Files) (*spec.Stack, error) {
	text := files.Text()
	if made, ok := w.loaded.Load(text); ok {
		return made.(*spec.Stack), nil
	}
	stack, err := files.Load(ctx)
	if err == nil {
		w.loaded.Store(text, stack)
	}
	return stack, err
}

// model reads the model of what was applied, once for all who read it beside the same file.
func (w *world) model(data []byte, like *spec.Stack) (*spec.Stack, error) {
	key := readModel{string(data), like}
	if made, ok := w.loaded.Load(key); ok {
		return made.(*spec.Stack), nil
	}
	stack, err := spec.FromCanonical(data, like)
	if err == nil {
		w.loaded.Store(key, stack)
	}
	return stack, err
}

type readModel struct {
	text string
	like *spec.Stack
}

// result is what the run came to.
func (w *world) result() Result {
	r := Result{Scenario: w.Scenario, Violations: w.check.violations, Log: w.journal.text(), Passes: w.check.passes, Calls: w.check.calls, Lasted: time.Since(w.began)}
	lines := w.trace.lines
	slices.SortStableFunc(lines, func(a, b traced) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.text, b.text)) })
	for _, l := range lines {
		r.Trace = append(r.Trace, fmt.Sprintf("%-14s %s", l.at, l.text))
	}
	return r
}
