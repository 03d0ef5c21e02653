package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// newImage makes the container image of the program under test.
func newImage(t *testing.T) string {
	t.Helper()
	tag := fmt.Sprintf("%scomposure:%d", prefix, os.Getpid())
	cmd := exec.Command("../../hack/image.sh", tag)
	cmd.Env = append(os.Environ(), "BINARY="+binary, "VERSION=v9.9.9-test", "COMMIT=0123456789abcdef", "DATE=2026-11-25T10:00:00Z")
	t.Cleanup(func() { _, _ = docker("image", "rm", "--force", tag) })
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("hack/image.sh: %v\n%s", err, out)
	}
	return tag
}

// TestImage runs Composure from its own image, as hack/compose.composure.yaml does it, beside a stack and inside of it.
func TestImage(t *testing.T) {
	t.Parallel()
	tag := newImage(t)
	p := newStack(t, "image", "services:\n  web: {image: 'composure-test/busybox:1', command: sleep 1000, restart: 'no', stop_grace_period: 0s, mem_limit: 32m}\n")
	snippet, err := os.ReadFile("../../hack/compose.composure.yaml")
	p.must(err)
	p.write(map[string]string{
		"compose.composure.yaml": string(snippet),
		"quick.yaml":             "services: {composure: {healthcheck: {interval: 500ms}}}\n", // the image's check, more often
	})
	beside := p.beside(tag)

	p.sub("it says what it is", func() {
		says := func(code int, text string, args ...string) {
			p.t.Helper()
			cmd := exec.Command("docker", append([]string{"run", "--rm", tag}, args...)...)
			out, _ := cmd.CombinedOutput()
			if cmd.ProcessState.ExitCode() != code || !strings.Contains(string(out), text) {
				p.t.Errorf("%v: exit %d, expected %d and %q\n%s", args, cmd.ProcessState.ExitCode(), code, text, out)
			}
		}
		says(0, "reconcile", "--help")
		says(1, "no remediator runs here", "health")
		says(2, "no compose file", "drift")
		var labels map[string]string
		p.must(json.Unmarshal([]byte(p.docker("image", "inspect", "--format", "{{json .Config.Labels}}", tag)), &labels))
		for name, want := range map[string]string{"title": "composure", "version": "v9.9.9-test", "revision": "0123456789abcdef", "created": "2026-11-25T10:00:00Z", "licenses": "Apache-2.0"} {
			if got := labels["org.opencontainers.image."+name]; got != want {
				p.t.Errorf("label %s is %q, expected %q", name, got, want)
			}
		}
		if layers := p.docker("image", "inspect", "--format", "{{len .RootFS.Layers}}", tag); layers != "1" {
			p.t.Errorf("%s layers, expected one: it is made from scratch", layers)
		}
		made := p.docker("create", "--name", p.name+"-files", tag)
		if found := p.docker("cp", made+":/etc/ssl/certs/ca-certificates.crt", filepath.Join(p.dir, "ca.crt")); found != "" {
			p.t.Log(found)
		}
		if text, err := os.ReadFile(filepath.Join(p.dir, "ca.crt")); err != nil || !strings.Contains(string(text), "BEGIN CERTIFICATE") {
			p.t.Errorf("no certificates of authorities in the image: %v", err)
		}
		p.docker("rm", made)
	})

	p.sub("beside a stack it heals what is killed", func() {
		beside.t = p.t
		p.converge()
		beside.wants(0, once())
		own := beside.container("composure")
		beside.untilHealth(own, "healthy")
		killed := p.inspect(p.container("web")).State.StartedAt
		p.docker("kill", p.container("web"))
		p.until("web runs again", func() bool {
			s := p.inspect(p.container("web")).State
			return s.Running && s.StartedAt != killed
		})
		said := p.docker("exec", own, "composure", "history", "web")
		if !strings.Contains(said, "start") {
			p.t.Errorf("its history does not tell of the start:\n%s", said)
		}
		p.wants(0, []string{"status"}, "in the hands of reconcile, pid") // the state is shared with the host
	})

	p.sub("where it does not see the host's processes it asks the engine for memory", func() {
		out, err := docker("run", "--rm", "--network", "host", "--volume", os.TempDir()+":"+os.TempDir(), "--workdir", p.dir, "--env", p.fence.Environment("status"),
			tag, "-p", p.name, "--state-dir", p.state, "status", "-o", "json")
		var seen struct {
			Services []struct {
				Memory      int64
				MemoryLimit int64 `json:"memory_limit"`
			}
		}
		if err == nil {
			err = json.Unmarshal([]byte(out), &seen)
		}
		if err != nil || len(seen.Services) != 1 || seen.Services[0].Memory == 0 || seen.Services[0].MemoryLimit != 32<<20 {
			p.t.Errorf("%v: %+v\n%s", err, seen, out)
		}
	})

	p.sub("it does not touch its own container", func() {
		beside.t = p.t
		own := beside.container("composure")
		p.docker("update", "--memory", "128m", "--memory-swap", "128m", own)
		before := p.inspect(own)
		inside := []string{"exec", "--env", "COMPOSE_PROJECT_NAME=" + beside.name, "--env", "STACK_DIR=" + p.dir, "--env", "STACK_NAME=" + p.name,
			"--env", "COMPOSURE_IMAGE=" + tag, "--env", "COMPOSURE_STATE=" + p.state, own, "composure", "-f", "compose.composure.yaml", "-f", "quick.yaml"}
		for _, command := range [][]string{once(), {"restart", "composure", "--hard", "--force"}} {
			out, err := docker(append(inside, command...)...)
			if err == nil || !strings.Contains(out, "Composure runs in this container and does not touch it") {
				p.t.Errorf("%v: %v\n%s", command, err, out)
			}
		}
		out, err := docker(append(inside[:len(inside)-4], append([]string{"-f", "compose.yaml"}, once("--prune")...)...)...)
		if err != nil && !strings.Contains(out, "does not touch it") {
			p.t.Errorf("as an orphan: %v\n%s", err, out)
		}
		if after := p.inspect(own); after.ID != before.ID || after.State.StartedAt != before.State.StartedAt || after.HostConfig.Memory != 128<<20 {
			p.t.Errorf("it was touched: %s, started %s, memory %d", after.ID, after.State.StartedAt, after.HostConfig.Memory)
		}
		beside.wants(0, once()) // from outside it is a container like any other
		if after := p.inspect(own); after.HostConfig.Memory != 256<<20 {
			p.t.Errorf("memory %d, expected what the file says", after.HostConfig.Memory)
		}
	})

	p.sub("it ends when it is told to", func() {
		own := beside.container("composure")
		p.docker("stop", own)
		if s := p.inspect(own).State; s.ExitCode != 0 || s.OOMKilled {
			p.t.Errorf("it ended with %d\n%s", s.ExitCode, p.docker("logs", "--tail", "20", own))
		}
	})
}

// beside is the project of hack/compose.composure.yaml in the project's directory, as the operator deploys it.
func (p *project) beside(tag string) *project {
	b := *p
	b.name += "-op"
	b.state = p.t.TempDir()
	b.flags = []string{"-f", "compose.composure.yaml", "-f", "quick.yaml"}
	b.env = append([]string{"COMPOSURE_IMAGE=" + tag, "COMPOSURE_STATE=" + p.state, "STACK_DIR=" + p.dir, "STACK_NAME=" + p.name, "PWD=" + p.dir}, p.env...)
	sweep(b.name)
	p.t.Cleanup(func() { sweep(b.name) })
	return &b
}
