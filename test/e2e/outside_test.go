package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// built is a docker compose, or "" where that is not built.
func built(t *testing.T, generation string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	peer := filepath.Join(cache, "composure", "bin", "docker-compose-"+generation)
	if _, err := os.Stat(peer); err != nil {
		t.Logf("docker compose %s is not built (hack/peers.sh): this proof runs where it is", generation)
		return ""
	}
	return peer
}

// compose runs docker compose on the project.
func (p *project) compose(peer string, args ...string) {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), peer, append([]string{"-p", p.name}, args...)...)
	cmd.Dir, cmd.Env = p.dir, p.env
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("docker compose %v: %v\n%s", args, err, out)
	}
}

// TestDeployedOutside: somebody deploys with docker compose while the remediator runs. That is taken over, with the image, and not
// undone; what was taken out of the file is not made again.
func TestDeployedOutside(t *testing.T) {
	for _, generation := range []string{"v2.40.3", "v5.6.0"} {
		t.Run(generation, func(t *testing.T) {
			peer := built(t, generation)
			if peer == "" {
				return
			}
			t.Parallel()
			p := newStack(t, "outside-"+generation[1:2], strings.Replace(web, "composure-test/busybox:1", prefix+"outside"+generation[1:2]+":latest", 1)+`  old:
    image: composure-test/busybox:1
    command: [sleep, "1000"]
    restart: always
    stop_signal: SIGKILL
`)
			image := prefix + "outside" + generation[1:2] + ":latest"
			p.docker("tag", "composure-test/busybox:1", image)
			t.Cleanup(func() { _, _ = docker("rmi", image) })
			deploy := func(args ...string) {
				t.Helper()
				p.compose(peer, append([]string{"up", "-d", "--pull", "never", "-t", "0"}, args...)...)
			}
			revisions := func() int { return strings.Count(p.composure("history").stdout, " outside ") }
			deploy()
			p.start("reconcile")
			p.until("it knows what is applied", func() bool { return strings.Contains(p.composure("history").stdout, " adopt ") })

			p.edit(`command: [sleep, "1000"]`, `command: [sleep, "2000"]`)
			deploy()
			id := p.id("web")
			p.until("the edit is taken over", func() bool { return revisions() == 1 })
			p.docker("tag", "composure-test/busybox:2", image)
			deploy()
			if p.id("web") == id {
				t.Fatal("docker compose has not deployed the new image")
			}
			id = p.id("web")
			p.until("the new image is taken over", func() bool { return revisions() == 2 })
			p.edit("  old:\n", "  new:\n")
			deploy("--remove-orphans")
			p.until("the other service is taken over", func() bool { return revisions() >= 3 && !strings.Contains(p.composure("status").stdout, "old") })
			p.has("new-1", "web-1")
			if p.id("web") != id {
				t.Error("what docker compose deployed was made anew")
			}
			p.wants(0, []string{"drift"})

			p.wants(0, []string{"restart", "web", "--hard", "--force"})
			if now, want := p.inspect(p.container("web")), p.docker("image", "inspect", "--format", "{{.Id}}", image); now.Image != want || strings.Join(now.Config.Cmd, " ") != "sleep 2000" {
				t.Errorf("a hard restart went back to %s %v", now.Image, now.Config.Cmd)
			}
			if out := p.composure("incidents", "list").stdout; !strings.Contains(out, "no incidents") {
				t.Errorf("a deployment is no incident:\n%s", out)
			}
		})
	}
}

// TestDeployedOutsideBefore: nobody watches while somebody deploys with docker compose; a command does not go back behind that.
func TestDeployedOutsideBefore(t *testing.T) {
	peer := built(t, "v5.6.0")
	if peer == "" {
		return
	}
	t.Parallel()
	p := newStack(t, "before", web)
	p.converge()
	p.edit(`command: [sleep, "1000"]`, `command: [sleep, "2000"]`)
	p.compose(peer, "up", "-d", "--pull", "never", "-t", "0")
	p.wants(0, []string{"restart", "web", "--hard", "--force"})
	if now := strings.Join(p.inspect(p.container("web")).Config.Cmd, " "); now != "sleep 2000" {
		t.Errorf("a hard restart went back to %q", now)
	}
	p.wants(0, []string{"history"}, " outside ")
	p.wants(0, []string{"drift"})
}
