package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"composure/controller/store"
	"composure/spec"
)

// repository is a git repository with a build context in a directory of it, and two commits of a file there.
func repository(t *testing.T) (top string, commits [2]string) {
	t.Helper()
	top = t.TempDir()
	runGit(t, top, "init", "--quiet", "--initial-branch", "main")
	for i, text := range []string{"one", "two"} {
		write(t, filepath.Join(top, "app", "version"), text)
		write(t, filepath.Join(top, "app", "Dockerfile"), "FROM scratch\n")
		runGit(t, top, "add", ".")
		runGit(t, top, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "--message", text)
		commits[i] = runGit(t, top, "rev-parse", "HEAD")
	}
	return top, commits
}

func runGit(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestSourceOf(t *testing.T) {
	top, commits := repository(t)
	app := filepath.Join(top, "app")
	if got := sourceOf(t.Context(), app); got != (source{commit: commits[1]}) {
		t.Errorf("clean: %+v", got)
	}
	write(t, filepath.Join(top, "README"), "beside the context")
	if got := sourceOf(t.Context(), app); got.dirty {
		t.Error("a change beside the context made it dirty")
	}
	write(t, filepath.Join(app, "new"), "in no commit")
	if got := sourceOf(t.Context(), app); got != (source{commits[1], true}) {
		t.Errorf("with a file that is in no commit: %+v", got)
	}
	if got := sourceOf(t.Context(), t.TempDir()); got != (source{}) {
		t.Errorf("no repository: %+v", got)
	}
}

// TestCheckOut: the older commit in a work tree of its own, without a trace in the user's checkout, and none of its hooks run.
func TestCheckOut(t *testing.T) {
	top, commits := repository(t)
	app, below := filepath.Join(top, "app"), filepath.Join(t.TempDir(), "worktrees")
	hook := filepath.Join(top, ".git", "hooks", "post-checkout")
	write(t, hook, "#!/bin/sh\ntouch "+top+"/hooked\n")
	if err := os.Chmod(hook, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(app, "version"), "edited")
	before := runGit(t, top, "status", "--porcelain", "--branch") + runGit(t, top, "rev-parse", "HEAD")
	at, remove, err := checkOut(t.Context(), spec.Build{Context: app, Dockerfile: "Dockerfile", Commit: commits[0], Tags: []string{"app:latest"}}, below)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(at.Context, "version")); err != nil || string(text) != "one" {
		t.Errorf("the work tree has %q, %v", text, err)
	}
	if !strings.HasPrefix(at.Context, below) || at.Tags != nil {
		t.Errorf("built from %s with tags %v", at.Context, at.Tags)
	}
	remove()
	if left, _ := os.ReadDir(below); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if after := runGit(t, top, "status", "--porcelain", "--branch") + runGit(t, top, "rev-parse", "HEAD"); after != before {
		t.Errorf("the checkout was %s and is %s", before, after)
	}
	if trees := runGit(t, top, "worktree", "list"); strings.Contains(trees, "\n") {
		t.Errorf("git still knows the work tree: %s", trees)
	}
	if text, _ := os.ReadFile(filepath.Join(app, "version")); string(text) != "edited" {
		t.Error("the user's edit is gone")
	}
	if _, err := os.Stat(filepath.Join(top, "hooked")); err == nil {
		t.Error("a hook of the repository was run")
	}
	if _, _, err := checkOut(t.Context(), spec.Build{Context: app, Commit: strings.Repeat("0", 40)}, below); err == nil {
		t.Error("a commit that is not there was checked out")
	}
	if left, _ := os.ReadDir(below); len(left) > 0 {
		t.Errorf("left behind after a failure: %v", left)
	}
}

// TestSources: what an image was built from is what is on record of that very image, whatever this process built for the service
// before or since.
func TestSources(t *testing.T) {
	i := &images{built: map[string]made{"web": {source{commit: "A"}, "sha256:a"}}}
	last := store.Revision{Services: []store.ServiceRevision{{Service: "web", ImageID: "sha256:b", Commit: "B", Dirty: true}}}
	for image, want := range map[string]source{"sha256:a": {commit: "A"}, "sha256:b": {commit: "B", dirty: true}, "sha256:c": {}} {
		now := []store.ServiceRevision{{Service: "web", ImageID: image}}
		i.sources(now, last)
		if got := (source{now[0].Commit, now[0].Dirty}); got != want {
			t.Errorf("%s was built from %+v, recorded %+v", image, want, got)
		}
	}
}
