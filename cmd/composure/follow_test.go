package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"composure/spec"
)

// edits is a project whose files a test edits, and what was read of it.
type edits struct {
	t      *testing.T
	dir    string
	log    *journal
	f      *follower
	during func() // happens while the files are read, after that was done
	err    error
	files  []string
	reads  int
	text   string // of compose.yaml as it was read last
}

func follow(t *testing.T) *edits {
	e := &edits{t: t, dir: t.TempDir(), log: &journal{}}
	e.files = []string{e.path("compose.yaml")}
	e.write("compose.yaml", "one")
	e.f = &follower{sources: e.files, seen: fingerprint(e.files), log: slog.New(e.log), reload: e.reload}
	return e
}

func (e *edits) path(name string) string { return filepath.Join(e.dir, name) }

func (e *edits) write(name, text string) {
	e.t.Helper()
	if err := os.WriteFile(e.path(name), []byte(text), 0o600); err != nil {
		e.t.Fatal(err)
	}
}

func (e *edits) reload(context.Context) (*spec.Stack, error) {
	e.reads++
	text, err := os.ReadFile(e.path("compose.yaml"))
	if err != nil {
		return nil, err
	}
	if e.err != nil {
		return nil, e.err
	}
	e.text = string(text)
	if e.during != nil {
		e.during()
		e.during = nil
	}
	return &spec.Stack{Name: "shop", Sources: e.files}, nil
}

// looks looks so often, as the ticker has it done.
func (e *edits) looks(n int) {
	for range n {
		e.f.look(e.t.Context(), false)
	}
}

// TestEditWhileRead: a file that is saved a second time while the first edit is taken over, which waits for a pass to end, is
// read once more.
func TestEditWhileRead(t *testing.T) {
	e := follow(t)
	e.write("compose.yaml", "second")
	e.during = func() { e.write("compose.yaml", "the third") }
	e.looks(3)
	if e.text != "the third" || e.reads != 2 {
		t.Errorf("%q is what holds, after %d reads", e.text, e.reads)
	}
}

// TestEditOfWhatIsNew: the same for a file that the first edit has only just included.
func TestEditOfWhatIsNew(t *testing.T) {
	e := follow(t)
	e.write("compose.yaml", "includes another")
	e.write("other.yaml", "a")
	e.files = append(e.files, e.path("other.yaml"))
	e.during = func() { e.write("other.yaml", "b, while it was read") }
	e.looks(1)
	read := e.reads
	time.Sleep(2 * fileTick) // the file's clock has gone on
	e.looks(2)
	if e.reads <= read {
		t.Error("the edit of the included file was missed")
	}
	read = e.reads
	e.looks(3)
	if e.reads != read {
		t.Errorf("read %d times more, and nothing has changed", e.reads-read)
	}
}

// TestMendedElsewhere: what makes the files unusable lies in one that was never read, such as one that is missing. Once it is
// mended the files are taken over, and the trouble was told once.
func TestMendedElsewhere(t *testing.T) {
	e := follow(t)
	e.write("compose.yaml", "includes a missing one")
	e.err = errors.New("other.yaml: no such file")
	e.looks(5)
	if e.reads != 1 || e.log.count("cannot be used") != 1 {
		t.Errorf("%d reads, told %d times", e.reads, e.log.count("cannot be used"))
	}
	e.f.tried = e.f.tried.Add(-fileRetry)
	e.looks(1)
	if e.reads != 2 || e.log.count("cannot be used") != 1 {
		t.Errorf("%d reads, told %d times", e.reads, e.log.count("cannot be used"))
	}
	e.err = nil
	e.f.tried = e.f.tried.Add(-fileRetry)
	e.looks(1)
	if e.text != "includes a missing one" {
		t.Error("the mended files were not taken over")
	}
}

// TestReplacedFile: an editor that writes a new file and renames it over the old one is noticed, also when the file was away
// for a moment, and SIGHUP has the files read whatever they look like.
func TestReplacedFile(t *testing.T) {
	e := follow(t)
	if err := os.Remove(e.path("compose.yaml")); err != nil {
		t.Fatal(err)
	}
	e.looks(2)
	e.f.look(t.Context(), true)
	if e.log.count("cannot be used") != 2 {
		t.Errorf("told %d times that the file is away, and that it still is when asked", e.log.count("cannot be used"))
	}
	e.write(".compose.yaml.swp", "two")
	if err := os.Rename(e.path(".compose.yaml.swp"), e.path("compose.yaml")); err != nil {
		t.Fatal(err)
	}
	e.looks(1)
	if e.text != "two" {
		t.Error("the new file was not read")
	}
}
