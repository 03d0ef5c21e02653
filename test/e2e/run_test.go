package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"composure/test/rig"
)

// result is how a program ended.
type result struct {
	args           []string
	code           int
	stdout, stderr string
}

func (r result) String() string {
	return fmt.Sprintf("composure %s: exit %d\n%s%s", strings.Join(r.args, " "), r.code, r.stdout, r.stderr)
}

// command prepares the binary on the project, in its directory.
func (p *project) command(args ...string) *exec.Cmd {
	all := append([]string{"-p", p.name, "--state-dir", p.state}, p.flags...)
	program, env := binary, append(p.env[:len(p.env):len(p.env)], p.fence.Environment(args...))
	if image != "" { // the docker command line is not what is fenced in
		all, program, env = append(p.contained(p.fence.Environment(args...)), all...), "docker", p.env
	}
	cmd := exec.CommandContext(p.t.Context(), program, append(all, args...)...)
	cmd.Dir, cmd.Env = p.dir, env
	return cmd
}

// contained is `docker run` of the image as hack/compose.composure.yaml runs it: with the engine's socket, the host's
// network and processes, and the project directory under its own path.
func (p *project) contained(engine string) []string {
	run := []string{"run", "--rm", "--interactive", "--name", fmt.Sprintf("%s-composure-%d", cmp.Or(p.name, prefix+"nameless"), runs.Add(1)), "--workdir", p.dir,
		"--network", "host", "--pid", "host", "--volume", "/var/run/docker.sock:/var/run/docker.sock", "--volume", os.TempDir() + ":" + os.TempDir()}
	for _, variable := range append([]string{engine}, p.env...) {
		if name, _, _ := strings.Cut(variable, "="); name != "PATH" && (name != "DOCKER_HOST" || variable == engine) {
			run = append(run, "--env", variable)
		}
	}
	return append(run, image)
}

var runs atomic.Int32

// composure runs the binary to its end.
func (p *project) composure(args ...string) result {
	p.t.Helper()
	return p.finish(p.command(args...))
}

func (p *project) finish(cmd *exec.Cmd) result {
	p.t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	r := result{args: cmd.Args[1:], code: cmd.ProcessState.ExitCode(), stdout: out.String(), stderr: errs.String()}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatalf("run composure: %v", err)
	}
	if strings.Contains(r.stderr, "internal error") {
		p.t.Errorf("a panic: %s", r)
	}
	return r
}

// wants runs the binary and fails the test unless it exits so and says each of the texts.
func (p *project) wants(code int, args []string, texts ...string) result {
	p.t.Helper()
	r := p.composure(args...)
	// A busy engine may leave a question open, which drift says: it is asked again, as a person would.
	for n := 0; n < 3 && code != 2 && r.code == 2 && slices.Contains(args, "drift") && strings.Contains(r.stdout, "no answer from the engine"); n++ {
		r = p.composure(args...)
	}
	p.answers(r, code, texts...)
	return r
}

// answers fails the test unless a run ended with the exit status and said each of the texts.
func (p *project) answers(r result, code int, texts ...string) {
	p.t.Helper()
	if r.code != code {
		p.t.Fatalf("exit status %d, expected %d: %s\n%s", r.code, code, r, p.ps())
	}
	for _, text := range texts {
		if !strings.Contains(r.stdout+r.stderr, text) {
			p.t.Errorf("nothing says %q: %s", text, r)
		}
	}
	if strings.Contains(r.stdout, "the time of --timeout "+bound+" is over") {
		p.t.Errorf("the run did not end by itself: %s", r)
	}
}

// bound is far beyond what a run takes, since the machine may be busy.
const bound = "5m0s"

// once is `reconcile --once` with its usual bound.
func once(args ...string) []string {
	return append([]string{"reconcile", "--once", "--timeout", bound}, args...)
}

// converge brings the stack to what its file says, and has drift confirm it.
func (p *project) converge(args ...string) {
	p.t.Helper()
	p.wants(0, once(args...))
	p.clean()
}

// clean wants no drift.
func (p *project) clean() {
	p.t.Helper()
	p.wants(0, []string{"drift"})
}

// report is the part of `drift -o json` that tests look at.
type report struct {
	Schema string
	Clean  bool
	Drifts []struct {
		Service, Container, Subject, Field, Desired, Observed, Remedy, Origin, Cause string

		Position *struct {
			File string
			Line int
		}
	}
	Gaps []struct{ Subject, Why string }
}

// drift is what `drift -o json` says; a stack with drift exits 1.
func (p *project) drift() report {
	p.t.Helper()
	r := p.wants(1, []string{"drift", "-o", "json"})
	var seen report
	p.must(json.Unmarshal([]byte(r.stdout), &seen))
	return seen
}

// fields are the fields of the report with their remedies, sorted: "mem_limit in-place".
func (r report) fields() []string {
	var fields []string
	for _, d := range r.Drifts {
		fields = append(fields, d.Field+" "+d.Remedy)
	}
	slices.Sort(fields)
	return fields
}

// background is a run that a test goes on beside.
type background struct {
	p        *project
	cmd      *exec.Cmd
	out, err *bytes.Buffer
	done     chan struct{}
}

// start runs the binary in the background; it is killed when the test ends before it.
func (p *project) start(args ...string) *background {
	p.t.Helper()
	b := &background{p: p, cmd: p.command(args...), out: &bytes.Buffer{}, err: &bytes.Buffer{}, done: make(chan struct{})}
	b.cmd.Stdout, b.cmd.Stderr = b.out, b.err
	p.must(b.cmd.Start())
	go func() { _ = b.cmd.Wait(); close(b.done) }()
	p.t.Cleanup(func() { _ = b.cmd.Process.Kill(); <-b.done })
	return b
}

// pid is the process id of the run on this host, also of one in a container.
func (b *background) pid() int {
	b.p.t.Helper()
	if image == "" {
		return b.cmd.Process.Pid
	}
	return b.p.inspect(b.cmd.Args[slices.Index(b.cmd.Args, "--name")+1]).State.Pid
}

// wait returns how the run ended; it must do so within rig.Patience.
func (b *background) wait() result {
	b.p.t.Helper()
	ctx, cancel := context.WithTimeout(b.p.t.Context(), rig.Patience)
	defer cancel()
	select {
	case <-b.done:
	case <-ctx.Done():
		_ = b.cmd.Process.Signal(syscall.SIGKILL)
		<-b.done
		b.p.t.Errorf("still running after %s", rig.Patience)
	}
	return result{args: b.cmd.Args[1:], code: b.cmd.ProcessState.ExitCode(), stdout: b.out.String(), stderr: b.err.String()}
}
