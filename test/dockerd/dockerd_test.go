//go:build linux

package dockerd

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"composure/test/ports"
)

// TestEngine: a private daemon runs containers whose published ports are its own, and does under every end what the
// machine's would do.
func TestEngine(t *testing.T) {
	e := Start(t, Options{Images: []string{"composure-test/busybox:1"}})
	free := ports.Text(t) // on the machine
	address := "127.0.0.1:" + free
	run(t, e, "run", "-d", "--name", "keeps", "--restart", "always", "--stop-signal", "SIGKILL", "-p", address+":8080", "composure-test/busybox:1", "httpd", "-f", "-p", "8080", "-h", "/etc")
	run(t, e, "run", "-d", "--name", "stays-down", "composure-test/busybox:1", "sleep", "1000")

	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) { // a container runs before its program listens
		page := e.Command("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/"+free+` && printf 'GET /version HTTP/1.0\r\n\r\n' >&3 && cat <&3`)
		out, err := page.CombinedOutput()
		if err == nil && strings.Contains(string(out), "200 OK") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the published port is not reached on its host: %v: %s", err, out)
		}
	}
	if c, err := net.Dial("tcp", address); err == nil {
		c.Close()
		t.Error("the published port is open on the machine")
	}

	first := started(t, e, "keeps")
	must(t, e.LiveRestore(true))
	must(t, e.Restart())
	if now := started(t, e, "keeps"); now != first {
		t.Errorf("live-restore: started at %s, was %s", now, first)
	}
	must(t, e.Kill9())
	must(t, e.Up())
	if now := started(t, e, "keeps"); now != first {
		t.Errorf("live-restore and kill -9: started at %s, was %s", now, first)
	}

	must(t, e.LiveRestore(false))
	must(t, e.Restart())
	if now := started(t, e, "keeps"); now == first {
		t.Error("without live-restore the container was not started anew")
	}
	if state := run(t, e, "inspect", "--format", "{{.State.Status}}", "stays-down"); state != "exited" {
		t.Errorf("without a restart policy: %s", state)
	}

	must(t, e.Stop())
	if e.answers() {
		t.Error("a halted daemon answers")
	}
	must(t, e.Cont())
	run(t, e, "version")
	if out, err := e.CommandIn("/etc", "pwd").Output(); err != nil || strings.TrimSpace(string(out)) != "/etc" {
		t.Errorf("a command runs in %q, %v", out, err)
	}

	must(t, e.Close())
	if _, err := os.Stat(e.dir); !os.IsNotExist(err) {
		t.Errorf("the data is still there: %v", err)
	}
}

func run(t *testing.T, e *Engine, args ...string) string {
	t.Helper()
	out, err := e.Docker(args...)
	must(t, err)
	return out
}

func started(t *testing.T, e *Engine, name string) string {
	t.Helper()
	return run(t, e, "inspect", "--format", "{{.State.Running}} {{.State.StartedAt}}", name)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
