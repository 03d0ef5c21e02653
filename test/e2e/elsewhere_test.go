//go:build linux

package e2e

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// nobody is a user that is not root.
const nobody = 65534

// TestElsewhere: a person who may use the engine and is not root has another state directory than the service of root. What they
// tell Composure does not go past that service: nothing is touched, and they are told who it is and what to do.
func TestElsewhere(t *testing.T) {
	if image != "" || os.Geteuid() != 0 {
		t.Skip("this needs root, and the binary on this machine")
	}
	t.Parallel()
	p := newStack(t, "elsewhere", web)
	p.converge()
	socket := strings.TrimPrefix(cmp.Or(os.Getenv("DOCKER_HOST"), "unix:///var/run/docker.sock"), "unix://")
	info, err := os.Stat(socket)
	p.must(err)
	engine := info.Sys().(*syscall.Stat_t).Gid
	home := t.TempDir()
	for dir := home; dir != os.TempDir(); dir = filepath.Dir(dir) {
		p.must(os.Chmod(dir, 0o755))
	}
	p.must(os.Chown(home, nobody, nobody))
	own := filepath.Join(home, "composure")
	text, err := os.ReadFile(binary)
	p.must(err)
	p.must(os.WriteFile(own, text, 0o755))
	person := func(args ...string) result {
		cmd := p.command(args...)
		cmd.Path, cmd.Args[0], cmd.Args[4] = own, own, filepath.Join(home, "state")
		cmd.Env = append(cmd.Env, "HOME="+home, "RUNTIME_DIRECTORY="+home, "DOCKER_HOST=unix://"+socket)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody, Groups: []uint32{engine}}}
		return p.finish(cmd)
	}

	service := p.start("reconcile")
	p.until("root's service watches", func() bool { return p.composure("health").code == 0 })
	before := p.inspect(p.container("web"))
	for _, args := range [][]string{{"pause"}, {"status"}, {"restart", "web"}, {"restart", "web", "--hard"}, {"history"}, once()} {
		p.answers(person(args...), 2, `"reconcile"`, "of root", "in "+p.state, "as root")
	}
	p.answers(person("drift"), 0)
	p.wants(0, []string{"pause"}) // root's own command holds for root's service
	p.wants(0, []string{"resume"})
	if after := p.inspect(p.container("web")); after.ID != before.ID || after.State.StartedAt != before.State.StartedAt {
		t.Error("the service was touched")
	}

	p.must(service.cmd.Process.Signal(syscall.SIGTERM))
	service.wait()
	p.answers(person("restart", "web"), 0, "restarted")
}
