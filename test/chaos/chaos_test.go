//go:build linux

// Package chaos lets anything happen to a stack of twenty containers, and to the daemon below it, while the remediator
// watches, and wants it converged at the end with its rows intact, no safety rule broken, and the remediator as slim as
// before.
package chaos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"composure/controller/incident"
	"composure/test/dockerd"
	"composure/test/results"
	"composure/test/rig"
)

func TestMain(m *testing.M) { os.Exit(rig.Main(m, nil)) }

// minutes is how long things go wrong: MINUTES, else one.
func minutes(t *testing.T) time.Duration {
	text := os.Getenv("MINUTES")
	if text == "" {
		return time.Minute
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("MINUTES=%q: give a whole number of minutes", text)
	}
	return time.Duration(n) * time.Minute
}

// seed is SEED, or a new one.
func seed(t *testing.T) uint64 {
	text := os.Getenv("SEED")
	if text == "" {
		return uint64(time.Now().UnixNano())
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("SEED=%q: %v", text, err)
	}
	return n
}

// world is the stack, its daemon and what is written down.
type world struct {
	*rig.Stack
	t          *testing.T
	daemon     *dockerd.Engine
	log        *os.File
	violations []string
}

func (w *world) note(format string, args ...any) {
	fmt.Fprintf(w.log, "%s "+format+"\n", append([]any{time.Now().UTC().Format("15:04:05.000")}, args...)...)
}

func (w *world) violation(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.violations = append(w.violations, text)
	w.note("VIOLATION %s", text)
	w.t.Errorf("violation: %s", text)
}

// docker does something to the stack. That it fails is normal: the container may be elsewhere just now.
func (w *world) docker(args ...string) error {
	_, err := w.Stack.Engine.Docker(args...)
	return err
}

func (w *world) container(service string) string {
	if service, number, found := strings.Cut(service, "/"); found {
		return w.Name + "-" + service + "-" + number
	}
	return w.Container(service)
}

func (w *world) writer(r *rand.Rand) string { return fmt.Sprintf("w%d", r.IntN(writers)) }

// any is any service that runs for ever.
func (w *world) any(r *rand.Rand) string {
	others := []string{"db", "needs-db", "many/1", "many/2", "many/3", "port1", "port2", "port3"}
	if n := r.IntN(len(others) + writers); n < len(others) {
		return others[n]
	}
	return w.writer(r)
}

func TestChaos(t *testing.T) {
	during, from := minutes(t), seed(t)
	w := begin(t, from)
	fresh := w.footprint(t, w.watch(), 20*time.Second)
	run := w.watch()
	warm := w.chaos(run, rand.New(rand.NewPCG(from, 1)), during)
	took := w.settle(run)
	w.intact()
	end := w.footprint(t, run, 0)
	w.note("fresh %+v, warm %d kB, end %+v", fresh, warm, end)
	if end.goroutines > fresh.goroutines {
		t.Errorf("%d goroutines at the end, %d at first", end.goroutines, fresh.goroutines)
	}
	if end.descriptors > fresh.descriptors {
		t.Errorf("%d descriptors at the end, %d at first", end.descriptors, fresh.descriptors)
	}
	if end.connections > connections {
		t.Errorf("%d connections are kept, at most %d wait for the next call", end.connections, connections)
	}
	if end.memory > warm+warm/10 {
		t.Errorf("%d kB at the end, %d kB before", end.memory, warm)
	}
	if os.Getenv("MINUTES") == "" {
		return
	}
	verdict := "converged, rows intact, no violation"
	if t.Failed() {
		verdict = "FAILED: " + strings.Join(w.violations, "; ")
	}
	figures := []results.Figure{{Name: "minutes", Value: fmt.Sprint(during.Minutes())}, {Name: "seed", Value: fmt.Sprint(from)}, {Name: "actions", Value: fmt.Sprint(w.count())},
		{Name: "converged after", Value: took.Round(time.Second).String()}, {Name: "goroutines", Value: fmt.Sprintf("%d → %d", fresh.goroutines, end.goroutines)},
		{Name: "descriptors", Value: fmt.Sprintf("%d → %d", fresh.descriptors, end.descriptors)}, {Name: "memory", Value: fmt.Sprintf("%d → %d MB", warm>>10, end.memory>>10)}, {Name: "result", Value: verdict}}
	if err := results.Add("Chaos on a daemon of the test's own", "make chaos MINUTES=30", figures...); err != nil {
		t.Error(err)
	}
}

// begin deploys the stack on a daemon of its own, beside a container of somebody else.
func begin(t *testing.T, from uint64) *world {
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(cache, "composure", fmt.Sprintf("chaos-%d.log", from))
	log, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	fmt.Printf("chaos: SEED=%d, what happens is in %s\n", from, path)
	d := dockerd.Start(t, dockerd.Options{Images: []string{rig.Image, "composure-test/busybox:1", "composure-test/postgres:15"}})
	w := &world{Stack: rig.New(t, rig.Private(d), "cmpsr-chaos", file()), t: t, daemon: d, log: log}
	w.Env = []string{"GOTRACEBACK=all"}
	w.Docker("run", "-d", "--name", "bystander", "--restart", "always", "--label", "com.docker.compose.project=other", "--label", "com.docker.compose.service=w0", "composure-test/busybox:1", "sleep", "100000")
	w.Converge()
	w.Docker("exec", w.Container("db"), "psql", "-U", "postgres", "-c", "CREATE TABLE rows AS SELECT generate_series(1,5000) AS n")
	for i := range writers {
		w.Seed(fmt.Sprintf("w%d", i))
	}
	return w
}

// watch starts the remediator and waits until it watches.
func (w *world) watch() *rig.Run {
	run := w.Start("--log-level", "info", "reconcile", "--interval", "5s")
	w.Until("it watches", func() bool { return run.Ended() || strings.Contains(run.Said(), "watching") })
	return run
}

// chaos does one thing after the other, and returns what the remediator takes of memory, in kB, once everything has
// happened for a fifth of the time.
func (w *world) chaos(run *rig.Run, r *rand.Rand, during time.Duration) (warm int) {
	for began := time.Now(); time.Since(began) < during; {
		a := choose(r)
		started := time.Now()
		err := a.do(w, r)
		w.note("%s (%s) %v", a.name, time.Since(started).Round(time.Millisecond), err)
		if run.Ended() {
			w.t.Fatalf("the remediator has ended: %s", run.Wait())
		}
		if time.Since(began) > during/5 {
			warm = max(warm, memory(w.Pid(run)))
		}
		time.Sleep(time.Duration(r.IntN(2000)) * time.Millisecond)
	}
	return warm
}

// settle waits until everything runs as the file says and every incident is over, for ten minutes at most.
func (w *world) settle(run *rig.Run) time.Duration {
	began := time.Now()
	why := ""
	for time.Since(began) < 10*time.Minute {
		if why = w.unsettled(); why == "" {
			return time.Since(began)
		}
		time.Sleep(time.Second)
	}
	w.note("remediator:\n%s", run.Said())
	w.t.Errorf("ten minutes without: %s\n%s\n%s", why, w.PS(), w.Composure("incidents", "list"))
	return time.Since(began)
}

func (w *world) unsettled() string {
	all, err := w.All()
	if err != nil {
		return err.Error()
	}
	if len(all) != writers+9 {
		return fmt.Sprintf("%d containers, not %d", len(all), writers+9)
	}
	if r := w.Composure("drift"); r.Code != 0 {
		return r.String()
	}
	for _, c := range all {
		if full := w.Look(c.ID); full == nil || c.Labels["com.docker.compose.service"] != "once" && !full.State.Running || full.State.Health != nil && full.State.Health.Status != "healthy" {
			return fmt.Sprintf("%v runs well", c.Names)
		}
	}
	if open := slices.DeleteFunc(w.Incidents(), func(i incident.Incident) bool { return i.State == incident.Resolved }); len(open) > 0 {
		return fmt.Sprintf("the end of %s", open[0].ID)
	}
	return ""
}

// intact is what nothing may have changed.
func (w *world) intact() {
	for i := range writers {
		w.Intact(fmt.Sprintf("w%d", i))
	}
	if got := w.Docker("exec", w.Container("db"), "psql", "-U", "postgres", "-At", "-c", "SELECT count(*), sum(n) FROM rows"); got != "5000|12502500" {
		w.violation("rows of the database: %s", got)
	}
	if got := w.Docker("run", "--rm", "--network", "none", "-v", w.Name+"_once:/data", "composure-test/busybox:1", "cat", "/data/runs"); got != "ran" {
		w.violation("the one-shot ran %d times", strings.Count(got, "ran"))
	}
	if got := len(w.Volumes()); got != writers+2 {
		w.violation("%d volumes, not %d", got, writers+2)
	}
	if got := w.Docker("inspect", "--format", "{{.Name}} {{.State.Running}}", "bystander"); got != "/bystander true" {
		w.violation("the container of somebody else: %s", got)
	}
}

// footprint is what a process takes: goroutines and descriptors beside those of its connections to the engine, which are
// kept for the next calls, and resident memory in kB.
type footprint struct{ goroutines, descriptors, connections, memory int }

// connections is how many may be kept, with one that follows the events.
const connections = 17

// footprint measures a remediator after a time of rest, and ends it with the signal that has it list its goroutines.
func (w *world) footprint(t *testing.T, run *rig.Run, rest time.Duration) footprint {
	time.Sleep(rest)
	pid := w.Pid(run)
	var f footprint
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	f.descriptors, f.memory = len(open), memory(pid)
	if err = errors.Join(err, w.Stack.Signal(run.Cmd(), syscall.SIGQUIT)); err != nil {
		t.Fatal(err)
	}
	said := run.Wait().Err
	f.connections = strings.Count(said, "created by net/http.(*Transport).dialConn") / 2
	f.descriptors -= f.connections
	f.goroutines = strings.Count(said, "\ngoroutine ") - 2*f.connections
	if f.goroutines <= 0 {
		t.Fatalf("no goroutines are listed:\n%s", said)
	}
	w.note("footprint %+v\n%s", f, said)
	return f
}

// memory is the resident memory of a process in kB.
func memory(pid int) int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	kb, _ := strconv.Atoi(strings.Fields(after + " 0")[0])
	return kb
}

// count is how many actions are written down.
func (w *world) count() int {
	text, _ := os.ReadFile(w.log.Name())
	return strings.Count(string(text), "ms) ") + strings.Count(string(text), "s) ")
}
