//go:build linux

package rig

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"composure/controller/incident"
)

// Patience bounds every wait. It is far beyond what anything takes, since the machine may be busy.
const Patience = 6 * time.Minute

// Stack is one compose project with a state directory of its own. T is the test that is told; a subtest puts itself
// there.
type Stack struct {
	T testing.TB
	Engine
	Name, Dir, State string
	Through          string   // the address that the binary is given, such as a proxy's; empty: the engine's own
	Env              []string // of the binary, beside what it needs anyway
}

// New makes a project that is removed with its volumes when the test ends, however it ends. Its network has a small
// subnet of its own: the engine's own pool has only about thirty.
func New(t testing.TB, e Engine, name, file string) *Stack {
	t.Helper()
	s := &Stack{T: t, Engine: e, Name: name, Dir: t.TempDir(), State: t.TempDir()}
	s.sweep() // what a run left that was killed
	t.Cleanup(s.sweep)
	s.Write("compose.yaml", file)
	s.Write("compose.override.yaml", "networks: {default: {ipam: {config: [{subnet: "+addresses()+"}]}}}\n")
	return s
}

var subnets atomic.Int32

func addresses() string {
	n := subnets.Add(1)
	return fmt.Sprintf("10.%d.%d.%d/27", 20+os.Getpid()%70, n/8, n%8*32)
}

// sweep removes everything of the project, renamed containers included.
func (s *Stack) sweep() {
	remove := func(list []string, rm ...string) {
		if out, err := s.Engine.Docker(list...); err == nil && out != "" {
			_, _ = s.Engine.Docker(append(rm, strings.Fields(out)...)...)
		}
	}
	own := s.Name + "[-_]" // not the projects whose names begin with this one's
	remove([]string{"ps", "-aq", "--filter", "label=com.docker.compose.project=" + s.Name}, "rm", "-fv")
	remove([]string{"ps", "-aq", "--filter", "name=^/" + own}, "rm", "-fv")
	remove([]string{"network", "ls", "-q", "--filter", "name=^" + own}, "network", "rm")
	remove([]string{"volume", "ls", "-q", "--filter", "name=^" + own}, "volume", "rm")
	remove([]string{"image", "ls", "--filter", "reference=composure-kept/" + s.Name + "-*", "--format", "{{.Repository}}:{{.Tag}}"}, "image", "rm")
}

// Sweep removes everything of the project from the engine, as if it had never been.
func (s *Stack) Sweep() { s.sweep() }

// Must fails the test on an error.
func (s *Stack) Must(err error) {
	s.T.Helper()
	if err != nil {
		s.T.Fatal(err)
	}
}

// Write writes a file of the project.
func (s *Stack) Write(name, content string) {
	s.T.Helper()
	s.Must(os.WriteFile(filepath.Join(s.Dir, name), []byte(content), 0o644))
}

// Edit replaces text in compose.yaml, which must have it.
func (s *Stack) Edit(old, new string) {
	s.T.Helper()
	text, err := os.ReadFile(filepath.Join(s.Dir, "compose.yaml"))
	s.Must(err)
	if !strings.Contains(string(text), old) {
		s.T.Fatalf("compose.yaml has no %q", old)
	}
	s.Write("compose.yaml", strings.ReplaceAll(string(text), old, new))
}

// Docker runs the docker command line and fails the test when it fails.
func (s *Stack) Docker(args ...string) string {
	s.T.Helper()
	out, err := s.Engine.Docker(args...)
	s.Must(err)
	return out
}

// Container is the name of a service's container.
func (s *Stack) Container(service string) string { return s.Name + "-" + service + "-1" }

// Look reads a container by name or id; nil when there is none.
func (s *Stack) Look(name string) *container.InspectResponse {
	var c container.InspectResponse
	if s.Get(s.T.Context(), "/containers/"+name+"/json", &c) != nil {
		return nil
	}
	return &c
}

// Inspect is Look at a service's container, which must be there.
func (s *Stack) Inspect(service string) *container.InspectResponse {
	s.T.Helper()
	c := s.Look(s.Container(service))
	if c == nil {
		s.T.Fatalf("no container %s\n%s", s.Container(service), s.PS())
	}
	return c
}

// All are the containers of the project, and those whose names say that they are.
func (s *Stack) All() ([]container.Summary, error) {
	var all []container.Summary
	if err := s.Get(s.T.Context(), "/containers/json?all=1", &all); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(c container.Summary) bool {
		return c.Labels["com.docker.compose.project"] != s.Name && !slices.ContainsFunc(c.Names, func(n string) bool { return strings.HasPrefix(n, "/"+s.Name+"-") })
	}), nil
}

// Names are the names of All, sorted, without the project's own, such as "web-1".
func (s *Stack) Names() []string {
	s.T.Helper()
	all, err := s.All()
	s.Must(err)
	var names []string
	for _, c := range all {
		name := "?"
		if len(c.Names) > 0 {
			name = strings.TrimPrefix(c.Names[0], "/"+s.Name+"-")
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Has wants exactly these containers, such as "web-1", each running.
func (s *Stack) Has(names ...string) {
	s.T.Helper()
	slices.Sort(names)
	if got := s.Names(); !slices.Equal(got, names) {
		s.T.Errorf("containers %v, expected %v\n%s", got, names, s.PS())
	}
	for _, name := range names {
		if c := s.Look(s.Name + "-" + name); c == nil || !c.State.Running || c.State.Paused || c.State.Restarting {
			s.T.Errorf("%s does not run\n%s", name, s.PS())
		}
	}
}

// Volumes are the named volumes of the project, sorted, without its name.
func (s *Stack) Volumes() []string {
	s.T.Helper()
	var list struct{ Volumes []struct{ Name string } }
	s.Must(s.Get(s.T.Context(), "/volumes?filters="+url.QueryEscape(`{"name":["`+s.Name+`_"]}`), &list))
	var names []string
	for _, v := range list.Volumes {
		names = append(names, strings.TrimPrefix(v.Name, s.Name+"_"))
	}
	slices.Sort(names)
	return names
}

// PS is what a person would look at first.
func (s *Stack) PS() string {
	out, _ := s.Engine.Docker("ps", "-a", "--no-trunc", "--filter", "name=^/"+s.Name+"-", "--format", "{{.Names}} {{.ID}} {{.Image}} {{.Status}}")
	return out
}

// Until waits for a condition.
func (s *Stack) Until(what string, reached func() bool) {
	s.T.Helper()
	for deadline := time.Now().Add(Patience); !reached(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.T.Fatalf("%s passed without: %s\n%s", Patience, what, s.PS())
		}
	}
}

// Incidents are those of the stack, the open ones first, then newest first.
func (s *Stack) Incidents() []incident.Incident {
	s.T.Helper()
	all, err := s.AskIncidents()
	s.Must(err)
	return all
}

// AskIncidents is Incidents where the engine may be away.
func (s *Stack) AskIncidents() ([]incident.Incident, error) {
	s.T.Helper()
	r := s.Composure("incidents", "list", "--limit", "1000", "-o", "json")
	var list struct{ Incidents []incident.Incident }
	if err := json.Unmarshal([]byte(r.Out), &list); err != nil {
		return nil, fmt.Errorf("%w: %s", err, r)
	}
	return list.Incidents, nil
}

// Run is the binary, running.
type Run struct {
	s        *Stack
	cmd      *exec.Cmd
	out, err file
	done     chan struct{}
}

// Result is how it ended.
type Result struct {
	Args     []string
	Code     int // -1: by a signal
	Out, Err string
	Memory   int64 // resident at most, in kB
}

func (r Result) String() string {
	return fmt.Sprintf("composure %s: exit %d\n%s%s", strings.Join(r.Args, " "), r.Code, r.Out, r.Err)
}

// file keeps what a process says, also when the process is killed.
type file struct{ *os.File }

func (f file) String() string {
	text, err := os.ReadFile(f.Name())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Start runs the binary on the engine's host, in the project's directory. It is killed when the test ends before it.
func (s *Stack) Start(args ...string) *Run {
	s.T.Helper()
	host := s.Through
	if host == "" {
		host = s.Host
	}
	env := append([]string{"-i", "PATH=" + os.Getenv("PATH"), "HOME=" + s.State, "RUNTIME_DIRECTORY=" + s.State, "DOCKER_HOST=" + host}, s.Env...)
	all := append(append(env, binary, "-p", s.Name, "--state-dir", s.State), args...)
	r := &Run{s: s, cmd: s.Command(s.Dir, "env", all...), done: make(chan struct{})}
	r.out, r.err = s.file("out"), s.file("err")
	r.cmd.Stdout, r.cmd.Stderr = r.out.File, r.err.File
	s.Must(r.cmd.Start())
	go func() { _ = r.cmd.Wait(); r.out.Close(); r.err.Close(); close(r.done) }()
	s.T.Cleanup(r.Kill)
	return r
}

func (s *Stack) file(name string) file {
	f, err := os.CreateTemp(s.T.TempDir(), name)
	s.Must(err)
	return file{f}
}

// Kill ends the binary as kill -9 does, and waits for its end.
func (r *Run) Kill() {
	_ = r.s.Signal(r.cmd, syscall.SIGKILL) // it may have ended
	<-r.done
}

// Term tells the binary to end.
func (r *Run) Term() error { return r.s.Signal(r.cmd, syscall.SIGTERM) }

// Cmd is how it was started, for Signal.
func (r *Run) Cmd() *exec.Cmd { return r.cmd }

// Pid is the process of a run, as the machine sees it; 0: none.
func (s *Stack) Pid(r *Run) int { return s.Process(r.cmd) }

// Ended says whether the binary has ended.
func (r *Run) Ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// Said is what the binary wrote to its standard error so far.
func (r *Run) Said() string { return r.err.String() }

// Wait waits for the end.
func (r *Run) Wait() Result {
	r.s.T.Helper()
	select {
	case <-r.done:
	case <-time.After(Patience):
		r.Kill()
		r.s.T.Errorf("the run did not end by itself: %s\n%s", r.result(), r.s.PS())
	}
	return r.result()
}

func (r *Run) result() Result {
	usage := r.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return Result{Args: r.cmd.Args, Code: r.cmd.ProcessState.ExitCode(), Out: r.out.String(), Err: r.err.String(), Memory: usage.Maxrss}
}

// Composure runs the binary to its end. A panic fails the test.
func (s *Stack) Composure(args ...string) Result {
	s.T.Helper()
	r := s.Start(args...).Wait()
	if strings.Contains(r.Err, "internal error") || strings.Contains(r.Err, "goroutine ") {
		s.T.Errorf("a panic: %s", r)
	}
	return r
}

// Wants runs the binary and fails the test unless it exits so.
func (s *Stack) Wants(code int, args ...string) Result {
	s.T.Helper()
	r := s.Composure(args...)
	// A busy engine may leave a question open, which drift says: it is asked again, as a person would.
	for n := 0; n < 3 && code != 2 && r.Code == 2 && slices.Contains(args, "drift") && strings.Contains(r.Out, "no answer from the engine"); n++ {
		r = s.Composure(args...)
	}
	if r.Code != code {
		s.T.Fatalf("exit status %d, expected %d: %s\n%s", r.Code, code, r, s.PS())
	}
	return r
}

// Once is `reconcile --once` with its usual bound.
func Once(args ...string) []string {
	return append([]string{"reconcile", "--once", "--timeout", "5m"}, args...)
}

// Converge brings the stack to what its file says, and has drift confirm it.
func (s *Stack) Converge(args ...string) {
	s.T.Helper()
	s.Wants(0, Once(args...)...)
	s.Wants(0, "drift")
}
