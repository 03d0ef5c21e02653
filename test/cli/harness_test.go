// Package cli drives the commands that people use beside a stack (status, history, restart, rollback, incidents, pause,
// baseline) on a real engine, by their exit status, their JSON and what the engine says afterwards.
package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"composure/test/proxy"
	"composure/test/rig"
)

// prefix of everything these tests make on the engine.
const prefix = "cmpsr-cli-"

// binary is the program under test, built once.
var binary string

// lists are what the program says it needs of the engine. Whatever these tests run is behind proxies that allow no more.
var lists *proxy.Lists

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "composure-cli")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Setenv("RUNTIME_DIRECTORY", dir); err != nil { // else what a test leaves behind is this host's
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	binary = filepath.Join(dir, "composure")
	if out, err := exec.Command("go", "build", "-o", binary, "composure/cmd/composure").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build composure: %v: %s", err, out)
		return 1
	}
	if out, err := exec.Command("docker", "version").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "these tests need a Docker Engine: %v: %s", err, out)
		return 1
	}
	if lists, err = proxy.ReadLists(binary); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// project is one compose project of a test, with a state directory of its own.
type project struct {
	t                *testing.T
	name, dir, state string
	fence            *proxy.Fence
	env              []string // beside the test's own
}

// newProject writes compose.yaml. The project is removed when the test ends, however it ends.
func newProject(t *testing.T, name, text string) *project {
	t.Helper()
	p := &project{t: t, name: prefix + name, dir: t.TempDir(), state: t.TempDir(), fence: lists.Fence(t, proxy.System)}
	p.sweep()
	t.Cleanup(p.sweep)
	p.write(text)
	return p
}

func (p *project) write(text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, "compose.yaml"), []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// sweep removes what the project made: containers, network, volumes, and the tags that keep images.
func (p *project) sweep() {
	for _, s := range []struct{ list, remove []string }{
		{[]string{"ps", "-aq", "--filter", "label=com.docker.compose.project=" + p.name}, []string{"rm", "-fv"}},
		{[]string{"network", "ls", "-q", "--filter", "label=com.docker.compose.project=" + p.name}, []string{"network", "rm"}},
		{[]string{"volume", "ls", "-q", "--filter", "label=com.docker.compose.project=" + p.name}, []string{"volume", "rm"}},
		{[]string{"images", "--format", "{{.Repository}}:{{.Tag}}", "composure-kept/" + p.name + "-*"}, []string{"rmi"}},
		{[]string{"images", "-q", "--filter", "label=com.docker.compose.project=" + p.name}, []string{"rmi", "-f"}},
	} {
		out, err := exec.Command("docker", s.list...).Output()
		if found := strings.Fields(string(out)); err == nil && len(found) > 0 {
			_ = exec.Command("docker", append(s.remove, found...)...).Run()
		}
	}
}

// command prepares the binary on the project, in its directory.
func (p *project) command(args ...string) *exec.Cmd {
	cmd := exec.Command(binary, append([]string{"-p", p.name, "--state-dir", p.state}, args...)...)
	cmd.Dir, cmd.Env = p.dir, slices.Concat(os.Environ(), p.env, []string{p.fence.Environment(args...)})
	return cmd
}

// wants runs the binary and fails the test unless it exits so; it returns what it printed.
func (p *project) wants(code int, args ...string) string {
	p.t.Helper()
	var out, errs bytes.Buffer
	cmd := p.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		p.t.Fatalf("composure %s: exit %d, expected %d\n%s%s", strings.Join(args, " "), got, code, out.String(), errs.String())
	}
	return out.String() + errs.String()
}

// says is wants with texts that must be said.
func (p *project) says(code int, args []string, texts ...string) {
	p.t.Helper()
	said := p.wants(code, args...)
	for _, text := range texts {
		if !strings.Contains(said, text) {
			p.t.Errorf("composure %s does not say %q:\n%s", strings.Join(args, " "), text, said)
		}
	}
}

// read runs a command with -o json and decodes its answer.
func read[T any](p *project, args ...string) T {
	p.t.Helper()
	var v T
	text := p.wants(0, append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		p.t.Fatalf("composure %s: %v\n%s", strings.Join(args, " "), err, text)
	}
	return v
}

func (p *project) docker(args ...string) string {
	p.t.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput()
	if err != nil {
		p.t.Fatalf("docker %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// container is a field of a service's container, as docker's template names it.
func (p *project) container(service, field string) string {
	p.t.Helper()
	return p.docker("container", "inspect", "-f", "{{"+field+"}}", p.name+"-"+service+"-1")
}

// eventually waits for a state, for at most three minutes: the machine may be busy.
func (p *project) eventually(what string, holds func() bool) {
	p.t.Helper()
	p.until(what, func() string { return p.wants(0, "status") }, holds)
}

// until is eventually with something else to tell about it.
func (p *project) until(what string, tell func() string, holds func() bool) {
	p.t.Helper()
	deadline := time.Now().Add(3 * time.Minute)
	for !holds() {
		if time.Now().After(deadline) {
			p.t.Fatalf("not in three minutes: %s\n%s", what, tell())
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// remediate runs continuous mode until the test ends, and wants it to end cleanly.
func (p *project) remediate(flags ...string) (log *rig.Lines) {
	p.t.Helper()
	log = p.background(p.command(append([]string{"--log-level", "info", "reconcile"}, flags...)...))
	p.leased()
	return log
}

// leased waits until a remediator has the stack.
func (p *project) leased() {
	p.t.Helper()
	p.eventually("the remediator has the stack", func() bool { return strings.HasPrefix(read[stackStatus](p, "status").Holder, "reconcile,") })
}

// background runs a remediator until the test ends, and wants it to end cleanly. What it says is in the log.
func (p *project) background(cmd *exec.Cmd) (log *rig.Lines) {
	p.t.Helper()
	log = &rig.Lines{}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		err := cmd.Wait()
		if err != nil {
			p.t.Errorf("reconcile ended with %v", err)
		}
		if p.t.Failed() {
			p.t.Logf("log of the remediator:\n%s", log.String())
		}
	})
	return log
}

var serving = regexp.MustCompile(`msg=serving address=(\S+)`)

// served waits until the dashboard is served on the port that the kernel chose for it, and returns its address.
func (p *project) served(log fmt.Stringer) string {
	p.t.Helper()
	p.until("the dashboard is served", log.String, func() bool { return serving.MatchString(log.String()) })
	return serving.FindStringSubmatch(log.String())[1]
}

// The parts of the commands' JSON that the tests look at.
type (
	stackStatus struct {
		Schema, Holder string
		Services       []serviceStatus
		Decisions      []struct{ Service, Kind, Owner, Reason string }
	}
	serviceStatus struct {
		Service, State, Health, Verdict, Incident string
		Drift                                     int
		Memory                                    int64
		BudgetLeft                                int `json:"budget_left"`
		Held                                      []struct{ Reason string }
		Probes                                    []struct{ Probe, Sparkline string }
	}
	history struct {
		Schema    string
		Revisions []struct {
			ID       string
			Services []struct{ Service string }
		}
		Attempts []struct {
			Kind, Outcome, Verdict, Cause string
			Counts                        bool
		}
		Decisions []struct {
			Kind, Value, Reason string
			Ended               *time.Time
		}
	}
	incidents struct {
		Schema    string
		Incidents []struct {
			ID, Service, Cause, State string
			Impact                    struct{ Data string }
		}
	}
)

func (s stackStatus) of(service string) serviceStatus {
	for _, one := range s.Services {
		if one.Service == service {
			return one
		}
	}
	return serviceStatus{}
}
