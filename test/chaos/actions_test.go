//go:build linux

package chaos

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// action is something that happens to the stack or to its daemon, on purpose or not.
type action struct {
	name   string
	weight int
	do     func(w *world, r *rand.Rand) error
}

var actions = []action{
	{"kill", 10, onContainer("kill")},
	{"stop", 6, onContainer("stop", "-t", "1")},
	{"restart", 3, onContainer("restart", "-t", "1")},
	{"remove", 4, onContainer("rm", "-f")},
	{"limit memory", 4, onWriter("update", "--memory", "24m", "--memory-swap", "24m")},
	{"limit cpus", 3, onContainer("update", "--cpus", "0.5")},
	{"restart policy off", 4, onContainer("update", "--restart", "no")},
	{"out of memory", 6, onWriter("exec", "%s", "sh", "-c", "head -c 200m /dev/zero | tail")},
	{"first process out of memory", 4, func(w *world, r *rand.Rand) error { // as the kernel would do it
		return w.docker("kill", "-s", "KILL", w.container(w.writer(r)))
	}},
	{"ill", 8, onWriter("exec", "%s", "touch", "/tmp/ill")},
	{"disconnect", 6, func(w *world, r *rand.Rand) error {
		return w.docker("network", "disconnect", w.Name+"_default", w.container(w.any(r)))
	}},
	{"rename", 5, func(w *world, r *rand.Rand) error {
		name := w.container(w.any(r))
		return w.docker("rename", name, fmt.Sprintf("%s-renamed%d", name, r.IntN(1000)))
	}},
	{"recreate by hand", 5, recreate},
	{"pause", 5, pause},
	{"steal a port", 5, steal},
	{"halt the first process", 3, func(w *world, r *rand.Rand) error {
		return w.docker("kill", "-s", "STOP", w.container(w.writer(r)))
	}},
	{"terminate the daemon", 2, func(w *world, r *rand.Rand) error { return daemon(w, r, w.daemon.Term, w.daemon.Up) }},
	{"kill the daemon", 2, func(w *world, r *rand.Rand) error { return daemon(w, r, w.daemon.Kill9, w.daemon.Up) }},
	{"halt the daemon", 2, func(w *world, r *rand.Rand) error { return daemon(w, r, w.daemon.Stop, w.daemon.Cont) }},
	{"switch live-restore", 1, func(w *world, r *rand.Rand) error { return w.daemon.LiveRestore(r.IntN(2) == 0) }},
}

// choose draws an action by its weight.
func choose(r *rand.Rand) action {
	total := 0
	for _, a := range actions {
		total += a.weight
	}
	n := r.IntN(total)
	for _, a := range actions {
		if n -= a.weight; n < 0 {
			return a
		}
	}
	return actions[0]
}

// onContainer runs docker on any container; "%s" stands for its name, at the end when there is none.
func onContainer(args ...string) func(*world, *rand.Rand) error {
	return func(w *world, r *rand.Rand) error { return w.docker(named(args, w.container(w.any(r)))...) }
}

// onWriter is onContainer on a writer.
func onWriter(args ...string) func(*world, *rand.Rand) error {
	return func(w *world, r *rand.Rand) error { return w.docker(named(args, w.container(w.writer(r)))...) }
}

func named(args []string, name string) []string {
	text := strings.Join(args, "\x00")
	if !strings.Contains(text, "%s") {
		text += "\x00%s"
	}
	return strings.Split(strings.Replace(text, "%s", name, 1), "\x00")
}

// recreate makes a writer anew as a person in a hurry would: its labels kept, its limits forgotten.
func recreate(w *world, r *rand.Rand) error {
	service := w.writer(r)
	c := w.Look(w.container(service))
	if c == nil {
		return fmt.Errorf("%s is not there", service)
	}
	name := w.container(service)
	args := []string{"run", "-d", "--name", name, "--network", w.Name + "_default", "--network-alias", service, "--restart", "always", "--stop-signal", "SIGKILL", "-v", w.Name + "_" + service + ":/data"}
	for label, value := range c.Config.Labels {
		args = append(args, "--label", label+"="+value)
	}
	if err := w.docker("rm", "-f", name); err != nil {
		return err
	}
	return w.docker(append(append(args, c.Config.Image), c.Config.Cmd...)...)
}

// pause pauses a container for a few seconds. It must be left alone until it is resumed by whoever paused it.
func pause(w *world, r *rand.Rand) error {
	name := w.container(w.any(r))
	if err := w.docker("pause", name); err != nil {
		return err
	}
	before := w.Look(name)
	time.Sleep(time.Duration(2+r.IntN(5)) * time.Second)
	after := w.Look(name)
	if before == nil || !before.State.Paused { // it ended before it was paused, or was renamed
		return nil
	}
	if after == nil || after.ID != before.ID || after.State.StartedAt != before.State.StartedAt || !after.State.Paused {
		w.violation("paused means untouched: %s was touched", name)
	}
	return w.docker("unpause", name)
}

// steal has a container outside the stack take a port, for a while or until the policy has it stopped.
func steal(w *world, r *rand.Rand) error {
	service := []string{"port1", "port2", "port3"}[r.IntN(3)]
	thief := []string{"thief", "thief-that-may-be-stopped"}[r.IntN(2)]
	_ = w.docker("stop", "-t", "0", w.container(service))
	err := w.docker("run", "-d", "--name", thief, "--stop-signal", "SIGKILL", "-p", "127.0.0.1:"+ports[service]+":8080", "composure-test/busybox:1", "sleep", "1000")
	time.Sleep(time.Duration(2+r.IntN(6)) * time.Second)
	if c := w.Look("thief"); thief == "thief" && err == nil && (c == nil || !c.State.Running) {
		w.violation("a container outside the stack was touched: thief")
	}
	return w.docker("rm", "-f", thief)
}

// daemon takes the daemon away for a while.
func daemon(w *world, r *rand.Rand, away, back func() error) error {
	if err := away(); err != nil {
		w.t.Errorf("the daemon: %v", err)
	}
	time.Sleep(time.Duration(500+r.IntN(4000)) * time.Millisecond)
	if err := back(); err != nil {
		w.t.Fatalf("the daemon does not come back: %v", err)
	}
	return nil
}
