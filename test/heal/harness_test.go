// Package heal breaks stacks on a real engine while the built binary watches them, and asserts what users rely on: the
// containers afterwards, the incident, the rows, and that nothing outside the stack was touched. These are the faults:
//
//	memory limit lowered, network disconnected, another one      TestChangedByHand: put right in place, no restart, no
//	connected, aliases lost, renamed, restart policy off         incident
//	healthcheck removed by hand                                  TestChangedByHand: made anew
//	container stopped, container removed                         TestChangedByHand: an incident, runs again
//	the process dies once and the engine restarts it             TestLeftAlone: rung 0, nothing is done
//	a replica added by hand                                      TestLeftAlone: reported, nothing is done
//	a short hiccup of the healthcheck                            TestLeftAlone: nothing is done
//	paused with docker, paused with composure, maintenance       TestLeftAlone: left alone until that ends
//	a completed one-shot                                         TestLeftAlone: stays completed
//	docker compose up --force-recreate in progress               TestDockerCompose: nobody fights anybody
//	file edited; broken edit; deploy: auto                       TestFileEdited: pending; last good file; applied
//	a deployment beside the remediator                           TestDeploymentWhileWatching: taken over
//	the API killed, hanging, ill, its connections used up        TestRunbook: start, hard restart after a stack dump,
//	                                                             graceful restarts; rows intact
//	PostgreSQL killed, hung with SIGSTOP                         TestRunbook: one incident, of PostgreSQL
//	killed by the kernel for memory                              TestOutOfMemory: limit raised once, on record
//	memory nearly used up                                        TestRootCauses: limit raised once, no restart (whole)
//	a slow start                                                 TestSlowStart: waited for
//	a start that never ends                                      TestRootCauses: restarted
//	a crash loop                                                 TestCrashLoop: three attempts, one call, then hands off
//	a module is missing, the command is gone                     TestRootCauses: made anew
//	the image was pruned                                         TestImageMissing: people are called
//	the disk is full                                             TestRootCauses: people are called, no restart
//	traces of an attack                                          TestRootCauses: the emergency tier is called
//	a probe fails and nothing explains it                        TestRootCauses: up the ladder
//	a version that breaks after its deployment                   TestRollback: back to the proven one
//	port held by a process, by a container, by one that may      TestPortTaken: named and waited for; named; stopped
//	be stopped
//	most services fail together                                  TestMassFailure: one call, no restarts
//	the engine does not answer                                   TestEngineAway: one incident, of the stack
//	the volume was made anew and is empty                        TestDataLoss: the emergency tier is called, hands off
//	a page of a table is damaged                                 TestDataCorruption: DevOps is called, hands off
//	SIGTERM, kill -9 of the remediator while it heals            TestToldToEnd, TestKilledWhileHealing: ended, counted once
//
// Of the root causes, config_drift is the removed container, stopped the stopped one; healthcheck_missing has no fault of its
// own, since a container without a check and a probe fails only by ending.
package heal

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/system"

	"composure/controller/incident"
	"composure/controller/store"
	"composure/test/proxy"
)

// prefix of everything these tests make on the engine.
const prefix = "cmpsr-heal-"

// bystander is a project of somebody else.
var bystander = "bystander" + strconv.Itoa(os.Getpid())

// whole is the proof with the faults that take minutes to be seen, for `make faults`; else a slice of it.
var whole = os.Getenv("FAULTS") == "whole"

// patience bounds every wait. It is far beyond what anything takes, since the machine may be busy.
const patience = 2 * time.Minute

// binary is the program under test, built once, and engineID that of the engine.
var binary, engineID string

// lists are what the program says it needs of the engine. Whatever these tests run is behind proxies that allow no more.
var lists *proxy.Lists

func TestMain(m *testing.M) {
	flag.Parse()
	// Most of the time is spent waiting for the engine: more stacks at a time than processors.
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("4")
	}
	os.Exit(run(m))
}

// run builds the binary and starts the bystander: a container of somebody else, whose service has the name of one of
// ours, that no remediation may ever touch.
func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "composure-heal")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "composure")
	if out, err := exec.Command("go", "build", "-o", binary, "composure/cmd/composure").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build composure: %v: %s", err, out)
		return 1
	}
	if lists, err = proxy.ReadLists(binary); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	bystander := prefix + bystander
	sweep(bystander)
	defer sweep(bystander)
	if out, err := docker("run", "-d", "--name", bystander+"-web-1", "--network", "none", "--label", "com.docker.compose.project="+bystander,
		"--label", "com.docker.compose.service=web", "composure-test/busybox:1", "sleep", "100000"); err != nil {
		fmt.Fprintf(os.Stderr, "these tests need a Docker Engine and images (hack/engine.sh, hack/images.sh): %v: %s", err, out)
		return 1
	}
	var about system.Info
	if err := read("/info", &about); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	engineID = about.ID
	before, _ := docker("inspect", bystander+"-web-1", "--format", "{{.Id}} {{json .State}} {{json .HostConfig}}")
	code := m.Run()
	if after, _ := docker("inspect", bystander+"-web-1", "--format", "{{.Id}} {{json .State}} {{json .HostConfig}}"); after != before {
		fmt.Fprintf(os.Stderr, "the container of another stack was touched:\n%s\n%s\n", before, after)
		return 1
	}
	return code
}

// docker runs the docker command line and returns what it prints.
func docker(args ...string) (string, error) {
	out, err := exec.Command("docker", args...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// sweep removes everything of a project, renamed containers and the tags of kept images included.
func sweep(name string) {
	remove := func(list []string, rm ...string) {
		if out, err := docker(list...); err == nil && out != "" {
			_, _ = docker(append(rm, strings.Fields(out)...)...)
		}
	}
	own := name + "[-_]" // not the projects whose names begin with this one's
	remove([]string{"ps", "-aq", "--filter", "label=com.docker.compose.project=" + name}, "rm", "-fv")
	remove([]string{"ps", "-aq", "--filter", "name=^/" + own}, "rm", "-fv")
	remove([]string{"network", "ls", "-q", "--filter", "name=^" + own}, "network", "rm")
	remove([]string{"volume", "ls", "-q", "--filter", "name=^" + own}, "volume", "rm")
	remove([]string{"image", "ls", "--filter", "reference=composure-kept/" + name + "-*", "--format", "{{.Repository}}:{{.Tag}}"}, "image", "rm")
}

// stack is one compose project of a test, with a state directory of its own.
type stack struct {
	t     *testing.T
	name  string
	dir   string
	state string
	env   []string
	fence *proxy.Fence

	opened sync.Once
	store  *store.Store
}

// policy makes everything quick: what counts as well, as stable, and the time between attempts.
const policy = `x-composure:
  min_healthy: 300ms
  remediation: {stable: 2s, stop_grace: 5s, backoff: {initial: 100ms, factor: 1, max: 200ms, reset: 1h}}
`

// newStack writes the files (name → content; compose.yaml is the stack). The project is removed with its volumes when the
// test ends, however it ends.
func newStack(t *testing.T, name string, files map[string]string) *stack {
	t.Helper()
	s := &stack{t: t, name: prefix + name, dir: t.TempDir(), state: t.TempDir()}
	s.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "RUNTIME_DIRECTORY=" + t.TempDir(), "DOCKER_HOST=" + os.Getenv("DOCKER_HOST")}
	s.fence = lists.Fence(t, proxy.System)
	sweep(s.name) // what a run left that was killed
	t.Cleanup(func() { sweep(s.name) })
	for name, content := range files {
		s.write(name, content)
	}
	s.write("compose.override.yaml", "networks: {default: {ipam: {config: [{subnet: "+addresses()+"}]}}}\n")
	return s
}

// up is newStack with one compose file, deployed.
func up(t *testing.T, name, text string) *stack {
	t.Helper()
	s := newStack(t, name, map[string]string{"compose.yaml": text})
	s.deploy(0)
	return s
}

var subnets atomic.Int32

// addresses is a small subnet that no other test uses: the engine's own pool has only about thirty.
func addresses() string {
	n := subnets.Add(1)
	return fmt.Sprintf("10.%d.%d.%d/28", 100+os.Getpid()%55, 128+n/16, n%16*16)
}

func (s *stack) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *stack) write(name, content string) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	s.must(os.MkdirAll(filepath.Dir(path), 0o755))
	s.must(os.WriteFile(path, []byte(content), 0o644))
}

// edit replaces text in compose.yaml.
func (s *stack) edit(old, new string) {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "compose.yaml"))
	s.must(err)
	if !strings.Contains(string(text), old) {
		s.t.Fatalf("compose.yaml has no %q", old)
	}
	s.write("compose.yaml", strings.Replace(string(text), old, new, 1))
}

// command prepares the binary on the project, in its directory.
func (s *stack) command(args ...string) *exec.Cmd {
	cmd := exec.Command(binary, append([]string{"-p", s.name, "--state-dir", s.state}, args...)...)
	cmd.Dir, cmd.Env = s.dir, append(slices.Clone(s.env), s.fence.Environment(args...))
	return cmd
}

// composure runs the binary to its end and returns its exit status and output.
func (s *stack) composure(args ...string) (code int, out string) {
	s.t.Helper()
	cmd := s.command(args...)
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatalf("run composure: %v", err)
	}
	return cmd.ProcessState.ExitCode(), string(text)
}

// wants runs the binary and fails the test unless it exits so and says each of the texts.
func (s *stack) wants(code int, args []string, texts ...string) string {
	s.t.Helper()
	got, out := s.composure(args...)
	if got != code {
		s.t.Fatalf("composure %s: exit %d, expected %d\n%s\n%s", strings.Join(args, " "), got, code, out, s.ps())
	}
	for _, text := range texts {
		if !strings.Contains(out, text) {
			s.t.Errorf("composure %s does not say %q:\n%s", strings.Join(args, " "), text, out)
		}
	}
	return out
}

// deploy is `reconcile --once`.
func (s *stack) deploy(code int, texts ...string) {
	s.t.Helper()
	s.wants(code, []string{"reconcile", "--once", "--timeout", "5m"}, texts...)
}

// docker runs the docker command line and fails the test when it fails.
func (s *stack) docker(args ...string) string {
	s.t.Helper()
	out, err := docker(args...)
	if err != nil {
		s.t.Fatalf("docker %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

// container is the name of a service's container.
func (s *stack) container(service string) string { return s.name + "-" + service + "-1" }

// read gets a path of the engine's API into a value, without the cost of a process.
func read(path string, into any) error {
	answer, err := engineAPI.Get("http://engine" + path)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, answer.Status)
	}
	return json.NewDecoder(answer.Body).Decode(into)
}

var engineAPI = http.Client{Timeout: patience, Transport: &http.Transport{DialContext: proxy.System, MaxIdleConnsPerHost: 8}}

// look reads a service's container; nil when there is none by its name now.
func (s *stack) look(service string) *container.InspectResponse {
	var found container.InspectResponse
	if read("/containers/"+s.container(service)+"/json", &found) != nil {
		return nil
	}
	return &found
}

// inspect is look at a container that must be there.
func (s *stack) inspect(service string) *container.InspectResponse {
	s.t.Helper()
	c := s.look(service)
	if c == nil {
		s.t.Fatalf("no container %s\n%s", s.container(service), s.ps())
	}
	return c
}

// instance identifies one run of a service's container.
func (s *stack) instance(service string) string {
	s.t.Helper()
	c := s.inspect(service)
	return c.ID + " since " + c.State.StartedAt
}

// well says whether a service's container runs and its healthcheck, if it has one, passes.
func (s *stack) well(service string) bool {
	c := s.look(service)
	return c != nil && c.State.Running && !c.State.Paused && !c.State.Restarting && (c.State.Health == nil || c.State.Health.Status == "healthy")
}

// names are the services of the project's containers with their numbers, sorted.
func (s *stack) names() []string {
	s.t.Helper()
	filter, err := json.Marshal(map[string][]string{"label": {"com.docker.compose.project=" + s.name}})
	s.must(err)
	var all []container.Summary
	s.must(read("/containers/json?all=1&filters="+url.QueryEscape(string(filter)), &all))
	var names []string
	for _, c := range all {
		names = append(names, strings.TrimPrefix(c.Names[0], "/"+s.name+"-"))
	}
	slices.Sort(names)
	return names
}

// has waits for exactly these containers, such as "web-1": an old one is removed when its successor is proven.
func (s *stack) has(names ...string) {
	s.t.Helper()
	slices.Sort(names)
	s.until("containers "+strings.Join(names, " "), func() bool { return slices.Equal(s.names(), names) })
}

// ps is what a person would look at first.
func (s *stack) ps() string {
	out, _ := docker("ps", "-a", "--filter", "label=com.docker.compose.project="+s.name, "--format", "{{.Names}} {{.Image}} {{.Status}}")
	return out
}

// until waits for a condition.
func (s *stack) until(what string, reached func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); !reached(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			_, incidents := s.composure("incidents", "list")
			s.t.Fatalf("%s passed without: %s\n%s\n%s", patience, what, s.ps(), incidents)
		}
	}
}

// incidents are those of the stack, newest first.
func (s *stack) incidents() []incident.Incident {
	s.t.Helper()
	s.opened.Do(func() {
		var err error
		s.store, err = store.Open(s.t.Context(), store.Options{StateDir: s.state})
		s.must(err)
		s.t.Cleanup(func() { _ = s.store.Close() })
	})
	rows, err := s.store.Incidents(s.t.Context(), store.IncidentFilter{Stack: store.StackKey(engineID, s.name)})
	s.must(err)
	var all []incident.Incident
	for _, row := range rows {
		var i incident.Incident
		s.must(json.Unmarshal(row.Document, &i))
		all = append(all, i)
	}
	slices.SortFunc(all, func(a, b incident.Incident) int { return b.Detected.Compare(a.Detected) })
	return all
}

// open waits for an open incident of a service that was diagnosed so.
func (s *stack) open(service, cause string) incident.Incident {
	s.t.Helper()
	var found incident.Incident
	s.until("an open incident of "+service+", "+cause, func() bool {
		for _, i := range s.incidents() {
			if i.Service == service && i.State == incident.Open && slices.Contains(i.Causes, cause) {
				found = i
				return true
			}
		}
		return false
	})
	return found
}

// over waits until every incident that is not in before is resolved, wants exactly one of them, and returns it.
func (s *stack) over(service string, before ...incident.Incident) incident.Incident {
	s.t.Helper()
	var fresh []incident.Incident
	s.until("a resolved incident of "+service, func() bool {
		fresh = slices.DeleteFunc(s.incidents(), func(i incident.Incident) bool {
			return slices.ContainsFunc(before, func(b incident.Incident) bool { return b.ID == i.ID })
		})
		return len(fresh) > 0 && !slices.ContainsFunc(fresh, func(i incident.Incident) bool { return i.State != incident.Resolved })
	})
	if len(fresh) != 1 || fresh[0].Service != service {
		s.t.Fatalf("expected one incident, of %s:\n%s", service, s.wants(0, []string{"incidents", "list"}))
	}
	return fresh[0]
}

// diagnosed wants an incident to have had one of the causes, and to tell when it began, was seen and was over.
func (s *stack) diagnosed(i incident.Incident, causes ...string) {
	s.t.Helper()
	if !slices.ContainsFunc(causes, func(c string) bool { return slices.Contains(i.Causes, c) }) {
		s.t.Errorf("%s is diagnosed as %v, expected %v\n%s", i.Service, i.Causes, causes, s.wants(0, []string{"incidents", "show", i.ID}))
	}
	if i.Began.IsZero() || i.Detected.IsZero() || i.MitigatedAt.IsZero() || i.ResolvedAt.IsZero() || len(i.Timeline) < 4 || len(i.Steps) == 0 {
		s.t.Errorf("the incident is not told in full:\n%s", s.wants(0, []string{"incidents", "show", i.ID}))
	}
}

// tried wants exactly these kinds of actions in an incident, in this order, each counted.
func (s *stack) tried(i incident.Incident, kinds ...string) {
	s.t.Helper()
	if got := s.counted(i); !slices.Equal(got, kinds) {
		s.t.Errorf("tried %v, expected %v\n%s", got, kinds, s.wants(0, []string{"incidents", "show", i.ID}))
	}
}

// counted are the kinds of the actions of an incident that count against the budget.
func (s *stack) counted(i incident.Incident) []string {
	var kinds []string
	for _, a := range i.Tried {
		if a.Counts {
			kinds = append(kinds, a.Kind)
		}
	}
	return kinds
}

// watcher is a remediator that runs beside the test.
type watcher struct {
	s    *stack
	cmd  *exec.Cmd
	log  string // file
	done chan struct{}
}

// watch starts `composure reconcile` and waits until it watches. When the test ends it is told to end, and must do so
// cleanly.
func (s *stack) watch(environment ...string) *watcher {
	s.t.Helper()
	w := &watcher{s: s, cmd: s.command("--log-level", "info", "reconcile", "--interval", "5s"), log: filepath.Join(s.t.TempDir(), "log"), done: make(chan struct{})}
	w.cmd.Env = append(w.cmd.Env, environment...)
	log, err := os.Create(w.log)
	s.must(err)
	w.cmd.Stderr, w.cmd.Stdout = log, log
	s.must(w.cmd.Start())
	go func() { _ = w.cmd.Wait(); log.Close(); close(w.done) }()
	s.t.Cleanup(func() {
		w.end()
		if s.t.Failed() {
			s.t.Logf("what the remediator said:\n%s", w.said())
		}
	})
	w.says("watching")
	return w
}

// end tells the remediator to end, if it still runs, and wants it to do so without an error.
func (w *watcher) end() {
	select {
	case <-w.done: // by the test
		return
	default:
	}
	_ = w.cmd.Process.Signal(syscall.SIGTERM)
	w.ended()
}

// ended waits until a remediator that was told to end has done so, without an error. A second signal would end it at once.
func (w *watcher) ended() {
	select {
	case <-w.done:
		if code := w.cmd.ProcessState.ExitCode(); code != 0 {
			w.s.t.Errorf("the remediator ended with %d", code)
		}
	case <-time.After(patience):
		w.s.t.Error("the remediator does not end")
		w.kill()
	}
}

// between does something while the remediator does not look, so that no look of it falls into the middle: it is halted when it has
// asked the engine nothing for a while, for a look that was halted would see one half before the change and the other after it.
func (w *watcher) between(change func()) {
	w.s.t.Helper()
	engine, quiet := w.s.fence.For("reconcile"), 0
	last := engine.Calls()
	w.s.until("the remediator does not look", func() bool {
		now := engine.Calls()
		if quiet++; now != last {
			last, quiet = now, 0
		}
		return quiet > 4
	})
	w.s.must(w.cmd.Process.Signal(syscall.SIGSTOP))
	defer func() { w.s.must(w.cmd.Process.Signal(syscall.SIGCONT)) }()
	change()
}

// kill ends the remediator as kill -9 does.
func (w *watcher) kill() {
	_ = w.cmd.Process.Kill()
	<-w.done
}

// said is its log so far.
func (w *watcher) said() string {
	text, err := os.ReadFile(w.log)
	w.s.must(err)
	return string(text)
}

// says waits until the log has a text.
func (w *watcher) says(text string) {
	w.s.t.Helper()
	w.s.until("log line "+text, func() bool {
		said := w.said()
		select {
		case <-w.done:
			if !strings.Contains(said, text) {
				w.s.t.Fatalf("the remediator has ended without saying %q:\n%s", text, said)
			}
		default:
		}
		return strings.Contains(said, text)
	})
}

// canary kills the service of that name and waits until it is healed: what was left alone until then was looked at, and
// was left alone on purpose.
func (s *stack) canary() {
	s.t.Helper()
	run := s.instance("canary")
	s.docker("kill", s.container("canary"))
	s.until("the canary's incident over", func() bool {
		ours := func(i incident.Incident) bool { return i.Service == "canary" && i.State != incident.Resolved }
		return s.well("canary") && s.instance("canary") != run && !slices.ContainsFunc(s.incidents(), ours)
	})
}

// captured wants a captured log of a service's container that has the text.
func (s *stack) captured(text string) {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.state, "captured", s.name, "*.log"))
	s.must(err)
	for _, file := range files {
		if content, err := os.ReadFile(file); err == nil && bytes.Contains(content, []byte(text)) {
			return
		}
	}
	s.t.Errorf("no captured log has %q (files %v)", text, files)
}
