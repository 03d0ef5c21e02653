package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// built is a service that is made from the directory of the project, which is a git repository.
const built = `services:
  web:
    build: .
    pull_policy: build
    command: [sleep, "1000"]
    stop_signal: SIGKILL
    x-composure: {min_healthy: 1s}
`

func (p *project) git(args ...string) string {
	p.t.Helper()
	out, err := exec.Command("git", append([]string{"-C", p.dir, "-c", "user.name=t", "-c", "user.email=t@example.org"}, args...)...).CombinedOutput()
	if err != nil {
		p.t.Fatalf("git %s: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (p *project) file(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// TestRollbackByBuild: the file stays as it is and the code changes. The image of the older commit is still here and is
// taken; when it is gone, it is built again from its commit, in a work tree of its own; the user's checkout stays as it is.
func TestRollbackByBuild(t *testing.T) {
	t.Parallel()
	p := newProject(t, "bybuild", built)
	p.file("Dockerfile", "FROM composure-test/busybox:1\nCOPY version /version\n")
	p.file(".dockerignore", ".git\ncompose.yaml\n")
	p.git("init", "--quiet", "--initial-branch", "main")
	revisions := map[string]string{}
	images := map[string]string{}
	for _, version := range []string{"one", "two"} {
		p.file("version", version)
		p.git("add", ".")
		p.git("commit", "--quiet", "--message", version)
		p.wants(0, "reconcile", "--once")
		p.version(version)
		revisions[version], images[version] = read[history](p, "history").Revisions[0].ID, p.container("web", ".Image")
	}
	if revisions["one"] == revisions["two"] {
		t.Fatal("two commits of the same file are one revision")
	}
	p.file("version", "edited")
	before := p.git("status", "--porcelain", "--branch") + p.git("rev-parse", "HEAD")

	p.says(0, []string{"rollback", "web", "--to", revisions["one"]}, "rolled back and well")
	p.version("one")
	if p.container("web", ".Image") != images["one"] {
		t.Error("the image was still here, and another one was taken")
	}
	p.wants(0, "release", "web")
	p.file("version", "two") // what was deployed
	p.wants(0, "reconcile", "--once")
	p.version("two")
	p.file("version", "edited")
	p.docker("image", "rm", "--force", images["one"])

	p.says(0, []string{"rollback", "web", "--to", revisions["one"], "--dry-run"}, "built again from commit", "build image")
	p.says(0, []string{"rollback", "web", "--to", revisions["one"]}, "rolled back and well")
	p.version("one")
	if after := p.git("status", "--porcelain", "--branch") + p.git("rev-parse", "HEAD"); after != before {
		t.Errorf("the checkout was %s and is %s", before, after)
	}
	if trees := p.git("worktree", "list"); strings.Contains(trees, "\n") {
		t.Errorf("work trees are left: %s", trees)
	}
	if left, _ := filepath.Glob(filepath.Join(p.state, "worktrees", "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// version wants the web container to be made from a version.
func (p *project) version(want string) {
	p.t.Helper()
	if got := p.docker("exec", p.name+"-web-1", "cat", "/version"); strings.TrimSpace(got) != want {
		p.t.Errorf("it is version %q, expected %q", got, want)
	}
}
