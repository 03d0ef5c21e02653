package heal

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"composure/test/ports"
)

// TestDeploymentWhileWatching: the deployment verb gets the stack from the remediator, which takes the new revision
// over.
func TestDeploymentWhileWatching(t *testing.T) {
	t.Parallel()
	s := up(t, "lease", web)
	s.watch()
	before := s.inspect("web").ID
	s.edit(`tier: front`, `tier: back`)
	s.deploy(0)
	run := s.instance("web")
	if s.inspect("web").ID == before || s.inspect("web").Config.Labels["tier"] != "back" {
		t.Fatalf("not deployed\n%s", s.ps())
	}
	s.canary()
	if s.instance("web") != run {
		t.Error("the remediator undid the deployment")
	}
	s.docker("rm", "-f", s.container("web"))
	s.until("web again", func() bool { return s.well("web") })
	if got := s.inspect("web").Config.Labels["tier"]; got != "back" {
		t.Errorf("healed to tier %s, deployed was back", got)
	}
	s.wants(0, []string{"drift"})
}

// TestFileEdited: an edit is only pending; a broken one leaves the last good state in force; with deploy: auto it is
// applied.
func TestFileEdited(t *testing.T) {
	t.Parallel()
	s := up(t, "edited", web)
	w := s.watch()
	run := s.instance("web")
	s.edit("tier: front", "tier: pending")
	w.says("read again")
	s.canary()
	if s.instance("web") != run {
		t.Error("an edit was deployed by itself")
	}
	s.wants(1, []string{"drift"}, "labels.tier")

	s.edit("services:", "servcies:")
	w.says("cannot be used")
	s.docker("kill", s.container("web"))
	s.until("web healed by the last good file", func() bool { return s.well("web") })
	if got := s.inspect("web").Config.Labels["tier"]; got != "front" {
		t.Errorf("tier %s after healing, expected the one last applied", got)
	}

	s.edit("servcies:", "services:")
	s.edit("min_healthy", "deploy: auto\n  min_healthy")
	s.until("the edit deployed", func() bool {
		c := s.look("web")
		return c != nil && c.Config.Labels["tier"] == "pending" && s.well("web")
	})
	s.has("canary-1", "web-1")
}

// slowStop is a service that takes its time to stop, since it does not listen to SIGTERM.
const slowStop = `services:
  web:
    image: composure-test/busybox:1
    command: [sh, -c, "trap '' TERM; while :; do sleep 1; done"]
    restart: unless-stopped
    stop_grace_period: 4s
    healthcheck: {test: [CMD, test, "!", -e, /tmp/ill], interval: 1s, timeout: 5s, retries: 2}
  canary:
    image: composure-test/busybox:1
    command: [sleep, "1000"]
    restart: unless-stopped
    stop_signal: SIGKILL
`

// TestToldToEnd: SIGTERM while a restart is under way ends it first; the next run finds nothing left to do.
func TestToldToEnd(t *testing.T) {
	t.Parallel()
	s := up(t, "term", policy+slowStop)
	w := s.watch()
	before := s.instance("web")
	s.docker("exec", s.container("web"), "touch", "/tmp/ill")
	w.says("step=\"restart ")
	s.must(w.cmd.Process.Signal(syscall.SIGTERM))
	w.ended()
	after := s.instance("web")
	if after == before || !s.inspect("web").State.Running {
		t.Errorf("the restart was not ended\n%s", s.ps())
	}
	s.docker("exec", s.container("web"), "rm", "-f", "/tmp/ill") // it restarted in place: the file is still there
	s.watch()
	s.until("web well", func() bool { return s.well("web") })
}

// TestKilledWhileHealing: kill -9 at each step of a hard restart. The next process ends it; the attempt counts once.
func TestKilledWhileHealing(t *testing.T) {
	t.Parallel()
	s := up(t, "killed", strings.Replace(with("deploy: manual"), "remediation: {", "remediation: {ladder: [hard, escalate], ", 1)+strings.TrimPrefix(web, policy))
	name := s.container("web")
	for _, operation := range []string{"capture logs of:", "rename:", "kill:", "start:"} {
		before, old := s.incidents(), s.inspect("web").ID
		step := operation + name
		if operation == "kill:" {
			step += ".old-" + old[:12]
		}
		w := s.watch("COMPOSURE_TEST_KILL_BEFORE=" + step)
		s.docker("exec", name, "touch", "/tmp/ill")
		select {
		case <-w.done:
		case <-time.After(patience):
			t.Fatalf("not killed before %s:\n%s", step, w.said())
		}
		if status, ok := w.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
			t.Fatalf("not killed before %s: %s\n%s", step, w.cmd.ProcessState, w.said())
		}
		w = s.watch()
		i := s.over("web", before...)
		s.has("canary-1", "web-1")
		if c := s.inspect("web"); c.ID == old || !s.well("web") || c.HostConfig.RestartPolicy.Name != "unless-stopped" {
			t.Errorf("killed before %s: not restarted hard\n%s", step, s.ps())
		}
		if i.Actions > 2 {
			t.Errorf("killed before %s: %d attempts are counted", step, i.Actions)
		}
		w.end()
	}
	s.wants(0, []string{"drift"})
}

// TestPortTaken: whoever holds the port is named; only a container that the policy names is stopped.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	policy := strings.Replace(with("stop_port_holders: ["+prefix+"ports-allowed]"), "reset: 1h", "reset: 1s", 1)
	s := newStack(t, "ports", map[string]string{"compose.yaml": policy + `services:
  web:
    image: composure-test/busybox:1
    command: [sleep, "1000"]
    restart: unless-stopped
    stop_signal: SIGKILL
    ports: ["127.0.0.1:${PORT}:8000"]
`})
	port := ports.Text(t)
	s.env = append(s.env, "PORT="+port)
	s.deploy(0)
	holders := []struct {
		name, told string
		take       func() (release func())
	}{
		{"a process of the host", fmt.Sprintf("process %d (", os.Getpid()), func() func() {
			l, err := net.Listen("tcp", "127.0.0.1:"+port)
			s.must(err)
			return func() { _ = l.Close() }
		}},
		{"a container of somebody else", prefix + "ports-foreign", func() func() { return s.hold("ports-foreign", port) }},
		{"a container that may be stopped", prefix + "ports-allowed", func() func() { s.hold("ports-allowed", port); return func() {} }},
	}
	for _, h := range holders {
		before := s.incidents()
		s.docker("kill", s.container("web"))
		release := h.take()
		w := s.watch()
		s.until(h.name+" named in the incident", func() bool {
			all := s.incidents()
			return len(all) > len(before) && strings.Contains(s.wants(0, []string{"incidents", "show", all[0].ID}), h.told)
		})
		if foreign, err := docker("inspect", "-f", "{{.State.Running}}", prefix+"ports-foreign"); err == nil && foreign != "true" {
			t.Error("a container of somebody else was stopped")
		}
		release()
		s.until("web well", func() bool { return s.well("web") })
		s.diagnosed(s.over("web", before...), "port_conflict")
		w.end()
	}
}

// hold starts a container outside the stack that holds a port, and returns what removes it.
func (s *stack) hold(name, port string) func() {
	s.t.Helper()
	s.docker("run", "-d", "--name", prefix+name, "-p", "127.0.0.1:"+port+":8000", "composure-test/busybox:1", "sleep", "1000")
	remove := func() { _, _ = docker("rm", "-f", prefix+name) }
	s.t.Cleanup(remove)
	return remove
}
