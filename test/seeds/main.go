// Command seeds runs seeds of the simulation, and proves that the simulation finds mistakes: with -planted it puts known
// ones into Composure and runs seeds until each is found.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"composure/test/results"
)

func main() {
	seeds := flag.Int("seeds", 1000, "seeds to run, or in which each bug is to be found")
	planted := flag.Bool("planted", false, "put bugs into Composure")
	only := flag.String("bug", "", "with -planted: this bug alone")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *seeds, *planted, *only); err != nil {
		fmt.Fprintln(os.Stderr, "seeds:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, seeds int, planted bool, only string) error {
	dir, err := os.MkdirTemp("", "composure-seeds-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if planted {
		return findAll(ctx, dir, seeds, only)
	}
	binary, err := build(ctx, dir)
	if err != nil {
		return err
	}
	return runAll(ctx, binary, seeds)
}

// build compiles the simulation.
func build(ctx context.Context, dir string, flags ...string) (string, error) {
	binary := filepath.Join(dir, "sim.test")
	cmd := exec.CommandContext(ctx, "go", slices.Concat([]string{"test", "-c"}, flags, []string{"-o", binary, "./cmd/composure"})...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	return binary, cmd.Run()
}

// simulation is a process that runs seeds, on one thread: so does each run, and two processes use two processors best.
func simulation(ctx context.Context, binary string, from, to int, flags ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, binary, append([]string{"-test.run", "TestSimulation$", "-test.v", "-test.timeout", "0"}, flags...)...)
	cmd.Dir = filepath.Join("cmd", "composure")
	cmd.Env = append(os.Environ(), fmt.Sprintf("SIM_SEEDS=%d-%d", from, to), "GOMAXPROCS=1")
	return cmd
}

// part is what one process came to.
type part struct {
	broken        []string // "seed N: what"
	passes, calls int
	cpu           time.Duration
	err           error
}

var total = regexp.MustCompile(`(\d+) seeds, (\d+) passes, (\d+) calls`)

// chunk is how many seeds a process runs: those that die in a simulation leave what SQLite has taken of memory.
const chunk = 100

// runAll runs seeds in two processes at a time and keeps what they came to.
func runAll(ctx context.Context, binary string, seeds int) error {
	began, all := time.Now(), part{}
	var kept sync.Mutex
	var running errgroup.Group
	running.SetLimit(2)
	for from := 1; from <= seeds; from += chunk {
		running.Go(func() error {
			p := runPart(simulation(ctx, binary, from, min(seeds, from+chunk-1)))
			kept.Lock()
			defer kept.Unlock()
			all.broken, all.passes, all.calls, all.cpu = append(all.broken, p.broken...), all.passes+p.passes, all.calls+p.calls, all.cpu+p.cpu
			all.err = errors.Join(all.err, p.err)
			return nil
		})
	}
	_ = running.Wait() // the errors are in all
	took := time.Since(began)
	fmt.Printf("%d seeds, %d passes, %d calls that change something, in %s; %d broke a rule\n", seeds, all.passes, all.calls, took.Round(time.Second), len(all.broken))
	verdict := "no rule broken"
	if len(all.broken) > 0 {
		verdict = strings.Join(all.broken, "; ")
	}
	err := results.Add("Simulation", "make sim SEEDS=10000", results.Figure{Name: "seeds", Value: strconv.Itoa(seeds)}, results.Figure{Name: "passes", Value: strconv.Itoa(all.passes)},
		results.Figure{Name: "changing calls", Value: strconv.Itoa(all.calls)}, results.Figure{Name: "took", Value: took.Round(time.Second).String()},
		results.Figure{Name: "CPU per seed", Value: (all.cpu / time.Duration(seeds)).Round(time.Millisecond).String()}, results.Figure{Name: "result", Value: verdict})
	return errors.Join(all.err, err)
}

// runPart runs one process and reads what it says.
func runPart(cmd *exec.Cmd) (p part) {
	out, err := cmd.CombinedOutput()
	p.err = err
	if cmd.ProcessState != nil {
		p.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	for line := range strings.Lines(string(out)) {
		if m := violation.FindStringSubmatch(line); m != nil {
			fmt.Print(line)
			p.broken = append(p.broken, "seed "+m[1]+": "+m[2])
		}
		if m := total.FindStringSubmatch(line); m != nil {
			p.passes, _ = strconv.Atoi(m[2])
			p.calls, _ = strconv.Atoi(m[3])
		}
	}
	if p.passes == 0 {
		p.err = errors.Join(p.err, fmt.Errorf("the simulation itself failed:\n%s", tail(out)))
	}
	return p
}
