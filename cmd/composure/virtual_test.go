package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/api/types/events"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"

	"composure/controller"
	"composure/controller/incident"
	"composure/controller/plan"
	"composure/test/simengine"
)

// shop is the stack of the tests under virtual time: a database, what depends on it, and a service of its own.
const shop = `
name: shop
services:
  postgres:
    image: sim/db:1
    restart: unless-stopped
    volumes: [data:/data]
    healthcheck: {test: [CMD, check], interval: 10s, timeout: 2s, retries: 3}
  api:
    image: sim/api:1
    restart: unless-stopped
    depends_on: {postgres: {condition: service_healthy}}
    healthcheck: {test: [CMD, check], interval: 10s, timeout: 2s, retries: 3}
  web:
    image: sim/web:1
    restart: unless-stopped
    depends_on: [api]
  worker:
    image: sim/worker:1
    restart: unless-stopped
  migrate:
    image: sim/migrate:1
    depends_on: {postgres: {condition: service_healthy}}
volumes: {data: {}}
`

// world is a remediator with its real store on a simulated engine, in a bubble of virtual time.
type world struct {
	t    *testing.T
	sim  *simengine.Engine
	app  *app
	log  *journal
	ctx  context.Context // of the engine
	stop func()          // ends the remediator in good order
	mem  *healMemory
	ctl  *controller.Controller

	process *remediation // that runs, or ran last

	writes    *writes // with which of them a process dies; nil: none is counted
	processes int     // that had a path of their own to the store

	mu      sync.Mutex
	answers func(address string) int // status of what answers at an address; 0: nobody listens
	last    controller.Pass
	struck  *strike // where the remediator is to die

	databaseUp atomic.Bool // what the tests' applications ask
	passes     int
	interval   time.Duration // of the remediator's looks
}

// silent is a directory that does not tell of what is written in it: whoever waits for the kernel stops virtual time.
func silent(context.Context, string, *slog.Logger) <-chan struct{} { return nil }

// virtually runs a test on a stack in a bubble, from the moment at which the stack runs well.
func virtually(t *testing.T, compose string, test func(w *world)) {
	virtuallyWith(t, compose, func(*world) {}, test)
}

// virtuallyWith prepares the world before the remediator starts. It takes one thread: two processes that write to SQLite at one moment wait for each other by the clock, which stands still
// while somebody waits for a mutex that one of them holds.
func virtuallyWith(t *testing.T, compose string, prepare, test func(w *world)) {
	oneThread(t)
	dir := inMemory(t)
	file := filepath.Join(dir, "compose.yaml")
	if err := os.WriteFile(file, []byte(compose), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(inner *testing.T) {
		written(inner, file)
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(inner.Context())
		defer synctest.Wait()
		defer cancel()
		w := &world{t: inner, sim: simengine.New(), ctx: ctx, log: &journal{}, interval: time.Minute, app: &app{
			files: []string{file}, stateDir: filepath.Join(dir, "state"), stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard,
			host: "unix:///simulated",
		}}
		w.app.outside = outside{engine: w.sim.Dial, reach: w.dial, stirs: silent}
		w.sim.Behave("migrate", func(simengine.Start) simengine.Behaviour { return simengine.Behaviour{ExitAfter: 2 * time.Second} })
		for _, name := range []string{"db", "api", "web", "migrate", "worker"} {
			w.sim.Image("sim/"+name+":1", dockerspec.DockerOCIImageConfig{})
		}
		w.sim.Serve(ctx)
		prepare(w)
		w.start()
		defer func() { synctest.Wait(); w.stop() }()
		w.sleep(3 * time.Minute)
		if open := w.open(); len(open) > 0 || !w.well() {
			inner.Fatalf("does not run at the beginning:\n%s\n%s", w.plan(), w.log)
		}
		w.sim.ForgetCalls()
		test(w)
		if asked := w.sim.Unknown(); len(asked) > 0 {
			inner.Errorf("the simulated engine was asked what it does not know: %v", asked)
		}
		if t.Failed() || inner.Failed() {
			inner.Logf("plan:\n%s\ncalls: %s\nincidents:\n%s\nlog:\n%s", w.plan(), strings.Join(w.sim.Calls(), "\n"), w.story(), w.log)
		}
	})
}

// inMemory is a directory for a test, in memory where the machine has a place there: a store waits for the disk at each write,
// which takes longer than all else.
func inMemory(t *testing.T) string {
	if info, err := os.Stat("/dev/shm"); err != nil || !info.IsDir() {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("/dev/shm", "composure-virtual-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// written gives a file the time of the bubble: the file system's own clock is another one, and a file that was written after it was
// read is read again.
func written(t *testing.T, file string) {
	if err := os.Chtimes(file, time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
}

// start starts a remediator, as `composure reconcile` does.
func (w *world) start() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.ctx)
	line, log := w.sim.Line("remediator"), &processLog{journal: w.log}
	w.app.outside.engine = line.Dial
	by := w.app
	if w.writes != nil {
		by = w.ownApp(func() { log.closed.Store(true); line.Cut(); cancel() })
	}
	r, err := by.remediate(ctx, slog.New(log))
	if err != nil {
		w.t.Fatal(err)
	}
	w.mem, w.ctl, w.process = r.memory, r.ctl, r
	r.ctl.OnPass = w.seen
	w.mortal(r, line, log, cancel)
	var running sync.WaitGroup
	running.Go(func() {
		if err := r.run(ctx, w.interval, nil); err != nil && !log.closed.Load() {
			w.t.Errorf("the remediator ended: %v", err)
		}
	})
	w.stop = func() {
		cancel()
		running.Wait()
		w.stop = func() {}
	}
}

func (w *world) seen(p controller.Pass) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last, w.passes = p, w.passes+1
}

// plan is what the last pass decided.
func (w *world) plan() plan.Plan {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last.Plan
}

// dial reaches what the probes ask: by itself everything listens and answers 200.
func (w *world) dial(_ context.Context, _, address string) (net.Conn, error) {
	w.mu.Lock()
	status := http.StatusOK
	if w.answers != nil {
		status = w.answers(address)
	}
	w.mu.Unlock()
	if status == 0 {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("connect: connection refused")}
	}
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		if r, err := http.ReadRequest(bufio.NewReader(theirs)); err == nil {
			_ = (&http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Request: r, Close: true}).Write(theirs)
		}
	}()
	return ours, nil
}

// sleep lets virtual time go by.
func (w *world) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// until waits for a condition and fails the test when it has not come true in time.
func (w *world) until(limit time.Duration, what string, holds func() bool) {
	w.t.Helper()
	for began := time.Now(); !holds(); w.sleep(time.Second) {
		if time.Since(began) > limit {
			w.t.Fatalf("not within %s: %s\nplan:\n%s\ncalls: %s\nincidents:\n%s\nlog:\n%s", limit, what, w.plan(), strings.Join(w.sim.Calls(), "\n"), w.story(), w.log)
		}
	}
}

// well says whether everything that is meant to run does, under its own name.
func (w *world) well() bool {
	for _, service := range []string{"postgres", "api", "web", "worker"} {
		found := w.sim.Of(service)
		if len(found) != 1 || !found[0].State.Running || found[0].State.Restarting || found[0].Name != "/shop-"+service+"-1" {
			return false
		}
		if h := found[0].State.Health; h != nil && h.Status != "healthy" {
			return false
		}
	}
	return true
}

// open are the incidents that are not resolved.
func (w *world) open() []incident.Incident {
	open, _, err := w.mem.Incidents(w.ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	return open
}

// all are the incidents of the last two days, by detection.
func (w *world) all() []incident.Incident {
	open, recent, err := w.mem.Incidents(w.ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	all := append(open, recent...)
	slices.SortFunc(all, func(a, b incident.Incident) int { return a.Detected.Compare(b.Detected) })
	return all
}

// story is what the incidents tell.
func (w *world) story() string {
	var b strings.Builder
	for _, i := range w.all() {
		fmt.Fprintf(&b, "%s %s %s %s escalated %v\n", i.ID, i.Service, i.Cause, i.State, i.Reasons)
		for _, e := range i.Timeline {
			fmt.Fprintf(&b, "    %s %s %s\n", e.At.Format("15:04:05.0"), e.Kind, e.Text)
		}
	}
	return b.String()
}

// calls counts the mutating calls of the engine that contain a text.
func (w *world) calls(text string) int {
	n := 0
	for _, c := range w.sim.Calls() {
		if strings.Contains(c, text) {
			n++
		}
	}
	return n
}

// journal keeps the log, with virtual times.
type journal struct {
	mu    sync.Mutex
	lines []string
}

// Enabled implements slog.Handler.
func (j *journal) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (j *journal) Handle(_ context.Context, r slog.Record) error {
	text := r.Time.UTC().Format("02 15:04:05.000 ") + r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, text)
	return nil
}

// WithAttrs implements slog.Handler.
func (j *journal) WithAttrs([]slog.Attr) slog.Handler { return j }

// WithGroup implements slog.Handler.
func (j *journal) WithGroup(string) slog.Handler { return j }

// count counts the lines with a text.
func (j *journal) count(text string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := 0
	for _, l := range j.lines {
		if strings.Contains(l, text) {
			n++
		}
	}
	return n
}

// String is the end of the log.
func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines[max(0, len(j.lines)-120):], "\n")
}

func TestVirtualIdle(t *testing.T) {
	virtually(t, shop, func(w *world) {
		w.sleep(2 * time.Hour)
		if calls := w.sim.Calls(); len(calls) > 0 || len(w.all()) > 0 {
			t.Errorf("a stack that runs well was touched: %q", calls)
		}
	})
}

// TestVirtualGlance: while all is well everything is looked at every interval, and the list of containers every minute: what
// the engine did not tell is found by that, and the memory is sampled as often.
func TestVirtualGlance(t *testing.T) {
	virtuallyWith(t, shop, func(w *world) { w.interval = 5 * time.Minute }, func(w *world) {
		w.sleep(20 * time.Minute) // everything is proven stable
		before := w.passes
		w.sleep(time.Hour)
		if looks := w.passes - before; looks < 11 || looks > 13 {
			t.Errorf("everything was looked at %d times in an hour", looks)
		}
		samples, err := w.mem.Store().Samples(w.ctx, w.mem.stack, "worker", time.Now().Add(-time.Hour))
		if err != nil || len(samples) < 110 || len(samples) > 130 {
			t.Errorf("%d values of two series are on record for an hour: %v", len(samples), err)
		}
		w.sim.LoseEvents(func(events.Message) bool { return true })
		if err := w.sim.ByHand("shop-worker-1", "stop", ""); err != nil {
			t.Fatal(err)
		}
		w.until(62*time.Second, "what was stopped without a word is started", func() bool { return w.sim.Runs("shop-worker-1") })
		if calls := w.sim.Calls(); len(calls) != 1 {
			t.Errorf("calls: %q", calls)
		}
	})
}

// TestVirtualGlanceEnds: what the list of containers does not tell is found at the next look at everything.
func TestVirtualGlanceEnds(t *testing.T) {
	virtuallyWith(t, shop, func(w *world) { w.interval = 5 * time.Minute }, func(w *world) {
		w.sleep(20 * time.Minute)
		w.sim.LoseEvents(func(events.Message) bool { return true })
		if err := w.sim.ByHand("shop-worker-1", "policy", "no"); err != nil {
			t.Fatal(err)
		}
		w.until(5*time.Minute+2*time.Second, "the restart policy is repaired", func() bool { return len(w.sim.Calls()) == 1 })
	})
}
