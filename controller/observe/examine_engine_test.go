package observe_test

import (
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"composure/controller/observe"
	"composure/spec"
	"composure/test/ports"
)

// examine collects the evidence of a service's only container.
func (s *stage) examine(service string, needs ...observe.Need) observe.Evidence {
	s.t.Helper()
	found := observe.NewExaminer(observe.ExaminerConfig{Engine: s.Engine}).Examine(s.t.Context(), s.stack, s.look(), service, needs)
	if len(found) != 1 {
		s.t.Fatalf("%d evidences of %s", len(found), service)
	}
	return found[0]
}

func TestEvidenceOfAServer(t *testing.T) {
	s := onEngine(t)
	port := ports.Free(t)
	s.service("web", busybox, func(c *spec.Container) {
		published(8000, port)(c)
		c.Config.Env = []string{"API_TOKEN=squeamish-ossifrage"}
		c.Host.Memory = 64 << 20
		c.Config.Healthcheck = &container.HealthConfig{Test: []string{"CMD-SHELL", "echo got $API_TOKEN; exit 1"}, Interval: time.Second}
	}, "sh", "-c", "echo starting with $API_TOKEN; mkdir /www; httpd -p 8000 -h /www; httpd -p 127.0.0.1:8001 -h /www; yes >/dev/null & exec sleep 1000")
	s.stack.Service("web").Ports = []spec.Port{{HostIP: "127.0.0.1", Published: strconv.Itoa(port), Target: 8000, Protocol: "tcp"}}
	s.stack.Service("web").Policy.Probes = []spec.Probe{
		{TCP: &spec.TCPProbe{Port: 8001}, Interval: time.Second, Timeout: time.Second, Failures: 3, Successes: 1},
		{TCP: &spec.TCPProbe{Port: 8002}, Interval: time.Second, Timeout: time.Second, Failures: 3, Successes: 1},
	}
	s.service("front", busybox, nil, "sleep", "1000")
	all := []observe.Need{
		observe.NeedLogs, observe.NeedStats, observe.NeedProcesses, observe.NeedPorts, observe.NeedProbes, observe.NeedDatabase,
		observe.NeedPeers, observe.NeedDisk, observe.NeedCheck,
	}
	var e observe.Evidence
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("gaps %v", e.Gaps)
		}
	})
	eventually(t, "the server listens, was checked, what is busy in it had its turn on a busy machine, and all was looked at in time", func() bool {
		e = s.examine("web", all...)
		return len(e.Gaps) == 0 && len(e.Health) > 0 && len(e.Ports) == 3 && is(e.Ports[1].Listening) && e.Stats != nil && e.Stats.CPU > 0
	})
	if e.Database != nil {
		t.Errorf("database %v", e.Database)
	}
	if len(e.Log) != 1 || e.Log[0] == "" || strings.Contains(e.Log[0], "ossifrage") || e.LastLog.IsZero() {
		t.Errorf("log %q, last at %s", e.Log, e.LastLog)
	}
	if strings.Contains(e.Health[0].Output, "ossifrage") || e.Health[0].ExitCode != 1 {
		t.Errorf("health %+v", e.Health[0])
	}
	if e.Check == nil || e.Check.ExitCode != 1 || !strings.HasPrefix(e.Check.Output, "got ") || strings.Contains(e.Check.Output, "ossifrage") {
		t.Errorf("the healthcheck made by hand: %+v", e.Check)
	}
	if e.Stats == nil || e.Stats.MemoryLimit != 64<<20 || e.Stats.MemoryUsage <= 0 || e.Stats.MemoryUsage > 64<<20 || e.Stats.PIDs < 3 || e.Stats.CPUUnknown || e.Stats.CPU <= 0 {
		t.Errorf("stats %+v", e.Stats)
	}
	if !hasProcess(e, "httpd -p 8000") {
		t.Errorf("processes %+v", e.Processes)
	}
	if len(e.Disks) == 0 || e.Disks[0].Path != "/" || e.Disks[0].Free <= 0 || e.Disks[0].Size < e.Disks[0].Free {
		t.Errorf("disks %+v", e.Disks)
	}
	open, local, closed := e.Ports[0], e.Ports[1], e.Ports[2]
	if !is(open.Listening) || !open.Mapped || !is(open.Reachable) || !is(open.Network) || open.Holder != (observe.Holder{}) {
		t.Errorf("8000: %+v", open)
	}
	if !is(local.Listening) || !isNot(local.Reachable) || !isNot(local.Network) || !strings.Contains(local.Detail, "loopback") {
		t.Errorf("8001: %+v", local)
	}
	if !isNot(closed.Listening) || !isNot(closed.Reachable) || !isNot(closed.Network) || !strings.Contains(closed.Detail, "connection refused") {
		t.Errorf("8002: %+v", closed)
	}
	if len(e.Probes) != 2 || e.Probes[0].State != observe.ProbeFailing {
		t.Errorf("probes %+v", e.Probes)
	}
}

func is(fact *bool) bool    { return fact != nil && *fact }
func isNot(fact *bool) bool { return fact != nil && !*fact }

func hasProcess(e observe.Evidence, command string) bool {
	for _, p := range e.Processes {
		if p.PID > 0 && strings.Contains(p.Command, command) {
			return true
		}
	}
	return false
}

func TestHolderOfAPort(t *testing.T) {
	s := onEngine(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	byProcess, byContainer := listener.Addr().(*net.TCPAddr).Port, ports.Free(t)
	s.service("rival", busybox, published(80, byContainer), "sleep", "1000")
	for name, port := range map[string]int{"loser": byProcess, "second": byContainer} {
		s.stack.Services = append(s.stack.Services, &spec.Service{Name: name, Image: busybox, Replicas: 1, Ports: []spec.Port{
			{HostIP: "127.0.0.1", Published: strconv.Itoa(port), Target: 80, Protocol: "tcp"},
		}})
	}
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	want := observe.Holder{PID: os.Getpid(), Command: strings.TrimSpace(string(comm))}
	if got := s.examine("loser", observe.NeedPorts).Ports; len(got) != 1 || got[0].Holder != want {
		t.Errorf("held by a process: got %+v, want %+v", got, want)
	}
	want = observe.Holder{Container: s.stack.Name + "-rival-1"}
	if got := s.examine("second", observe.NeedPorts).Ports; len(got) != 1 || got[0].Holder != want {
		t.Errorf("held by a container: got %+v, want %+v", got, want)
	}
}

func TestMemorySamples(t *testing.T) {
	s := onEngine(t)
	id := s.service("idle", busybox, nil, "sleep", "1000")
	m := observe.NewMemorySampler(s.Engine)
	snapshot := s.look()
	if !m.Sample(t.Context(), snapshot) || m.Sample(t.Context(), snapshot) {
		t.Error("it samples at once, and not again within a minute")
	}
	if got := m.Samples(); len(got) != 1 || got[id].MemoryUsage <= 0 {
		t.Errorf("samples %+v", got)
	}
}
