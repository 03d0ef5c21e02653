//go:build linux

// Package unit runs the systemd unit under a real systemd, in a container beside the stack that the unit looks after.
package unit

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"composure/test/rig"
)

// stack is looked after by the unit; every service runs until somebody ends it.
const stack = `
name: cmpsr-unit
x-composure:
  min_healthy: 1s
  remediation: {stable: 2s, backoff: {initial: 1s, factor: 2, max: 2s}}
services:
  web:
    image: composure-test/busybox:1
    command: [sleep, "100000"]
    restart: "no"
    stop_signal: SIGKILL
`

const (
	host    = "cmpsr-unit-systemd" // the container that systemd runs in
	service = "composure@srv-shop"
)

// hurried has the watchdog bark early: the unit's own five minutes are for a real host. Lowering the score that the kernel
// ends processes by needs a capability that not every machine can give a container.
const hurried = `[Service]
WatchdogSec=40s
OOMScoreAdjust=0
`

// machine is a host with systemd, and a stack in its /srv/shop.
type machine struct {
	*rig.Stack
}

// TestUnit takes the unit through the life of a service: it starts, heals, reads its file again, is killed, hangs, waits
// for an engine, and is stopped.
func TestUnit(t *testing.T) {
	m := boot(t)
	m.systemd("start", service) // ends when the unit has said that it is ready
	m.state("active")
	if text := m.systemd("status", "--no-pager", service); !strings.Contains(text, `Status: "watching cmpsr-unit`) {
		t.Errorf("systemctl status does not say what it does:\n%s", text)
	}
	m.heals()

	m.Edit(`"no"`, `"sometimes"`)
	m.systemd("reload", service)
	m.journal("sometimes")
	m.Edit(`"sometimes"`, `"no"`)
	m.systemd("reload", service)

	tries := m.attempts()
	m.systemd("kill", "--kill-whom=main", "--signal=KILL", service)
	m.restarted(1)
	m.heals()
	if after := m.attempts(); after <= tries {
		t.Errorf("%d attempts on record after a kill, and %d before: something was forgotten", after, tries)
	}

	m.systemd("kill", "--kill-whom=main", "--signal=STOP", service)
	m.restarted(2)
	m.heals()

	id := m.Inspect("web").ID
	m.systemd("stop", service)
	m.state("inactive")
	if how := m.systemd("show", "--property=Result", "--value", service); how != "success" {
		t.Errorf("it ended with %s", how)
	}
	if c := m.Inspect("web"); c == nil || c.ID != id || !c.State.Running {
		t.Error("the stack did not stay as it was when the unit was stopped")
	}

	m.sh("mv /host/engine.sock /host/away.sock")
	before := m.restarts()
	m.systemd("start", service) // ready without an engine, which it waits for
	m.state("active")
	if text := m.systemd("status", "--no-pager", service); !strings.Contains(text, "but could not look") {
		t.Errorf("systemctl status does not say what it waits for:\n%s", text)
	}
	m.sh("mv /host/away.sock /host/engine.sock")
	m.heals()
	if m.restarts() != before {
		t.Errorf("systemd has started it again instead")
	}
}

// boot starts systemd and deploys the stack; nothing looks after it yet.
func boot(t *testing.T) machine {
	m := machine{rig.New(t, rig.System(), "cmpsr-unit", stack)}
	binary := filepath.Join(t.TempDir(), "composure")
	build := exec.Command("go", "build", "-o", binary, "composure/cmd/composure")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	m.Docker("run", "-d", "--name", host, "--cgroupns", "host", "--security-opt", "seccomp=unconfined",
		"--cap-add", "SYS_ADMIN", "--cap-add", "SYS_PTRACE", "--cap-add", "DAC_READ_SEARCH",
		"--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp", "-v", "/sys/fs/cgroup:/sys/fs/cgroup",
		"-v", socket(t)+":/mnt/engine.sock", "-v", m.Dir+":/srv/shop", "-v", binary+":/usr/local/bin/composure:ro",
		"composure-test/systemd:1")
	m.Until("systemd is up", func() bool {
		out, _ := m.Engine.Docker("exec", host, "systemctl", "is-system-running")
		return strings.HasPrefix(out, "running") || strings.HasPrefix(out, "degraded")
	})
	m.Docker("cp", "../../hack/composure.service", host+":/etc/systemd/system/composure@.service")
	m.sh("mkdir -p /host /etc/systemd/system/" + service + ".service.d && ln -s /mnt/engine.sock /host/engine.sock")
	m.sh("printf '%s' '" + hurried + "' > /etc/systemd/system/" + service + ".service.d/hurried.conf")
	m.sh(`echo 'DOCKER_HOST=unix:///host/engine.sock
COMPOSURE_FLAGS="--interval 10s"' > /etc/default/composure`)
	m.systemd("daemon-reload")
	m.sh("cd /srv/shop && DOCKER_HOST=unix:///host/engine.sock composure reconcile --once")
	return m
}

// socket is where the engine listens.
func socket(t *testing.T) string {
	address := os.Getenv("DOCKER_HOST")
	if address == "" {
		return "/var/run/docker.sock"
	}
	path, local := strings.CutPrefix(address, "unix://")
	if !local {
		t.Fatalf("the unit's test needs an engine on this machine, not %s", address)
	}
	return path
}

func (m machine) sh(script string) string {
	m.T.Helper()
	return m.Docker("exec", host, "sh", "-c", script)
}

func (m machine) systemd(args ...string) string {
	m.T.Helper()
	return m.Docker(append([]string{"exec", host, "systemctl"}, args...)...)
}

// is the state of the unit; systemctl's exit status says it once more.
func (m machine) is() string {
	return m.systemd("show", "--property=ActiveState", "--value", service)
}

func (m machine) state(want string) {
	m.T.Helper()
	if is := m.is(); is != want {
		m.T.Fatalf("the unit is %s, expected %s\n%s", is, want, m.log())
	}
}

func (m machine) log() string {
	return m.sh("journalctl --no-pager -o cat -u " + service)
}

// journal waits until the unit has said something.
func (m machine) journal(text string) {
	m.T.Helper()
	m.Until("the journal has "+text, func() bool { return strings.Contains(m.log(), text) })
}

// restarts counts how often systemd has started the unit again by itself.
func (m machine) restarts() int {
	n, err := strconv.Atoi(m.systemd("show", "--property=NRestarts", "--value", service))
	m.Must(err)
	return n
}

// restarted waits until systemd has started the unit again n times, and it runs.
func (m machine) restarted(n int) {
	m.T.Helper()
	m.Until("systemd has started the unit again", func() bool { return m.restarts() >= n && m.is() == "active" })
}

// attempts counts what is on record of the stack.
func (m machine) attempts() int {
	return strings.Count(m.sh("cd /srv/shop && DOCKER_HOST=unix:///host/engine.sock composure history"), "start")
}

// heals has the unit bring back what was killed.
func (m machine) heals() {
	m.T.Helper()
	before := m.Inspect("web").State.StartedAt
	m.Docker("kill", m.Container("web"))
	m.Until("web runs again", func() bool {
		c := m.Inspect("web")
		return c != nil && c.State.Running && c.State.StartedAt != before
	})
}
