package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"composure/test/results"
)

const image = "composure-test/busybox:1"

// sizes are the layouts that are measured, smallest first: one stack that grows, then stacks of twenty containers, which one
// process looks after.
func sizes(most int) (all [][2]int) {
	for containers := 10; containers <= 10_000; containers *= 10 {
		all = append(all, [2]int{containers, 1})
	}
	for _, stacks := range []int{5, 50, 500} {
		if stacks <= most {
			all = append(all, [2]int{20 * stacks, stacks})
		}
	}
	return all
}

// scaled is what was measured of one layout.
type scaled struct {
	containers, stacks int
	processor, took    time.Duration // of one pass of all stacks
	answered           time.Duration // from an event to the first call
	calls              int
	memory             int64
}

// scale: what a look at everything costs as there is more to look at, on a simulated engine in a process of its own. The
// ratio is the processor time for one container, against that in the smallest layout: linear is at most one.
func (b *bench) scale(ctx context.Context) error {
	var first scaled
	var figures []results.Figure
	for _, size := range sizes(*stacks) {
		s, err := b.scaleOf(ctx, size[0], size[1])
		if err != nil {
			return fmt.Errorf("%d containers in %d stacks: %w", size[0], size[1], err)
		}
		if first.stacks == 0 {
			first = s
		}
		growth := perContainer(s) / perContainer(first)
		who := fmt.Sprintf("%d containers, stacks: %d", s.containers, s.stacks)
		b.rows = append(b.rows,
			row{who + ": a pass", round(s.processor) + " CPU", "from first call to last", round(s.took), fmt.Sprintf("%.2f", growth), "≤ 1.5"},
			row{who + ": its API calls beside the list", strconv.Itoa(s.calls), "a container", fmt.Sprintf("%.2f", float64(s.calls)/float64(s.containers)), "", ""},
			row{who + ": resident memory", fmt.Sprintf("%d MB", s.memory/1e6), "a container", fmt.Sprintf("%d kB", s.memory/1e3/int64(s.containers)), "", "≤ 1 GB"},
			row{who + ": event to first call", round(s.answered), "", "", "", "≤ 50ms"})
		figures = append(figures, results.Figure{Name: fmt.Sprintf("%d in %d", s.containers, s.stacks),
			Value: fmt.Sprintf("%s CPU (%.2f a container), %s, %d calls, %d MB, answers in %s", round(s.processor), growth, round(s.took), s.calls, s.memory/1e6, round(s.answered))})
	}
	return results.Add("Scale: one look at so many containers in so many stacks, on the simulated engine", "go run ./test/bench -only scale", figures...)
}

// perContainer is the processor time of a pass for one container.
func perContainer(s scaled) float64 { return float64(s.processor) / float64(s.containers) }

// scaleOf measures one layout.
func (b *bench) scaleOf(ctx context.Context, containers, stacks int) (s scaled, err error) {
	dir, err := os.MkdirTemp(b.dir, "scale")
	if err != nil {
		return s, err
	}
	for n := range stacks {
		writeStack(dir, n, containers/stacks)
	}
	host, end, err := startEngine(ctx, dir)
	if err != nil {
		return s, err
	}
	defer end()
	cmd := exec.CommandContext(ctx, b.binary, "--state-dir", filepath.Join(dir, "state"), "--host", "unix://"+host.socket,
		"reconcile", "--interval", "1h", "--stacks", filepath.Join(dir, "stacks", "*"))
	log := filepath.Join(dir, "log")
	if cmd.Stderr, err = os.Create(log); err != nil {
		return s, err
	}
	if err := cmd.Start(); err != nil {
		return s, err
	}
	defer func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait() }()
	if _, err := host.looked(ctx, stacks); err != nil {
		return s, fmt.Errorf("%w\n%s", err, tail(log))
	}
	if err := wait(ctx, settled); err != nil { // else they would be looked at again when they have run for long enough to be well
		return s, err
	}
	s = scaled{containers: containers, stacks: stacks}
	return s, s.measure(ctx, host, cmd.Process.Pid)
}

// settled is how long new containers run until they are well, and more.
const settled = 15 * time.Second

// warmUp are the passes before those that are measured: what is proven to run well is recorded, and read again, by one of them.
const warmUp = 3

// measure measures one pass that an event calls for: the median of three.
func (s *scaled) measure(ctx context.Context, host *simulated, pid int) (err error) {
	var processor, took, answered []time.Duration
	for round := range warmUp + 3 {
		before := used(pid)
		var at time.Time
		if err := host.get(ctx, "/bench/event", &at); err != nil {
			return err
		}
		n, err := host.looked(ctx, s.stacks)
		if err != nil {
			return err
		}
		if err := idle(ctx, pid); err != nil { // a look is thought about
			return err
		}
		if len(n.Unknown) > 0 {
			return fmt.Errorf("the simulated engine does not know %v", n.Unknown)
		}
		if round < warmUp {
			continue
		}
		processor, took, answered, s.calls = append(processor, used(pid)-before), append(took, n.Last.Sub(n.First)), append(answered, n.First.Sub(at)), n.Calls
	}
	s.processor, s.took, s.answered = median(processor), median(took), median(answered)
	s.memory, err = proportional(pid)
	return err
}

// idle waits until a process takes less than half a processor for a second.
func idle(ctx context.Context, pid int) error {
	for before := used(pid); ; before = used(pid) {
		if err := wait(ctx, time.Second); err != nil || used(pid)-before < time.Second/2 {
			return err
		}
	}
}

// used is the processor time of a process; that of cpu is too coarse for a small stack.
func used(pid int) (total time.Duration) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		var ns int64
		if _, err := fmt.Sscan(string(text), &ns); err == nil {
			total += time.Duration(ns)
		}
	}
	return total
}

var pss = regexp.MustCompile(`(?m)^Pss:\s+(\d+) kB$`)

// proportional is the memory of a process in bytes, with its share of what others have too, such as the program itself.
func proportional(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	found := pss.FindSubmatch(text)
	if found == nil {
		return 0, errors.New("no memory is told of the process")
	}
	kb, err := strconv.ParseInt(string(found[1]), 10, 64)
	return kb << 10, err
}

// simulated is a simulated engine in another process.
type simulated struct {
	socket string
	client *http.Client
}

// startEngine starts one with the stacks of a directory.
func startEngine(ctx context.Context, dir string) (*simulated, func(), error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-simulate", dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	end := func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		end()
		return nil, nil, fmt.Errorf("the simulated engine does not start: %q %w", line, err)
	}
	socket := filepath.Join(dir, "engine.sock")
	return &simulated{socket, &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}}, end, nil
}

func (s *simulated) get(ctx context.Context, path string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine"+path, nil)
	if err != nil {
		return err
	}
	answer, err := s.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	return json.NewDecoder(answer.Body).Decode(into)
}

// looked waits until every stack has been looked at. Looks that belong to none follow while services are new; they are few.
func (s *simulated) looked(ctx context.Context, stacks int) (n noted, err error) {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(15 * time.Minute); time.Now().Before(deadline); {
		select {
		case <-ctx.Done():
			return n, ctx.Err()
		case <-ticker.C:
		}
		if err := s.get(ctx, "/bench/calls", &n); err != nil {
			return n, err
		}
		if n.Looks >= stacks && time.Since(n.Last) > lasting/20 {
			return n, nil
		}
	}
	return n, fmt.Errorf("only %d of %d stacks were looked at", n.Looks, stacks)
}

// tail is the end of a file.
func tail(path string) string {
	text, _ := os.ReadFile(path)
	return string(text[max(0, len(text)-2000):])
}

func must(path, text string) {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		panic(err)
	}
}
