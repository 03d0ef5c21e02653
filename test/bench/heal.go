package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"

	"composure/controller/observe"
	"composure/spec"
)

// patience bounds the wait for a container to be restarted.
const patience = 2 * time.Minute

// remediator runs `composure reconcile` behind a tap until stop is called, which returns what it logged.
func (b *bench) remediator(ctx context.Context, file string) (tapped *tap, pid int, stop func() string, err error) {
	dir, err := os.MkdirTemp(b.dir, "tap")
	if err != nil {
		return nil, 0, nil, err
	}
	if tapped, err = newTap(dir); err != nil {
		return nil, 0, nil, err
	}
	var out strings.Builder
	cmd := b.composure(ctx, file, "--host", tapped.host, "reconcile")
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return nil, 0, nil, err
	}
	stop = func() string {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		_ = tapped.server.Close()
		return out.String()
	}
	settle, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := tapped.quiet(settle, 3*time.Second); err != nil {
		calls := tapped.since(time.Now().Add(-2 * time.Second))
		return nil, 0, nil, fmt.Errorf("the remediator does not settle: %w; its last calls: %v\n%s", err, paths(calls), stop())
	}
	return tapped, cmd.Process.Pid, stop, nil
}

func paths(calls []call) (paths []string) {
	for _, c := range calls {
		paths = append(paths, c.path)
	}
	return paths
}

// idle: what it costs to watch containers to which nothing happens, for a minute: the second one, since in the first the
// program's own code is still being fetched, and what its start took of memory given back.
func (b *bench) idle(ctx context.Context) error {
	tapped, pid, stop, err := b.remediator(ctx, filepath.Join(b.dir, "steady.yaml"))
	if err != nil {
		return err
	}
	defer stop()
	var began time.Time
	var before time.Duration
	for range 2 {
		began, before = time.Now(), used(pid)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Minute):
		}
	}
	took, calls := used(pid)-before, tapped.since(began)
	looks, samples, rest := 0, 0, 0
	for _, c := range calls {
		switch {
		case c.path == "/containers/json":
			looks++
		case strings.HasSuffix(c.path, "/stats"):
			samples++
		case !ofLook.MatchString(c.path):
			rest++
		}
	}
	if looks > 1 { // one is the resync
		rest += (looks - 1) * (*services + 6)
	}
	who := fmt.Sprintf("idle, %d running containers", *services)
	b.rows = append(b.rows,
		row{who + ": CPU a minute", round(took), "", "", "", "≤ 50ms"},
		row{who + ": resident memory", fmt.Sprintf("%d MB", resident(pid)/1e6), "", "", "", "≤ 45 MB"},
		row{who + ": API calls a minute", strconv.Itoa(rest), fmt.Sprintf("beside %d looks, %d samples", looks, samples), "", "", "≤ 5"})
	return nil
}

// ofLook are the calls of a look at everything.
var ofLook = regexp.MustCompile(`^/(_ping|networks(/[^/]+)?|volumes(/[^/]+)?|containers/[^/]+/json|images/.+/json)$`)

// resident is the memory of a process in bytes.
func resident(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	pages, _ := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// ward writes and starts a stack of some containers that can be made sick, among others that are always well: when most
// of a stack fails at once it is not restarted.
func (b *bench) ward(ctx context.Context, command, extra string, sick ...string) (string, error) {
	name := project + "-heal"
	b.projects = append(b.projects, name)
	if err := b.remove(ctx, name); err != nil {
		return "", err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "name: %s\nx-composure:\n  min_healthy: 1s\n  remediation: {attempts: 1000, stable: 2s, backoff: {initial: 1s, factor: 1, max: 1s}}\nservices:\n", name)
	for _, service := range sick {
		fmt.Fprintf(&text, "  %s:\n    image: composure-test/busybox:1\n    command: [sh, -c, %q]\n    restart: unless-stopped\n%s    healthcheck:\n      test: [CMD, sh, -c, \"! test -e /sick\"]\n      interval: 1s\n      timeout: 10s\n      retries: 1\n", service, command, extra)
	}
	for i := range 3 * len(sick) {
		fmt.Fprintf(&text, "  well%d:\n    image: composure-test/busybox:1\n    command: [sleep, \"1000000\"]\n    stop_signal: SIGKILL\n    restart: unless-stopped\n", i)
	}
	file := filepath.Join(b.dir, "heal.yaml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		return "", err
	}
	_, _, err := timed(b.composure(ctx, file, "reconcile", "--once"))
	return file, err
}

// fall makes services sick at once and returns when the engine said so first and when the last of them ran again.
func (b *bench) fall(ctx context.Context, services ...string) (said, up time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	messages, errs := b.api.Events(ctx, events.ListOptions{Filters: filters.NewArgs(
		filters.Arg("type", "container"), filters.Arg("event", "start"), filters.Arg("event", "health_status"),
		filters.Arg("label", spec.LabelProject+"="+project+"-heal"))})
	for _, service := range services {
		created, err := b.api.ContainerExecCreate(ctx, project+"-heal-"+service+"-1", container.ExecOptions{Cmd: []string{"touch", "/sick"}})
		if err == nil {
			err = b.api.ContainerExecStart(ctx, created.ID, container.ExecStartOptions{Detach: true})
		}
		if err != nil {
			return said, up, err
		}
	}
	for started := 0; started < len(services); {
		select {
		case m := <-messages:
			at := time.Unix(0, m.TimeNano)
			if m.Action == "health_status: unhealthy" && said.IsZero() {
				said = at
			}
			if m.Action == events.ActionStart {
				started, up = started+1, at
			}
		case err := <-errs:
			return said, up, fmt.Errorf("%s not restarted: %w", strings.Join(services, ", "), err)
		}
	}
	return said, up, b.recovered(ctx, services)
}

// recovered waits until services are healthy, and what was done for them is over.
func (b *bench) recovered(ctx context.Context, services []string) error {
	for _, service := range services {
		for {
			c, err := b.api.ContainerInspect(ctx, project+"-heal-"+service+"-1")
			if err != nil {
				return err
			}
			if c.State.Health != nil && c.State.Health.Status == container.Healthy {
				break
			}
			if err := wait(ctx, 100*time.Millisecond); err != nil {
				return err
			}
		}
	}
	return wait(ctx, 5*time.Second)
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// restarter restarts what is unhealthy, without looking at why: on the engine's event, or every so often.
func (b *bench) restarter(ctx context.Context, every time.Duration) {
	unhealthy := filters.NewArgs(filters.Arg("health", "unhealthy"), filters.Arg("label", spec.LabelProject+"="+project+"-heal"))
	messages, _ := b.api.Events(ctx, events.ListOptions{Filters: filters.NewArgs(
		filters.Arg("type", "container"), filters.Arg("event", "health_status"), filters.Arg("label", spec.LabelProject+"="+project+"-heal"))})
	var tick <-chan time.Time
	if every > 0 {
		messages, tick = nil, time.Tick(every)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-messages:
			if m.Action == "health_status: unhealthy" {
				_ = b.api.ContainerRestart(ctx, m.Actor.ID, container.StopOptions{})
			}
		case <-tick:
			list, _ := b.api.ContainerList(ctx, container.ListOptions{Filters: unhealthy})
			for _, c := range list {
				_ = b.api.ContainerRestart(ctx, c.ID, container.StopOptions{})
			}
		}
	}
}

// autoheal is how often a polling restarter looks, as autoheal does by default.
const autoheal = 5 * time.Second

// heal: from "unhealthy" to restarted, with the evidence taken first, beside restarters that take none.
func (b *bench) heal(ctx context.Context) error {
	file, err := b.ward(ctx, "rm -f /sick; exec sleep 1000000", "    stop_signal: SIGKILL\n", "api")
	if err != nil {
		return err
	}
	times := map[string][]time.Duration{}
	var decisions []time.Duration
	for range *rounds {
		tapped, _, stop, err := b.remediator(ctx, file)
		if err != nil {
			return err
		}
		said, up, err := b.fall(ctx, "api")
		if logged := stop(); err != nil {
			return fmt.Errorf("%w\n%s", err, logged)
		}
		times[""] = append(times[""], up.Sub(said))
		decision, err := decided(said, tapped.since(said))
		if err != nil {
			return err
		}
		decisions = append(decisions, decision)
		for who, every := range map[string]time.Duration{"an event-driven restarter, no evidence": 0, "a polling restarter, every 5 s": autoheal} {
			running, end := context.WithCancel(ctx)
			go b.restarter(running, every)
			said, up, err := b.fall(ctx, "api")
			end()
			if err != nil {
				return err
			}
			times[who] = append(times[who], up.Sub(said))
		}
	}
	for who, target := range map[string]string{"an event-driven restarter, no evidence": "≤ 1.5", "a polling restarter, every 5 s": "≤ 0.1"} {
		b.add("unhealthy → restarted, evidence first", median(times[""]), median(times[who]), who, target)
	}
	b.rows = append(b.rows, row{"decision: event → the call, evidence aside", round(median(decisions)), "", "", "", "≤ 50ms"})
	return b.stubborn(ctx)
}

var evidence = regexp.MustCompile(`/(logs|top|stats|exec|start|archive|changes)$|^/exec/`)

// decided is the time from an event to the restart, without the time in which evidence was taken.
func decided(said time.Time, calls []call) (time.Duration, error) {
	var from, until time.Time
	for _, c := range calls {
		switch {
		case strings.HasSuffix(c.path, "/restart"):
			if window := from.Add(observe.CPUWindow); window.After(until) { // measured without a call
				until = window
			}
			taken := until.Sub(from)
			if c.began.Before(until) {
				taken = c.began.Sub(from)
			}
			return c.began.Sub(said) - taken, nil
		case evidence.MatchString(c.path):
			if from.IsZero() {
				from = c.began
			}
			if c.end.After(until) {
				until = c.end
			}
		}
	}
	return 0, errors.New("the remediator did not restart the container")
}

// stubborn: containers that ignore TERM, one and three at once.
func (b *bench) stubborn(ctx context.Context) error {
	all := []string{"one", "two", "three"}
	file, err := b.ward(ctx, "trap '' TERM; rm -f /sick; while :; do sleep 1; done", "    stop_grace_period: 5s\n", all...)
	if err != nil {
		return err
	}
	var one, three []time.Duration
	for range 3 {
		for times, services := range map[*[]time.Duration][]string{&one: all[:1], &three: all} {
			_, _, stop, err := b.remediator(ctx, file)
			if err != nil {
				return err
			}
			said, up, err := b.fall(ctx, services...)
			if logged := stop(); err != nil {
				return fmt.Errorf("%w\n%s", err, logged)
			}
			*times = append(*times, up.Sub(said))
		}
	}
	b.add("three containers that ignore TERM, restarted", median(three), median(one), "one of them", "≤ 1.3")
	return nil
}
