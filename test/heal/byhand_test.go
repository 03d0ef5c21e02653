package heal

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// web is a service that is well while /tmp/ill is not there, and canary one beside it.
const web = policy + `services:
  web:
    image: composure-test/busybox:1
    command: [sleep, "1000"]
    restart: unless-stopped
    stop_signal: SIGKILL
    mem_limit: 32m
    labels: {tier: front}
    healthcheck: {test: [CMD, test, "!", -e, /tmp/ill], interval: 1s, timeout: 5s, retries: 3}
  canary:
    image: composure-test/busybox:1
    command: [sleep, "1000"]
    restart: unless-stopped
    stop_signal: SIGKILL
`

// TestChangedByHand: what somebody does to containers behind its back is undone as soon as it is seen; limits and
// networks in place, without a restart.
func TestChangedByHand(t *testing.T) {
	t.Parallel()
	s := up(t, "byhand", web)
	w := s.watch()
	name := s.container("web")
	changes := []struct {
		name     string
		do       func()
		inPlace  bool
		incident bool
	}{
		{name: "memory lowered", inPlace: true, do: func() { s.docker("update", "--memory", "16m", "--memory-swap", "32m", name) }},
		{name: "network disconnected", inPlace: true, do: func() { s.docker("network", "disconnect", s.name+"_default", name) }},
		{name: "renamed", inPlace: true, do: func() { s.docker("rename", name, name+"x") }},
		{name: "another network connected", inPlace: true, do: func() {
			s.docker("network", "create", "--subnet", addresses(), s.name+"_other")
			s.docker("network", "connect", s.name+"_other", name)
		}},
		{name: "aliases lost", inPlace: true, do: func() {
			w.between(func() {
				s.docker("network", "disconnect", s.name+"_default", name)
				s.docker("network", "connect", s.name+"_default", name)
			})
		}},
		{name: "restart policy switched off", inPlace: true, do: func() { s.docker("update", "--restart", "no", name) }},
		{name: "healthcheck removed", do: func() { w.between(func() { s.withoutHealthcheck("web") }) }},
		{name: "stopped", incident: true, do: func() { s.docker("stop", name) }},
		{name: "removed", incident: true, do: func() { s.docker("rm", "-f", name) }},
	}
	for _, c := range changes {
		before, was := s.incidents(), s.instance("web")
		c.do()
		s.until(c.name+": undone", func() bool {
			if !s.well("web") || s.inspect("web").State.Health == nil {
				return false
			}
			code, _ := s.composure("drift")
			return code == 0
		})
		s.has("canary-1", "web-1")
		if same := s.instance("web") == was; same != c.inPlace {
			t.Errorf("%s: the same run of the container: %v, expected %v", c.name, same, c.inPlace)
		}
		if s.inspect("web").Config.Labels["tier"] != "front" {
			t.Errorf("%s: labels %v", c.name, s.inspect("web").Config.Labels)
		}
		if c.incident {
			s.over("web", before...)
		} else if len(s.incidents()) != len(before) {
			t.Errorf("%s: an incident of a service that was well all the time:\n%s", c.name, s.wants(0, []string{"incidents", "list"}))
		}
	}
}

// withoutHealthcheck replaces a service's container as a person in a hurry would: all labels kept, the healthcheck
// forgotten.
func (s *stack) withoutHealthcheck(service string) {
	s.t.Helper()
	c, name := s.inspect(service), s.container(service)
	args := []string{"run", "-d", "--name", name, "--network", s.name + "_default", "--network-alias", service, "--network-alias", name,
		"--memory", "32m", "--restart", "unless-stopped", "--stop-signal", "SIGKILL"}
	for label, value := range c.Config.Labels {
		args = append(args, "--label", label+"="+value)
	}
	s.docker("rm", "-f", name)
	s.docker(append(append(args, c.Config.Image), c.Config.Cmd...)...)
}

// TestLeftAlone: what people paused, one-shots that ended, maintenance and short hiccups are no faults, and what people
// did with docker compose is theirs.
func TestLeftAlone(t *testing.T) {
	t.Parallel()
	s := up(t, "alone", web+`  migrate:
    image: composure-test/busybox:1
    command: ["true"]
  closed:
    image: composure-test/busybox:1
    command: [sleep, "1000"]
    restart: unless-stopped
    stop_signal: SIGKILL
    x-composure: {maintenance: [{cron: "* * * * *", duration: 5m}]}
`)
	s.until("the migration done", func() bool { return s.inspect("migrate").State.Status == "exited" })
	w := s.watch()
	migrated, run := s.instance("migrate"), s.instance("web")

	// The engine's own restart policy comes first: a process that dies once is its business.
	s.must(syscall.Kill(s.inspect("web").State.Pid, syscall.SIGKILL))
	s.until("the engine restarts it", func() bool { return s.instance("web") != run && s.well("web") })
	s.canary()
	if n := s.inspect("web").RestartCount; n != 1 {
		t.Errorf("restarted %d times", n)
	}
	run = s.instance("web")

	// A replica that the file does not ask for is reported, and left to people.
	s.docker("run", "-d", "--name", s.name+"-web-2", "--network", "none", "--label", "com.docker.compose.project="+s.name, "--label", "com.docker.compose.service=web",
		"--label", "com.docker.compose.container-number=2", "--label", "com.docker.compose.oneoff=False", "--label", "com.docker.compose.config-hash=x", "composure-test/busybox:1", "sleep", "1000")
	s.canary()
	s.has("canary-1", "closed-1", "migrate-1", "web-1", "web-2")
	s.wants(1, []string{"drift"}, "web-2")
	s.docker("rm", "-f", s.name+"-web-2")

	// One failed check of three is a hiccup.
	s.docker("exec", s.container("web"), "touch", "/tmp/ill")
	s.until("a failed check", func() bool { return s.inspect("web").State.Health.FailingStreak > 0 })
	s.docker("exec", s.container("web"), "rm", "/tmp/ill")
	s.canary()
	if s.instance("web") != run {
		t.Error("a hiccup was answered with a restart")
	}

	s.docker("pause", s.container("web"))
	s.canary()
	if !s.inspect("web").State.Paused || s.instance("web") != run {
		t.Errorf("the paused container was not left alone\n%s", s.ps())
	}
	w.says("paused by hand")
	s.docker("unpause", s.container("web"))
	s.until("web well", func() bool { return s.well("web") })

	s.wants(0, []string{"pause", "web", "--reason", "migration"}, "paused")
	s.docker("kill", s.container("web"))
	s.canary()
	if s.inspect("web").State.Running {
		t.Error("composure pause was not respected")
	}
	w.says("migration")
	s.wants(0, []string{"resume", "web"})
	s.until("web well after the pause", func() bool { return s.well("web") })

	s.docker("kill", s.container("closed"))
	s.canary()
	if s.inspect("closed").State.Running {
		t.Error("the maintenance window was not respected")
	}
	w.says("maintenance window")
	if s.instance("migrate") != migrated {
		t.Error("a completed one-shot was run again")
	}
}

// composePeer is a docker compose, or "" where none is built.
func composePeer(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	peer := filepath.Join(cache, "composure", "bin", "docker-compose-v5.6.0")
	if _, err := os.Stat(peer); err != nil {
		t.Logf("docker compose is not built (hack/peers.sh)")
		return ""
	}
	return peer
}

// compose runs docker compose on the stack.
func (s *stack) compose(peer string, args ...string) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), peer, append([]string{"-p", s.name}, args...)...)
	cmd.Dir, cmd.Env = s.dir, s.env
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("docker compose %v: %v\n%s", args, err, out)
	}
}

// TestDockerCompose: docker compose recreates a container while the remediator watches; nobody fights anybody.
func TestDockerCompose(t *testing.T) {
	t.Parallel()
	peer := composePeer(t)
	s := up(t, "compose", web)
	s.watch()
	if peer == "" { // a restart by hand stands for it
		s.docker("restart", s.container("web"))
	} else {
		s.compose(peer, "up", "-d", "--pull", "never", "--force-recreate", "web")
	}
	run := s.instance("web")
	s.canary()
	s.has("canary-1", "web-1")
	if s.instance("web") != run {
		t.Errorf("what docker compose made was made again\n%s", s.ps())
	}
	if out := s.wants(0, []string{"incidents", "list", "web"}); !strings.Contains(out, "no incidents") {
		t.Errorf("a deployment by somebody else is no incident:\n%s", out)
	}
}
