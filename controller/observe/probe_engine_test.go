package observe_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"

	"composure/controller/engine"
	"composure/controller/observe"
	"composure/spec"
	"composure/test/ports"
)

// Images are built by hack/images.sh.
const (
	busybox  = "composure-test/busybox:1"
	postgres = "composure-test/postgres:15"
)

// patient is the timeout of the probes that are answered: a command in a container takes its time on a busy machine. hasty is that of
// the probes that never are.
const patient, hasty = time.Minute, 5 * time.Second

// stage is a project of its own on the machine's engine, with a network. All of it is removed at the end.
type stage struct {
	*engine.Engine
	t          *testing.T
	stack      *spec.Stack
	engineHost string
}

func onEngine(t *testing.T) *stage {
	t.Helper()
	e, err := engine.Connect(t.Context(), engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{Engine: e, t: t, stack: &spec.Stack{Name: "cmpsr-probe-" + strconv.FormatUint(rand.Uint64(), 36)}}
	t.Cleanup(s.clean)
	s.network()
	return s
}

// network creates the stage's network, in a small subnet of its own: the engine has few large ones to give.
func (s *stage) network() {
	s.t.Helper()
	var err error
	for range 8 { // another test's network may overlap
		n := &spec.Network{Key: "default", Name: s.stack.Name + "_default", Create: network.CreateOptions{
			Labels: map[string]string{spec.LabelProject: s.stack.Name, spec.LabelNetwork: "default"},
			IPAM:   &network.IPAM{Config: []network.IPAMConfig{{Subnet: fmt.Sprintf("10.%d.%d.%d/28", 200+rand.N(50), rand.N(256), rand.N(16)*16)}}},
		}}
		if err = s.CreateNetwork(s.t.Context(), n); err == nil {
			s.stack.Networks = append(s.stack.Networks, n)
			return
		}
	}
	s.t.Fatal(err)
}

func (s *stage) clean() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	containers, err := s.Containers(ctx, s.stack.Name)
	if err != nil {
		s.t.Error(err)
	}
	for _, c := range containers {
		if err := s.Remove(ctx, c.ID, true); err != nil {
			s.t.Error(err)
		}
	}
	for _, n := range s.stack.Networks {
		if out, err := exec.CommandContext(ctx, "docker", "network", "rm", n.Name).CombinedOutput(); err != nil {
			s.t.Errorf("remove network %s: %v: %s", n.Name, err, out)
		}
	}
	if err := s.Close(); err != nil {
		s.t.Error(err)
	}
}

// service starts a container of a new service and returns its id.
func (s *stage) service(name, image string, change func(*spec.Container), argv ...string) string {
	s.t.Helper()
	svc := &spec.Service{Name: name, Image: image, Replicas: 1}
	s.stack.Services = append(s.stack.Services, svc)
	c := spec.Container{
		Service: name, Number: 1, Name: s.stack.Name + "-" + name + "-1",
		Config: &container.Config{Image: image, Cmd: argv, StopSignal: "SIGKILL", Labels: map[string]string{
			spec.LabelProject: s.stack.Name, spec.LabelService: name, spec.LabelNumber: "1", spec.LabelOneOff: "False",
		}},
		Host:     &container.HostConfig{NetworkMode: container.NetworkMode(s.stack.Name + "_default")},
		Networks: []spec.Endpoint{{Key: "default", Network: s.stack.Name + "_default", Settings: &network.EndpointSettings{Aliases: []string{name}}}},
	}
	if change != nil {
		change(&c)
	}
	id, err := s.CreateContainer(s.t.Context(), c.Name, c)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.Start(s.t.Context(), id); err != nil {
		s.t.Fatal(err)
	}
	return id
}

func (s *stage) look() *observe.Snapshot {
	s.t.Helper()
	snapshot, err := observe.Collect(s.t.Context(), s.Engine, s.stack)
	if err != nil {
		s.t.Fatal(err)
	}
	return snapshot
}

// probe gives a service one probe and makes it once.
func (s *stage) probe(service string, p spec.Probe) observe.ProbeResult {
	s.t.Helper()
	p.Interval, p.Timeout, p.Failures, p.Successes = time.Second, cmp.Or(p.Timeout, patient), 3, 1
	s.stack.Service(service).Policy.Probes = []spec.Probe{p}
	return s.once(service)
}

// once makes the probes of a service once; the first result counts.
func (s *stage) once(service string) observe.ProbeResult {
	s.t.Helper()
	prober := observe.NewProber(observe.ProberConfig{Engine: s.Engine, EngineHost: s.engineHost})
	defer prober.Close()
	results := prober.Once(s.t.Context(), s.stack, s.look(), service)
	if len(results) == 0 {
		s.t.Fatalf("%s has no probe", service)
	}
	return results[0]
}

// eventually waits for a condition that the engine or a container reaches on its own.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// published publishes a port of the container on a port of the host.
func published(port, on int) func(*spec.Container) {
	return func(c *spec.Container) {
		key := nat.Port(strconv.Itoa(port) + "/tcp")
		c.Config.ExposedPorts = nat.PortSet{key: {}}
		c.Host.PortBindings = nat.PortMap{key: {{HostIP: "127.0.0.1", HostPort: strconv.Itoa(on)}}}
	}
}

func check(t *testing.T, got observe.ProbeResult, want observe.ProbeState, says string) {
	t.Helper()
	if got.State != want || !strings.Contains(got.Detail, says) {
		t.Errorf("%s: got %s (%s), want %s saying %q", got.Kind, got.State, got.Detail, want, says)
	}
}

func TestProbesOfAWebServer(t *testing.T) {
	s := onEngine(t)
	port := ports.Free(t)
	id := s.service("web", busybox, published(8000, port), "sh", "-c",
		"mkdir /www && echo fine >/www/index.html && echo serving on 8000 && httpd -p 8000 -h /www && exec sleep 1000")
	s.service("dead", busybox, published(8000, ports.Free(t)), "sleep", "1000")
	s.service("other", busybox, nil, "sleep", "1000")
	url := "http://127.0.0.1:" + strconv.Itoa(port)
	eventually(t, "the web server answers", func() bool {
		return s.probe("web", spec.Probe{TCP: &spec.TCPProbe{Port: 8000}}).State == observe.ProbeOK
	})
	check(t, s.probe("web", spec.Probe{HTTP: &spec.HTTPProbe{URL: url, Body: "fine"}}), observe.ProbeOK, "answered 200")
	check(t, s.probe("web", spec.Probe{HTTP: &spec.HTTPProbe{URL: url + "/nothing"}}), observe.ProbeFailing, "answered 404")
	check(t, s.probe("web", spec.Probe{From: "network", HTTP: &spec.HTTPProbe{URL: "http://web:8000/"}}), observe.ProbeOK, "answered 200")
	check(t, s.probe("other", spec.Probe{From: "network", HTTP: &spec.HTTPProbe{URL: "http://web:8000/"}}), observe.ProbeOK, "answered 200")
	check(t, s.probe("web", spec.Probe{From: "network", HTTP: &spec.HTTPProbe{URL: "http://web:8001/"}}), observe.ProbeFailing, "connection refused")
	check(t, s.probe("web", spec.Probe{TCP: &spec.TCPProbe{Port: 8000}}), observe.ProbeOK, "127.0.0.1:"+strconv.Itoa(port))
	check(t, s.probe("dead", spec.Probe{TCP: &spec.TCPProbe{Port: 8000}}), observe.ProbeFailing, "connection refused")
	check(t, s.probe("web", spec.Probe{Exec: &spec.ExecProbe{Command: []string{"test", "-e", "/www"}}}), observe.ProbeOK, "")
	check(t, s.probe("web", spec.Probe{Exec: &spec.ExecProbe{Command: []string{"test", "-e", "/none"}}}), observe.ProbeFailing, "ended with 1")
	check(t, s.probe("web", spec.Probe{Exec: &spec.ExecProbe{Command: []string{"curl", url}}}), observe.ProbeUnknown, "cannot be run")
	check(t, s.probe("web", spec.Probe{Timeout: hasty, Exec: &spec.ExecProbe{Command: []string{"sleep", "1000"}}}), observe.ProbeFailing, "did not end within "+hasty.String())
	check(t, s.probe("web", spec.Probe{Log: &spec.LogProbe{Pattern: "^serving on [0-9]+"}}), observe.ProbeOK, "serving on 8000")
	check(t, s.probe("web", spec.Probe{Log: &spec.LogProbe{Pattern: "never"}}), observe.ProbeFailing, "no line")

	// A server that is stopped in its tracks still accepts: only an answer counts.
	if result, err := s.Exec(t.Context(), id, []string{"killall", "-STOP", "httpd"}); err != nil || result.ExitCode != 0 {
		t.Fatal(result, err)
	}
	check(t, s.probe("web", spec.Probe{Timeout: hasty, HTTP: &spec.HTTPProbe{URL: url}}), observe.ProbeFailing, "no answer within "+hasty.String())
	check(t, s.probe("web", spec.Probe{TCP: &spec.TCPProbe{Port: 8000}}), observe.ProbeOK, "")
}

// Where this host has no way into the network, programs of the containers ask. The image's wget cannot.
func TestProbesFromAnotherHost(t *testing.T) {
	s := onEngine(t)
	s.engineHost = "engine.invalid"
	s.service("web", busybox, nil, "sh", "-c", "mkdir /www && httpd -p 8000 -h /www && exec sleep 1000")
	s.service("front", busybox, nil, "sleep", "1000")
	s.service("db", postgres, keepsData(t, "POSTGRES_PASSWORD=x"), "postgres", "-c", "fsync=off")
	eventually(t, "the web server answers", func() bool {
		return s.probe("web", spec.Probe{From: "network", TCP: &spec.TCPProbe{Port: 8000}}).State == observe.ProbeOK
	})
	check(t, s.probe("web", spec.Probe{From: "network", TCP: &spec.TCPProbe{Port: 8001}}), observe.ProbeFailing, "inside the network")
	check(t, s.probe("web", spec.Probe{From: "network", HTTP: &spec.HTTPProbe{URL: "http://web:8000/"}}), observe.ProbeUnknown, "")
	eventually(t, "pg_isready says so", func() bool { return s.once("db").State == observe.ProbeOK })
}

// keepsData gives a PostgreSQL its environment and a directory of the test's own: the image's anonymous volume would stay.
func keepsData(t *testing.T, env ...string) func(*spec.Container) {
	t.Helper()
	data := t.TempDir()
	if err := os.Chmod(data, 0o777); err != nil {
		t.Fatal(err)
	}
	return func(c *spec.Container) {
		c.Config.Env, c.Host.Binds = env, []string{data + ":/var/lib/postgresql/data"}
	}
}
