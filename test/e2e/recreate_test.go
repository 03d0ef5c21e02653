package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"composure/spec"
	"composure/test/ports"
	"composure/test/rig"
)

// healthy is a service with a healthcheck that can be told to fail.
const healthy = `
services:
  web:
    image: composure-test/busybox:1
    command: [sleep, "1000"]
    restart: always
    stop_signal: SIGKILL
    healthcheck: {test: [CMD, "true"], interval: 1s, retries: 2}
    volumes: ['data:/data', /scratch]
volumes: {data: {}}
`

// TestFailedRecreationGoesBack: whatever is wrong with the new container, the old one is there again, the same one, and
// runs; the run says why; the file corrected, it deploys.
func TestFailedRecreationGoesBack(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	const command = `    command: [sleep, "1000"]`
	tests := []struct {
		name, old, new string
		why            string
		logs           string // of the failed container, which are kept
	}{
		{"command", command, `    command: [nonesuch]`, "nonesuch", ""},
		{"port", command, command + "\n    ports: ['127.0.0.1:" + port + ":80']", "address already in use", ""},
		{"unhealthy", `[CMD, "true"]`, `[CMD, "false"]`, "unhealthy", ""},
		{"crash", command, `    command: [sh, -c, "echo no such table; exit 9"]`, "exited with 9", "no such table"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newStack(t, "back-"+test.name, healthy)
			p.converge()
			p.docker("exec", p.container("web"), "sh", "-c", "echo kept > /data/row; echo kept > /scratch/row")
			before := p.inspect(p.container("web"))
			p.edit(test.old, test.new)
			run := p.wants(1, once(), "NOT converged", "web 1", test.why)
			after := p.inspect(p.container("web"))
			if after.ID != before.ID || !after.State.Running || after.HostConfig.RestartPolicy != before.HostConfig.RestartPolicy {
				t.Errorf("not back at the old container: %.12s running %v restart %s, was %.12s\n%s", after.ID, after.State.Running, after.HostConfig.RestartPolicy.Name, before.ID, run)
			}
			p.has("web-1")
			p.untilHealth(p.container("web"), "healthy")
			if test.logs != "" {
				p.captured(test.logs)
			}
			p.edit(test.new, test.old)
			p.converge()
			if p.id("web") != before.ID {
				t.Error("the old container did not stay")
			}
			p.edit(command, `    command: [sleep, "3000"]`)
			p.converge()
			if got := p.docker("exec", p.container("web"), "cat", "/data/row", "/scratch/row"); got != "kept\nkept" {
				t.Errorf("the data is gone: %q", got)
			}
		})
	}
}

// captured wants a text in a log that was kept in the state directory.
func (p *project) captured(text string) {
	p.t.Helper()
	files, err := filepath.Glob(filepath.Join(p.state, "captured", p.name, "*.log"))
	p.must(err)
	for _, file := range files {
		content, err := os.ReadFile(file)
		p.must(err)
		if strings.Contains(string(content), text) {
			return
		}
	}
	p.t.Errorf("%d logs were kept, none says %q", len(files), text)
}

// TestPortOfAnotherContainer: the name of the holder is not enough to touch it.
func TestPortOfAnotherContainer(t *testing.T) {
	t.Parallel()
	port := ports.Text(t)
	other := newStack(t, "holder", web+"    ports: ['127.0.0.1:"+port+":80']\n")
	other.converge()
	p := newStack(t, "wants-port", web)
	p.converge()
	before := p.id("web")
	p.edit("    restart: always\n", "    restart: always\n    ports: ['127.0.0.1:"+port+":80']\n")
	p.wants(1, once(), "web 1", "port is already allocated")
	if after := p.inspect(p.container("web")); after.ID != before || !after.State.Running {
		t.Error("not back at the old container")
	}
	other.clean()
}

// TestRolling: replicas are replaced one at a time, so that all but one run at any moment.
func TestRolling(t *testing.T) {
	t.Parallel()
	p := newStack(t, "roll", strings.Replace(healthy, "    restart: always\n", "    restart: always\n    scale: 3\n", 1))
	p.converge()
	before := p.ids()
	watch := p.watchRunning()
	p.edit("sleep, \"1000\"", "sleep, \"2000\"")
	p.converge()
	p.has("web-1", "web-2", "web-3")
	for _, id := range p.ids() {
		for _, old := range before {
			if id == old {
				t.Errorf("%.12s was not replaced", id)
			}
		}
	}
	if least, events := watch(3); least != 2 {
		t.Errorf("%d of 3 replicas ran at the least moment:\n%s", least, events)
	}
}

// TestRollingEndsAtTheFirstFailure: the other replicas are not given what has just failed.
func TestRollingEndsAtTheFirstFailure(t *testing.T) {
	t.Parallel()
	p := newStack(t, "rollbad", strings.Replace(healthy, "    restart: always\n", "    restart: always\n    scale: 3\n", 1))
	p.converge()
	before := p.ids()
	watch := p.watchRunning()
	p.edit(`[CMD, "true"]`, `[CMD, "false"]`)
	p.wants(1, once(), "NOT converged", "web 1", "unhealthy")
	if after := p.ids(); !slices.Equal(before, after) {
		t.Errorf("containers %v, were %v", after, before)
	}
	if least, events := watch(3); least != 2 || strings.Count(events, "start") != 2 {
		t.Errorf("expected one start and one way back:\n%s", events)
	}
	p.edit(`[CMD, "false"]`, `[CMD, "true"]`)
	p.converge()
}

// watchRunning follows the engine's events from now on. What it returns says how many containers ran at the least
// moment since, of so many at first. It returns when the events are followed, and counts when all have come until then.
func (p *project) watchRunning() func(running int) (least int, events string) {
	p.t.Helper()
	var out rig.Lines
	cmd := exec.Command("docker", "events", "--since", time.Now().Format(time.RFC3339Nano), "--filter", "type=container",
		"--filter", "event=create", "--filter", "event=start", "--filter", "event=die", "--format", `{{.Action}} {{index .Actor.Attributes "`+spec.LabelProject+`"}} {{.Actor.Attributes.name}}`)
	cmd.Stdout = &out
	p.must(cmd.Start())
	stop := sync.OnceFunc(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	p.t.Cleanup(stop)
	reached := func(mark string) { // what is heard of a container that is made has come after all that was before
		p.t.Helper()
		name := p.name + "-" + mark
		p.until("the engine tells of "+name, func() bool {
			p.docker("create", "--name", name, "composure-test/busybox:1", "true")
			p.docker("rm", name)
			return strings.Contains(out.String(), "create  "+name+"\n")
		})
	}
	reached("followed")
	return func(running int) (int, string) {
		p.t.Helper()
		reached("over")
		stop()
		least, events := running, ""
		for event := range strings.Lines(out.String()) {
			switch action, about, _ := strings.Cut(event, " "); {
			case !strings.HasPrefix(about, p.name+" ") || action == "create":
				continue
			case action == "start":
				running++
			default:
				running--
			}
			least, events = min(least, running), events+event
		}
		return least, events
	}
}

// beside is a service that sleeps, with a line of its own.
func beside(name, line string) string {
	return "  " + name + ":\n" + strings.TrimPrefix(web, "\nservices:\n  web:\n") + "    " + line + "\n"
}

// TestFollowers: a service in the network of another one is made anew with it, and finds itself there.
func TestFollowers(t *testing.T) {
	t.Parallel()
	p := newStack(t, "follow", web+"    hostname: first\n"+beside("side", "network_mode: service:web"))
	p.converge()
	p.edit("hostname: first", "hostname: second")
	p.converge()
	p.has("side-1", "web-1")
	if got := p.inspect(p.container("side")).HostConfig.NetworkMode; string(got) != "container:"+p.id("web") {
		t.Errorf("side is in the network of %s, web is %s", got, p.id("web"))
	}
	p.docker("rm", "-f", p.container("web"))
	p.wants(1, []string{"drift"})
	p.converge()
	if got := p.inspect(p.container("side")).HostConfig.NetworkMode; string(got) != "container:"+p.id("web") {
		t.Errorf("side is in the network of %s, web is %s", got, p.id("web"))
	}
	p.sameAfterCompose()
}

// TestFollowersOfOne: a command about one service leaves nobody cut off from its network.
func TestFollowersOfOne(t *testing.T) {
	t.Parallel()
	p := newStack(t, "joined", web+"    hostname: first\n"+
		beside("side", "network_mode: service:web")+
		beside("asks", "depends_on: {web: {condition: service_started, restart: true}}")+
		beside("stays", "depends_on: [web]"))
	p.converge()
	started := func(service string) string { return p.inspect(p.container(service)).State.StartedAt }
	stays := started("stays")
	p.edit("hostname: first", "hostname: second")
	for _, command := range [][]string{{"restart", "web"}, {"restart", "web", "--hard", "--force"}, once("web")} {
		asks := started("asks")
		p.wants(0, command)
		if p.docker("exec", p.container("side"), "cat", "/proc/net/route") == p.docker("exec", p.container("side"), "head", "-n", "1", "/proc/net/route") {
			t.Errorf("composure %v: side has no network", command)
		}
		if started("asks") == asks {
			t.Errorf("composure %v: asks depends on web with restart: true, and was not restarted", command)
		}
	}
	if started("stays") != stays {
		t.Error("stays was restarted")
	}
	p.wants(0, []string{"drift"})
}

// slow is a service that does not stop before /tmp/leave is there: a run that stops it is in the middle for as long as a test wants.
const slow = `
services:
  web:
    image: composure-test/busybox:1
    command: [sh, -c, "trap '' TERM; until test -e /tmp/leave; do sleep 0.1; done"]
    restart: always
    stop_grace_period: 5m
    environment: {VERSION: "1"}
`

// stopping runs the binary until it is about to stop the container of before, which goes on until leave.
func (p *project) stopping() (run *background, leave func()) {
	p.t.Helper()
	old := p.id("web")
	run = p.start(once()...)
	p.until("the old container is not to be started again", func() bool { return p.inspect(old).HostConfig.RestartPolicy.Name == "no" })
	return run, func() { p.docker("exec", old, "touch", "/tmp/leave") }
}

// TestLease: of two runs on one stack the second does nothing and names the first.
func TestLease(t *testing.T) {
	t.Parallel()
	p := newStack(t, "lease", slow)
	p.converge()
	p.edit(`VERSION: "1"`, `VERSION: "2"`)
	first, leave := p.stopping()
	p.wants(1, once(), "reconcile --once", fmt.Sprintf("pid %d", first.pid()))
	leave()
	p.answers(first.wait(), 0, "converged")
	p.has("web-1")
	p.clean()
}

// TestInterrupted: a run that is told to end in the middle of a recreation leaves a state that the next one completes.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			p := newStack(t, "signal-"+signal.String()[:4], slow)
			p.converge()
			p.edit(`VERSION: "1"`, `VERSION: "2"`)
			run, leave := p.stopping()
			p.must(run.cmd.Process.Signal(signal))
			leave()
			if r := run.wait(); r.code != 0 && r.code != 1 {
				t.Errorf("an interrupted run: %s", r)
			}
			if running := p.docker("ps", "-q", "--filter", "label="+spec.LabelProject+"="+p.name); running == "" {
				t.Errorf("the service is down:\n%s", p.ps())
			}
			p.converge()
			p.has("web-1")
		})
	}
}
