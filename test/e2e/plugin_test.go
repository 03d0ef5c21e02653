package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDockerPlugin calls the program through the docker CLI, as `docker composure`.
func TestDockerPlugin(t *testing.T) {
	t.Parallel()
	p := newStack(t, "plugin", "services:\n  web: {image: 'composure-test/busybox:1', command: sleep 1000, stop_grace_period: 0s}\n")
	config := t.TempDir()
	p.must(os.Mkdir(filepath.Join(config, "cli-plugins"), 0o755))
	p.must(os.Symlink(binary, filepath.Join(config, "cli-plugins", "docker-composure")))
	call := func(args ...string) *exec.Cmd {
		cmd := exec.Command("docker", append([]string{"--config", config}, args...)...)
		cmd.Dir, cmd.Env = p.dir, append(p.env, "COMPOSE_PROJECT_NAME="+p.name)
		return cmd
	}
	says := func(code int, text string, args ...string) {
		t.Helper()
		cmd := call(args...)
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != code || !strings.Contains(string(out), text) {
			t.Errorf("docker %s: exit %d, expected %d and %q\n%s", strings.Join(args, " "), got, code, text, out)
		}
	}

	says(0, "composure*", "--help")
	says(0, "docker composure drift [SERVICE...]", "composure", "drift", "--help")
	says(0, "web\n", "__complete", "composure", "restart", "")
	says(1, "exists → missing", "composure", "--state-dir", p.state, "drift")
	says(0, "converged", "composure", "--state-dir", p.state, "reconcile", "--once")
	says(0, "no drift", "composure", "--state-dir", p.state, "drift")

	// What the docker CLI was told about the engine holds for its plugin.
	says(2, "no.sock (from --host)", "-H", "unix://"+config+"/no.sock", "composure", "drift")
	says(0, "", "context", "create", "elsewhere", "--docker", "host=unix://"+config+"/elsewhere.sock")
	says(2, "elsewhere.sock (from context \"elsewhere\"", "--context", "elsewhere", "composure", "drift")
	says(2, config+"/ca.pem", "--tlsverify", "-H", "tcp://127.0.0.1:1", "composure", "drift")

	p.sub("a signal to the docker CLI ends its plugin", func() {
		holder := func() string {
			var status struct{ Holder string }
			p.must(json.Unmarshal([]byte(p.wants(0, []string{"status", "-o", "json"}).stdout), &status))
			return status.Holder
		}
		cmd := call("composure", "--state-dir", p.state, "reconcile")
		p.must(cmd.Start())
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		p.until("the plugin has the stack", func() bool { return strings.HasPrefix(holder(), "reconcile") })
		p.must(cmd.Process.Signal(syscall.SIGTERM))
		select {
		case err := <-ended:
			p.must(err)
		case <-time.After(time.Minute):
			_ = cmd.Process.Kill()
			p.t.Fatal("it goes on after a minute")
		}
		if h := holder(); h != "" {
			p.t.Errorf("the stack is still in the hands of %s", h)
		}
	})
}
