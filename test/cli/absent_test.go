package cli

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"composure/test/rig"
)

// TestEngineComesLater: Composure is started before the engine, as at the boot of a host. It says so, is looked at and calls people
// meanwhile, and does its work once the engine answers. What is wrong with the files or with the address is said at once.
func TestEngineComesLater(t *testing.T) {
	t.Parallel()
	p := newProject(t, "later", `services:
  web:
    image: composure-test/busybox:1
    command: [sleep, "1000"]
    stop_signal: SIGKILL
    restart: always
    x-composure: {min_healthy: 1s}
`)
	socket := filepath.Join(p.dir, "engine.sock")
	said := map[string][]string{
		"start it (such as":      {"-H", "unix://" + socket, "reconcile", "--once"},
		"docker context ls":      {"--context", "nowhere-at-all", "reconcile"},
		"unknown scheme":         {"-H", "carrier-pigeon://roof", "reconcile"},
		"no such file":           {"-f", "nothing.yaml", "reconcile"},
		"start it (such as `sys": {"-H", "unix://" + socket, "drift"},
	}
	for text, args := range said {
		p.says(2, args, text)
	}

	var log rig.Lines
	cmd := p.command("--log-level", "info", "-H", "unix://"+socket, "reconcile", "--listen", "127.0.0.1:0")
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("it ended with %v", err)
		}
		for _, text := range []string{"the engine cannot be observed; waiting for it", "the engine answers, going on with what is remembered of it"} {
			if n := strings.Count(log.String(), text); n != 1 {
				t.Errorf("%q was said %d times", text, n)
			}
		}
		if t.Failed() {
			t.Logf("log of the remediator:\n%s", log.String())
		}
	}()
	at := p.served(&log)
	answers := func(path string, code int, text string) bool {
		got, answer := p.call("GET", at+path, "")
		return got == code && strings.Contains(answer, text)
	}
	wait := func(path string, code int, text string) {
		t.Helper()
		p.until(path+" says "+text, func() string { return log.String() }, func() bool { return answers(path, code, text) })
	}
	wait("/readyz", 503, "the engine has not answered since")
	wait("/api/v1/status", 503, "start it (such as `systemctl start docker`)")
	wait("/api/v1/incidents", 200, "engine_unreachable")
	wait("/", 503, "the engine has not answered since")

	if err := os.Symlink(strings.TrimPrefix(p.fence.Environment("reconcile"), "DOCKER_HOST=unix://"), socket); err != nil {
		t.Fatal(err)
	}
	wait("/readyz", 200, "ok")
	p.eventually("the stack is there", func() bool { return read[stackStatus](p, "status").of("web").State == "running" })
	found := read[incidents](p, "incidents", "list")
	if len(found.Incidents) != 1 || found.Incidents[0].Cause != "engine_unreachable" {
		t.Errorf("incidents: %+v", found)
	}
	wait("/api/v1/incidents", 200, found.Incidents[0].ID)

	// What is on record can be read, and a pause be said, while the engine is away; of an engine that nobody knows there is none.
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}
	at = "unix://" + socket
	p.says(0, []string{"-H", at, "incidents", "list"}, found.Incidents[0].ID, "does not answer")
	p.says(0, []string{"-H", at, "history"}, "does not answer")
	p.says(0, []string{"-H", at, "pause", "web", "--reason", "the engine is being upgraded"}, "web: paused")
	p.says(0, []string{"-H", at, "history"}, "the engine is being upgraded")
	p.says(2, []string{"-H", at, "status"}, "start it (such as")
	p.says(2, []string{"-H", at + "-unknown", "incidents", "list"}, "start it (such as")
}
