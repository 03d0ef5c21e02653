package e2e

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// operations as a plan prints them; the longer ones first where one begins another.
var operations = []string{
	"create network", "create volume", "create", "start", "restart", "stop", "unpause", "update", "rename", "connect", "disconnect", "remove", "kill", "capture logs of",
}

// planned are the steps that a dry run prints, as "operation:target".
func (p *project) planned() []string {
	p.t.Helper()
	var steps []string
	for line := range strings.Lines(p.wants(1, once("--dry-run")).stdout) {
		text, isStep := strings.CutPrefix(line, "  ")
		if !isStep {
			continue
		}
		for _, op := range operations {
			if rest, ok := strings.CutPrefix(text, op+" "); ok {
				steps = append(steps, op+":"+strings.Fields(rest)[0])
				break
			}
		}
	}
	if len(steps) == 0 {
		p.t.Fatalf("no steps are planned\n%s", p.ps())
	}
	return steps
}

// killedBefore runs `reconcile --once` until it is about to make a step, where it dies as by kill -9.
func (p *project) killedBefore(step string) {
	p.t.Helper()
	usual := p.env
	p.env = append(slices.Clone(usual), "COMPOSURE_TEST_KILL_BEFORE="+step)
	cmd := p.command(once()...)
	p.env = usual
	r := p.finish(cmd)
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || (status.Signal() != syscall.SIGKILL && (image == "" || r.code != 128+int(syscall.SIGKILL))) {
		p.t.Fatalf("not killed before %q: %s\n%s", step, r, p.ps())
	}
}

// TestKilledWhileCreating: before each step that makes a stack.
func TestKilledWhileCreating(t *testing.T) {
	t.Parallel()
	p := newStack(t, "crash-new", healthy)
	steps := p.planned()
	if len(steps) != 4 {
		t.Fatalf("steps %v, expected a network, a volume, create and start", steps)
	}
	for _, step := range steps {
		p.killedBefore(step)
		p.converge()
		p.has("web-1")
		if step != steps[len(steps)-1] {
			sweep(p.name)
		}
	}
	p.sameAfterCompose()
}

// TestKilledWhileRecreating: before each step of a recreation, the removal of the old container included. The next run
// completes it: the final name, one container, its volumes with their data.
func TestKilledWhileRecreating(t *testing.T) {
	t.Parallel()
	p := newStack(t, "crash-re", healthy)
	p.converge()
	p.docker("exec", p.container("web"), "sh", "-c", "echo kept > /data/row; echo kept > /scratch/row")
	version := 1000
	edit := func() {
		p.t.Helper()
		p.edit(fmt.Sprintf("%q", fmt.Sprint(version)), fmt.Sprintf("%q", fmt.Sprint(version+1)))
		version++
	}
	edit()
	count := len(p.planned())
	if count < 6 {
		t.Fatalf("steps %v, expected create, update, stop, rename, rename, start", p.planned())
	}
	for i := range count + 1 {
		old := p.id("web")
		step := "remove:" + p.container("web") + ".old-" + old[:12]
		if i < count {
			step = p.planned()[i]
		}
		p.sub(fmt.Sprintf("%d %s", i+1, strings.Split(step, ":")[0]), func() {
			p.killedBefore(step)
			p.converge()
			p.has("web-1")
			if p.id("web") == old {
				p.t.Error("not recreated")
			}
			if got := p.docker("exec", p.container("web"), "cat", "/data/row", "/scratch/row"); got != "kept\nkept" {
				p.t.Errorf("the data is gone: %q", got)
			}
		})
		edit()
	}
	p.converge()
	p.sameAfterCompose()
}

// TestKilledWhileGoingBack: before each step of the way back from a new container that is unhealthy. The next run goes
// back; the old container is the one that runs.
func TestKilledWhileGoingBack(t *testing.T) {
	t.Parallel()
	p := newStack(t, "crash-undo", healthy)
	p.converge()
	p.docker("exec", p.container("web"), "sh", "-c", "echo kept > /data/row")
	old := p.id("web")
	const good, bad = `[CMD, "true"]`, `[CMD, "false"]`
	for i, count := 0, 1; i < count; i++ {
		p.edit(good, bad)
		p.killedBefore("capture logs of:" + p.container("web"))
		steps := p.planned()
		if count = len(steps); count < 7 {
			t.Fatalf("steps %v, expected to capture, update, stop, rename, rename, update, start, remove", steps)
		}
		p.sub(fmt.Sprintf("%d %s", i+1, strings.Split(steps[i], ":")[0]), func() {
			if i > 0 {
				p.killedBefore(steps[i])
			}
			p.wants(1, once(), "NOT converged")
			p.has("web-1")
			if c := p.inspect(p.container("web")); c.ID != old || !c.State.Running || c.HostConfig.RestartPolicy.Name != "always" {
				p.t.Errorf("not back at the old container:\n%s", p.ps())
			}
			p.edit(bad, good)
			p.converge()
			if p.id("web") != old {
				p.t.Error("the old container did not stay")
			}
		})
	}
	if got := p.docker("exec", p.container("web"), "cat", "/data/row"); got != "kept" {
		t.Errorf("the data is gone: %q", got)
	}
}

// TestEachProcessMakesOneStep: a machine that dies again and again still gets there.
func TestEachProcessMakesOneStep(t *testing.T) {
	t.Parallel()
	p := newStack(t, "crash-walk", healthy)
	p.converge()
	p.edit(`"1000"`, `"2000"`)
	for n := 0; ; n++ {
		steps := p.planned()
		if n > 20 {
			t.Fatalf("no progress: %v is still planned", steps)
		}
		if len(steps) == 1 {
			break
		}
		p.killedBefore(steps[1])
	}
	p.converge()
	p.has("web-1")
}

// TestKilledThenCorrected: a recreation that was cut short after its first step was for a file that has been corrected
// since. What was made for it is never started: the old container runs until the right one takes its place.
func TestKilledThenCorrected(t *testing.T) {
	t.Parallel()
	p := newStack(t, "crash-fix", healthy)
	p.converge()
	const good, bad, better = `[sleep, "1000"]`, `[nonesuch]`, `[sleep, "2000"]`
	p.edit(good, bad)
	p.killedBefore("update:" + p.container("web"))
	p.edit(bad, better)
	watch := p.watchRunning()
	p.converge()
	p.has("web-1")
	if _, events := watch(1); strings.Count(events, "die") != 1 || strings.Count(events, "start") != 1 {
		t.Errorf("expected one end and one start:\n%s", events)
	}
}

// TestKilledWhileRolling: before each step of the second of three replicas. The next run ends what was begun, then goes on
// with the third; two of three run at any moment.
func TestKilledWhileRolling(t *testing.T) {
	t.Parallel()
	p := newStack(t, "crash-roll", strings.Replace(healthy, "    restart: always\n", "    restart: always\n    scale: 3\n", 1))
	p.converge()
	p.docker("exec", p.container("web"), "sh", "-c", "echo kept > /data/row")
	second := p.name + "-web-2"
	for i, op := range []string{"create", "rename", "start", "remove"} {
		p.sub(op, func() {
			p.edit(fmt.Sprintf("%q", fmt.Sprint(1000+i)), fmt.Sprintf("%q", fmt.Sprint(1001+i)))
			before, watch := p.ids(), p.watchRunning()
			p.killedBefore(op + ":" + second + "*")
			p.converge()
			p.has("web-1", "web-2", "web-3")
			for _, id := range p.ids() {
				if slices.Contains(before, id) {
					p.t.Errorf("%.12s was not replaced", id)
				}
			}
			if least, events := watch(3); least < 2 {
				p.t.Errorf("%d of 3 replicas ran at the least moment:\n%s", least, events)
			}
			if got := p.docker("exec", second, "cat", "/data/row"); got != "kept" {
				p.t.Errorf("the data is gone: %q", got)
			}
		})
	}
	p.sameAfterCompose()
}
