package install

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// TestSameBytesElsewhere builds the sources twice, the second time in another directory for which nothing is cached of
// this module, with other settings in the environment. `make reproducible` does it with nothing cached at all.
func TestSameBytesElsewhere(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "somewhere", "else")
	if err := os.MkdirAll(elsewhere, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"cmd", "controller", "spec"} {
		if err := os.CopyFS(filepath.Join(elsewhere, part), os.DirFS(filepath.Join("../..", part))); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"go.mod", "go.sum", "hack/dist.sh"} {
		data, err := os.ReadFile(filepath.Join("../..", file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(elsewhere, file)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(elsewhere, file), data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	here, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	first, second := dist(t, here), dist(t, elsewhere, "GOFLAGS=-v", "GOAMD64=v2", "TZ=Asia/Tokyo", "HOME="+os.Getenv("HOME"))
	if !bytes.Equal(first, second) {
		t.Errorf("two builds of the same sources differ: %d and %d bytes", len(first), len(second))
	}
}

// dist is the binary of this platform as hack/dist.sh of a directory builds it.
func dist(t *testing.T, dir string, settings ...string) []byte {
	t.Helper()
	out := t.TempDir()
	cmd := exec.Command(filepath.Join(dir, "hack", "dist.sh"))
	cmd.Env = append(os.Environ(), "OUT="+out, "PLATFORMS=linux/"+runtime.GOARCH, "VERSION=v1.2.3", "COMMIT=0123456789abcdef", "DATE=2026-11-25T10:00:00Z")
	cmd.Env = append(cmd.Env, settings...)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("hack/dist.sh: %v\n%s", err, said)
	}
	binary, err := os.ReadFile(filepath.Join(out, "composure-linux-"+runtime.GOARCH))
	if err != nil {
		t.Fatal(err)
	}
	if version, err := exec.Command(filepath.Join(out, "composure-linux-"+runtime.GOARCH), "version").Output(); err != nil ||
		!bytes.Contains(version, []byte("composure v1.2.3, commit 0123456789ab of 2026-11-25T10:00:00Z, go")) {
		t.Errorf("version: %s (%v)", version, err)
	}
	return binary
}
