package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	"golang.org/x/sync/errgroup"

	"composure/controller"
	"composure/controller/engine"
	"composure/controller/observe"
	"composure/spec"
)

// project is what everything of this run carries on the engine.
var project = fmt.Sprintf("composure-bench-%d", os.Getpid())

type bench struct {
	dir    string
	binary string
	peers  map[string]string
	api    *client.Client
	rows   []row
	// projects are those that this run made, to be removed at its end.
	projects []string
}

// row is one line of the table.
type row struct {
	figure, value, peer, peerValue, ratio, target string
}

func connect() (*client.Client, error) {
	return client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
}

func (b *bench) add(figure string, mine, other time.Duration, peer, target string) {
	b.rows = append(b.rows, row{figure, round(mine), peer, round(other), fmt.Sprintf("%.2f", float64(mine)/float64(other)), target})
}

func round(d time.Duration) string { return d.Round(100 * time.Microsecond).String() }

func (b *bench) print() {
	rows := append([]row{{"figure", "composure", "beside", "", "ratio", "target"}}, b.rows...)
	var width [6]int
	for _, r := range rows {
		for i, cell := range r.cells() {
			width[i] = max(width[i], len([]rune(cell)))
		}
	}
	for _, r := range rows {
		for i, cell := range r.cells() {
			fmt.Print(cell, strings.Repeat(" ", width[i]-len([]rune(cell))+2))
		}
		fmt.Println()
	}
}

func (r row) cells() [6]string {
	return [6]string{r.figure, r.value, r.peer, r.peerValue, r.ratio, r.target}
}

// stack writes a compose file of n services that do nothing and stop at once.
func (b *bench) stack(name string, n int, extra string) string {
	var text strings.Builder
	b.projects = append(b.projects, project+"-"+name)
	fmt.Fprintf(&text, "name: %s-%s\nservices:\n", project, name)
	for i := range n {
		fmt.Fprintf(&text, "  s%03d:\n    image: composure-test/busybox:1\n    command: [sleep, \"1000000\"]\n    stop_signal: SIGKILL\n    restart: unless-stopped\n    mem_limit: 32m\n    environment:\n      INDEX: \"%d\"\n%s", i, i, extra)
	}
	path := filepath.Join(b.dir, name+".yaml")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		panic(err)
	}
	return path
}

func (b *bench) composure(ctx context.Context, file string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, b.binary, append([]string{"-f", file, "--state-dir", filepath.Join(b.dir, "state")}, args...)...)
}

// timed runs a command and returns how long it took and its peak memory in bytes.
func timed(cmd *exec.Cmd) (time.Duration, int64, error) {
	began := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(began)
	if err != nil {
		return took, 0, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	usage, _ := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if usage == nil {
		return took, 0, nil
	}
	return took, usage.Maxrss << 10, nil
}

func median(times []time.Duration) time.Duration {
	sorted := slices.Clone(times)
	slices.Sort(sorted)
	return sorted[len(sorted)/2]
}

// observation: the collector, and the whole pass with drift, beside the bare cost of the same calls made 8-way.
func (b *bench) observation(ctx context.Context) error {
	file := b.stack("steady", *services, "")
	if _, _, err := timed(b.composure(ctx, file, "reconcile", "--once")); err != nil {
		return err
	}
	stack, err := spec.Load(ctx, spec.Options{Files: []string{file}})
	if err != nil {
		return err
	}
	eng, err := engine.Connect(ctx, engine.Options{})
	if err != nil {
		return err
	}
	defer eng.Close()
	look := controller.New(controller.Config{Source: eng, Stack: stack, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Deploy: true, Tries: 1})
	var bare, collect, pass []time.Duration
	for range 3 * *rounds {
		for _, one := range []struct {
			times *[]time.Duration
			do    func() error
		}{
			{&bare, func() error { return b.bareCalls(ctx, stack) }},
			{&collect, func() error { _, err := observe.Collect(ctx, eng, stack); return err }},
			{&pass, func() error { _, err := look.Look(ctx); return err }},
		} {
			began := time.Now()
			if err := one.do(); err != nil {
				return err
			}
			*one.times = append(*one.times, time.Since(began))
		}
	}
	b.add(fmt.Sprintf("observation of %d containers", *services), median(collect), median(bare), "the same calls, 8-way", "≤ 1.5")
	b.add("the whole pass with drift and plan", median(pass), median(bare), "the same calls, 8-way", "≤ 2")
	return nil
}

// bareCalls makes the calls of one observation, and nothing else.
func (b *bench) bareCalls(ctx context.Context, stack *spec.Stack) error {
	ofProject := filters.NewArgs(filters.Arg("label", spec.LabelProject+"="+stack.Name))
	if _, err := b.api.Ping(ctx); err != nil {
		return err
	}
	list, err := b.api.ContainerList(ctx, container.ListOptions{All: true, Filters: ofProject})
	if err != nil {
		return err
	}
	if _, err := b.api.NetworkList(ctx, network.ListOptions{Filters: ofProject}); err != nil {
		return err
	}
	if _, err := b.api.VolumeList(ctx, volume.ListOptions{Filters: ofProject}); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	group.Go(func() error { _, err := b.api.ImageInspect(ctx, "composure-test/busybox:1"); return err })
	for _, c := range list {
		group.Go(func() error { _, err := b.api.ContainerInspect(ctx, c.ID); return err })
	}
	return group.Wait()
}

// noOp: the whole process with nothing to do.
func (b *bench) noOp(ctx context.Context) error {
	file := filepath.Join(b.dir, "steady.yaml")
	var mine []time.Duration
	var peak int64
	theirs := map[string][]time.Duration{}
	for range *rounds {
		took, memory, err := timed(b.composure(ctx, file, "reconcile", "--once"))
		if err != nil {
			return err
		}
		mine, peak = append(mine, took), max(peak, memory)
		for _, version := range sorted(b.peers) {
			for suffix, args := range map[string][]string{"up -d": {"up", "-d"}, "up -d --wait": {"up", "-d", "--wait"}} {
				took, _, err := timed(exec.CommandContext(ctx, b.peers[version], append([]string{"-f", file}, args...)...))
				if err != nil {
					return err
				}
				theirs[version+" "+suffix] = append(theirs[version+" "+suffix], took)
			}
		}
	}
	for _, peer := range sorted(theirs) {
		target := "≤ 1"
		if strings.HasSuffix(peer, "--wait") {
			target = "≤ 0.3"
		}
		b.add(fmt.Sprintf("nothing to do, %d services, whole process", *services), median(mine), median(theirs[peer]), peer, target)
	}
	b.rows = append(b.rows, row{"peak memory of that process", fmt.Sprintf("%d MB", peak/1e6), "", "", "", "≤ 60 MB"})
	return nil
}

// coldStart: from nothing to the last container's start event. Each start is a project of its own: an engine may lose an
// endpoint of a network that was emptied, and the next start would find its name taken.
func (b *bench) coldStart(ctx context.Context) error {
	programs := map[string]func(ctx context.Context, file, name string) error{
		"": func(ctx context.Context, file, _ string) error {
			_, _, err := timed(b.composure(ctx, file, "reconcile", "--once"))
			return err
		},
		"the bare calls": b.bareStart,
	}
	for version, path := range b.peers {
		programs[version+" up -d"] = func(ctx context.Context, file, _ string) error {
			_, _, err := timed(exec.CommandContext(ctx, path, "-f", file, "up", "-d"))
			return err
		}
	}
	times, n := map[string][]time.Duration{}, 0
	for range min(*rounds, 3) {
		for _, who := range sorted(programs) {
			n++
			stack := fmt.Sprintf("cold-%d", n)
			file, name := b.stack(stack, *cold, ""), project+"-"+stack
			took, err := b.untilStarted(ctx, name, func() error { return programs[who](ctx, file, name) })
			if err != nil {
				return err
			}
			times[who] = append(times[who], took)
			if err := b.remove(ctx, name); err != nil {
				return err
			}
		}
	}
	for _, who := range sorted(programs)[1:] {
		target := "≤ 0.8"
		if !strings.HasPrefix(who, "docker compose") {
			target = ""
		}
		b.add(fmt.Sprintf("cold start of %d services, to the last start event", *cold), median(times[""]), median(times[who]), who, target)
	}
	return nil
}

// bareStart makes a network and as many containers as a cold start has, and starts them, all at once: what the engine
// needs by itself.
func (b *bench) bareStart(ctx context.Context, _, name string) error {
	labels := map[string]string{spec.LabelProject: name}
	if _, err := b.api.NetworkCreate(ctx, name+"_default", network.CreateOptions{Labels: labels}); err != nil {
		return err
	}
	group, inner := errgroup.WithContext(ctx)
	for i := range *cold {
		group.Go(func() error {
			made, err := b.api.ContainerCreate(inner, &container.Config{
				Image: "composure-test/busybox:1", Cmd: []string{"sleep", "1000000"}, StopSignal: "SIGKILL", Labels: labels,
			}, &container.HostConfig{NetworkMode: container.NetworkMode(name + "_default")}, nil, nil, fmt.Sprintf("%s-%d", name, i))
			if err != nil {
				return err
			}
			return b.api.ContainerStart(inner, made.ID, container.StartOptions{})
		})
	}
	return group.Wait()
}

// untilStarted runs something and returns the time from its beginning to the last start event of the project.
func (b *bench) untilStarted(ctx context.Context, name string, run func() error) (time.Duration, error) {
	watch, stop := context.WithCancel(ctx)
	defer stop()
	messages, errs := b.api.Events(watch, events.ListOptions{Filters: filters.NewArgs(
		filters.Arg("type", "container"), filters.Arg("event", "start"), filters.Arg("label", spec.LabelProject+"="+name))})
	began, last, started := time.Now(), time.Time{}, 0
	done := make(chan error, 1)
	go func() {
		for started < *cold {
			select {
			case m := <-messages:
				started, last = started+1, time.Unix(0, m.TimeNano)
			case err := <-errs:
				done <- err
				return
			}
		}
		done <- nil
	}()
	if err := run(); err != nil {
		return 0, err
	}
	if err := <-done; err != nil {
		return 0, err
	}
	return last.Sub(began), nil
}

// remove removes what a project has on the engine.
func (b *bench) remove(ctx context.Context, name string) error {
	ofProject := filters.NewArgs(filters.Arg("label", spec.LabelProject+"="+name))
	list, err := b.api.ContainerList(ctx, container.ListOptions{All: true, Filters: ofProject})
	if err != nil {
		return err
	}
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for _, c := range list {
		group.Go(func() error { return b.api.ContainerRemove(inner, c.ID, container.RemoveOptions{Force: true}) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	networks, err := b.api.NetworkList(ctx, network.ListOptions{Filters: ofProject})
	for _, n := range networks {
		if err == nil {
			err = b.removeNetwork(ctx, n.ID)
		}
	}
	return err
}

// removeNetwork removes a network once the engine has let go of the endpoints of the containers just removed.
func (b *bench) removeNetwork(ctx context.Context, id string) error {
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(10 * time.Second); ; <-ticker.C {
		err := b.api.NetworkRemove(ctx, id)
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) { // an engine can lose an endpoint; that is no reason to lose the figures
			fmt.Fprintln(os.Stderr, "bench: left behind:", err)
			return nil
		}
	}
}

// cleanUp removes everything of this program, also when it was interrupted.
func (b *bench) cleanUp() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var wait sync.WaitGroup
	slices.Sort(b.projects)
	for _, name := range slices.Compact(b.projects) { // one can have been used by several figures
		wait.Go(func() {
			if err := b.remove(ctx, name); err != nil {
				fmt.Fprintln(os.Stderr, "bench: clean up:", err)
			}
		})
	}
	wait.Wait()
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
