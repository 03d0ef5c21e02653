package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"composure/spec"
)

// gitCommit is the commit a directory's work tree is at; empty when it is none or git is not there.
func gitCommit(dir string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	commit, _ := git(ctx, dir, "rev-parse", "HEAD") // no work tree, no commit
	return commit
}

// source is what an image was built from.
type source struct {
	commit string // of git; empty: unknown, or no work tree
	dirty  bool   // the build context had changes that are in no commit
}

// sourceOf looks at a build context. What cannot be asked is unknown.
func sourceOf(ctx context.Context, dir string) source {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	commit, err := git(ctx, dir, "rev-parse", "HEAD")
	if err != nil {
		return source{}
	}
	changes, err := git(ctx, dir, "status", "--porcelain", "--", ".")
	if err != nil {
		return source{}
	}
	return source{commit, changes != ""}
}

// checkOut returns a build section whose paths lie in a work tree of its own, below a directory, at the section's commit.
// The user's checkout, its index and its branches are not touched, and none of its hooks is run. remove takes the work
// tree away again.
func checkOut(ctx context.Context, b spec.Build, below string) (at spec.Build, remove func(), err error) {
	remove = func() {}
	if at, err = b, os.MkdirAll(below, 0o700); err != nil {
		return at, remove, fmt.Errorf("check out %.12s: %w", b.Commit, err)
	}
	top, err := git(ctx, b.Context, "rev-parse", "--show-toplevel")
	if err != nil {
		return at, remove, fmt.Errorf("check out %.12s: %w", b.Commit, err)
	}
	dir, err := os.MkdirTemp(below, "tree-")
	if err != nil {
		return at, remove, fmt.Errorf("check out %.12s: %w", b.Commit, err)
	}
	remove = func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		_ = os.RemoveAll(dir)
		_, _ = git(ctx, top, "worktree", "prune") // git forgets the work tree, also those that a killed process left
	}
	if _, err := git(ctx, top, "worktree", "add", "--detach", "--force", dir, b.Commit); err != nil {
		remove()
		return at, func() {}, fmt.Errorf("check out %.12s: %w", b.Commit, err)
	}
	top, _ = filepath.EvalSymlinks(top)
	inside := func(path string) string {
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			real = path
		}
		if rel, err := filepath.Rel(top, real); err == nil && filepath.IsLocal(rel) {
			return filepath.Join(dir, rel)
		}
		return path
	}
	at.Context, at.Commit, at.Tags = inside(b.Context), "", nil
	if filepath.IsAbs(b.Dockerfile) {
		at.Dockerfile = inside(b.Dockerfile)
	}
	at.AdditionalContexts = nil
	for name, path := range b.AdditionalContexts {
		if at.AdditionalContexts == nil {
			at.AdditionalContexts = map[string]string{}
		}
		at.AdditionalContexts[name] = inside(path)
	}
	return at, remove, nil
}

// git runs git in a directory, without a shell, hooks or questions, and returns what it prints.
func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", dir, "-c", "core.hooksPath=/dev/null"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_TERMINAL_PROMPT=0", "GIT_OPTIONAL_LOCKS=0", "LC_ALL=C")
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(said.String()))
	}
	return strings.TrimSpace(string(out)), nil
}
