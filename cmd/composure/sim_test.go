package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"composure/test/sim"
)

// program is this program as a simulation runs it: with its own ways out, else as in production.
type program struct{}

func (program) app(p *sim.Process) *app {
	return &app{
		stdin: strings.NewReader(""), stdout: p.Out, stderr: p.Out, files: p.Files, stateDir: p.StateDir, host: p.Host,
		outside: outside{stirs: silent, engine: p.Dial, calls: p.Calls, reach: p.Reach, driver: p.Driver, stamp: p.Stamp, load: p.Load, model: p.Model},
	}
}

// Reconcile implements sim.Program.
func (pr program) Reconcile(ctx context.Context, p *sim.Process) error {
	r, err := pr.app(p).remediate(ctx, p.Log)
	if err != nil {
		return err
	}
	r.ctl.OnPass = p.Passed
	return r.run(ctx, p.Interval, nil)
}

// Command implements sim.Program.
func (pr program) Command(ctx context.Context, p *sim.Process, args ...string) int {
	a := pr.app(p)
	root := newRoot(a)
	root.SetArgs(append([]string{"-f", p.Files[0], "--state-dir", p.StateDir, "-H", p.Host}, args...))
	return exitStatus(root.ExecuteContext(ctx), p.Out)
}

// TestSimulation runs seeds: SIM_SEED runs one and prints all of it, SIM_SEEDS=FROM-TO runs many; by itself it runs 500.
func TestSimulation(t *testing.T) {
	oneThread(t)
	if text := os.Getenv("SIM_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		s := sim.Generate(seed)
		r := sim.Run(t, program{}, s, true)
		fmt.Printf("%s\nlog:\n%s\n\ntrace:\n%s\n\n%d violations\n%s\n", s, strings.Join(r.Log, "\n"), strings.Join(r.Trace, "\n"), len(r.Violations), strings.Join(r.Violations, "\n"))
		if len(r.Violations) > 0 {
			t.Fail()
		}
		return
	}
	from, to := seeds(t, 1, 500)
	var passes, calls int
	var lasted time.Duration
	defer func() { t.Logf("%d seeds, %d passes, %d calls, %s", to-from+1, passes, calls, lasted) }()
	for seed := from; seed <= to; seed++ {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			r := sim.Run(t, program{}, sim.Generate(seed), false)
			passes, calls, lasted = passes+r.Passes, calls+r.Calls, lasted+r.Lasted
			if len(r.Violations) > 0 {
				t.Errorf("seed %d: %s\nreplay with: make sim SEED=%d", seed, strings.Join(r.Violations, "\n"), seed)
			}
		})
	}
}

// TestSimulationKept runs the scenarios that once broke a rule. What was wrong stands in each.
func TestSimulationKept(t *testing.T) {
	oneThread(t)
	files, err := filepath.Glob("testdata/sim/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s, err := sim.Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			if r := sim.Run(t, program{}, s, false); len(r.Violations) > 0 {
				t.Errorf("%s\ntrace:\n%s", strings.Join(r.Violations, "\n"), strings.Join(r.Trace, "\n"))
			}
		})
	}
}

// enough is the memory that tests under virtual time take before they look for what is not used, in bytes: what bubbles leave behind
// adds up to half of it.
const enough = 2 << 30

// oneThread runs a test on one thread: which of two things that happen at one moment comes first is then always the same. Little of
// what such a test takes of memory is still in use a moment later, so it is looked for seldom, while there is enough: that is a fifth of
// the time.
func oneThread(t *testing.T) {
	threads, percent, limit := runtime.GOMAXPROCS(1), debug.SetGCPercent(1600), debug.SetMemoryLimit(enough)
	t.Cleanup(func() {
		runtime.GOMAXPROCS(threads)
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	})
}

// seeds are those of SIM_SEEDS=FROM-TO, or the ones given.
func seeds(t *testing.T, from, to uint64) (uint64, uint64) {
	if text := os.Getenv("SIM_SEEDS"); text != "" {
		if _, err := fmt.Sscanf(text, "%d-%d", &from, &to); err != nil {
			t.Fatal(err)
		}
	}
	return from, to
}

// TestSimulationRepeats: the same seed is the same run. The runtime takes the processor from a goroutine that had it for
// ten milliseconds of real time: on a loaded machine that can swap two things of one moment. What is not the same by
// chance alone is the same in one of a few runs.
func TestSimulationRepeats(t *testing.T) {
	oneThread(t)
	from, to := seeds(t, 1, 10)
	for seed := from; seed <= to; seed++ {
		s := sim.Generate(seed)
		first, diff := sim.Run(t, program{}, s, false), ""
		for range 4 {
			again := sim.Run(t, program{}, s, false)
			if diff = cmp.Diff(first.Trace, again.Trace); diff == "" {
				break
			}
			first = again
		}
		if diff != "" {
			t.Errorf("seed %d: no two runs are the same; the last two (-first +second):\n%s", seed, diff)
		}
	}
}
