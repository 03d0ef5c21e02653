package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestSeveral: one process looks after the stacks of several directories, each as if it were alone: it heals them, lends each
// to commands, and finds those that come later. One that it cannot begin with keeps no other waiting.
func TestSeveral(t *testing.T) {
	t.Parallel()
	root, state := t.TempDir(), t.TempDir()
	beside := func(dir, name string) *project { // all of them before the process begins: what it makes is removed when it has ended
		p := newProject(t, "several-"+name, "")
		p.dir, p.state = filepath.Join(root, dir), state
		return p
	}
	one, two, broken, same, later := beside("a", "one"), beside("b", "two"), beside("c", "three"), beside("d", "four"), beside("e", "five")
	for _, p := range []*project{one, two, broken, same} {
		p.named(p.name, stack)
	}
	broken.write("services: {web: {imag: x}}")
	same.named(one.name, stack)
	if err := os.Mkdir(filepath.Join(root, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	one.wants(0, "reconcile", "--once")

	cmd := exec.Command(binary, "--state-dir", state, "reconcile", "--stacks", filepath.Join(root, "*"))
	cmd.Env = slices.Concat(os.Environ(), []string{one.fence.Environment("reconcile")})
	one.background(cmd)
	one.leased()
	two.eventually("the stack that was not there is brought up", two.up)

	one.docker("kill", "-s", "KILL", one.name+"-web-1")
	two.docker("kill", "-s", "KILL", two.name+"-web-1")
	for _, p := range []*project{one, two} {
		p.eventually("it is started again", p.up)
		p.eventually("the incident is this stack's", func() bool { return len(read[incidents](p, "incidents", "list").Incidents) == 1 })
	}
	two.wants(0, "pause", "--reason", "by hand")
	two.docker("stop", two.name+"-web-1")
	one.wants(0, "restart", "web")
	two.eventually("the pause of one stack is heard", func() bool { return len(read[stackStatus](two, "status").of("web").Held) > 0 })
	if two.container("web", ".State.Status") == "running" || one.container("web", ".State.Status") != "running" {
		t.Error("a pause holds the stack that it was given for, and no other")
	}

	for _, p := range []*project{broken, same, later} {
		p.named(p.name, stack)
	}
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*project{broken, same, later} {
		p.leased()
		p.eventually("it is brought up", p.up)
	}
}

// named writes the compose file with the project's name in it, in its directory, which may not be there yet.
func (p *project) named(name, text string) {
	p.t.Helper()
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		p.t.Fatal(err)
	}
	p.write("name: " + name + "\n" + text)
}

// up says whether the service web runs.
func (p *project) up() bool { return read[stackStatus](p, "status").of("web").State == "running" }

// TestSeveralRefused: what speaks of one stack, and what names none, is an error before anything is begun.
func TestSeveralRefused(t *testing.T) {
	t.Parallel()
	p := newProject(t, "refused", stack)
	file, empty := filepath.Join(p.dir, "compose.yaml"), t.TempDir()
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"-p", "x", "reconcile", "--stacks", p.dir}, "--project-name speaks of one stack"},
		{[]string{"-f", file, "reconcile", "--stacks", p.dir}, "--file speaks of one stack"},
		{[]string{"reconcile", "--once", "--stacks", p.dir}, "--stacks is for continuous mode"},
		{[]string{"reconcile", "--listen", "127.0.0.1:0", "--stacks", p.dir}, "--listen shows one stack"},
		{[]string{"reconcile", "--stacks", filepath.Join(empty, "*")}, "no directory with a compose file"},
		{[]string{"reconcile", "--stacks", filepath.Join(empty, "gone")}, "there is no such directory"},
		{[]string{"reconcile", "--stacks", file}, "is no directory"},
		{[]string{"reconcile", "--stacks", "[" + empty}, "syntax error in pattern"},
	} {
		cmd := exec.Command(binary, append([]string{"--state-dir", p.state}, c.args...)...)
		cmd.Env = slices.Concat(os.Environ(), []string{p.fence.Environment("reconcile")})
		said, err := cmd.CombinedOutput()
		if err == nil || cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(said), c.says) {
			t.Errorf("composure %s: exit %d, %q not said:\n%s", strings.Join(c.args, " "), cmd.ProcessState.ExitCode(), c.says, said)
		}
	}
}
