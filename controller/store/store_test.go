package store

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"composure/test/pgtest"
)

func TestMain(m *testing.M) {
	if mode := os.Getenv("STORE_TEST_CHILD"); mode != "" {
		if err := child(mode); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// at is a fixed time; at.Add counts from it.
var at = time.Date(2026, 11, 23, 3, 0, 0, 123456000, time.UTC)

const stack = "engine/app"

// place is where one store is: several may open it.
type place struct{ Options }

func (p place) open(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), p.Options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestStore runs every case against both databases.
func TestStore(t *testing.T) {
	cases := []struct {
		name string
		run  func(*testing.T, place)
	}{
		{"opens again", testReopen},
		{"one lease", testLease},
		{"others who write", testOthers},
		{"lease of a dead process", testLeaseOfDeadProcess},
		{"lease contended by processes", testLeaseContended},
		{"fencing", testFencing},
		{"lapse", testLapse},
		{"revisions", testRevisions},
		{"stable revisions", testStable},
		{"attempts", testAttempts},
		{"migrated by several processes at once", testMigrateAtOnce},
		{"newer schema", testNewerSchema},
		{"key", testKey},
		{"kill -9", testKill},
		{"sealed", testSealed},
		{"overrides", testOverrides},
		{"states", testStates},
		{"incidents", testIncidents},
		{"incident of two stacks", testIncidentOfTwoStacks},
		{"evidence", testEvidence},
		{"outbox", testOutbox},
		{"outbox in line", testOutboxLine},
		{"outbox damaged", testOutboxDamaged},
		{"outbox used at once", testOutboxAtOnce},
		{"samples", testSamples},
		{"baselines", testBaselines},
		{"places", testPlaces},
		{"retention", testRetention},
	}
	server := pgtest.New(t)
	for _, c := range cases {
		t.Run("sqlite/"+c.name, func(t *testing.T) { c.run(t, place{Options{StateDir: t.TempDir()}}) })
		t.Run("postgres/"+c.name, func(t *testing.T) {
			c.run(t, place{Options{StateDir: t.TempDir(), URL: server.Database(t)}})
		})
	}
}

func testReopen(t *testing.T, p place) {
	s := p.open(t)
	must(t, s.SaveRevision(t.Context(), Revision{Stack: stack, ID: "r1", Model: []byte("services: {}"), AppliedAt: at}))
	must(t, s.Close())
	r, err := p.open(t).LastRevision(t.Context(), stack)
	must(t, err)
	equal(t, Revision{Stack: stack, ID: "r1", Model: []byte("services: {}"), AppliedAt: at}, r)
}

func TestFilesArePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "composure")
	place{Options{StateDir: dir}}.open(t)
	for name, want := range map[string]os.FileMode{"": 0o700, "composure.db": 0o600, "composure.db-wal": 0o600, "key": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%q has mode %o, want %o", name, got, want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	damaged := t.TempDir()
	must(t, os.WriteFile(filepath.Join(damaged, "composure.db"), bytes.Repeat([]byte("not a database "), 1000), 0o600))
	for _, o := range []Options{
		{StateDir: t.TempDir(), URL: "mysql://db"},
		{StateDir: file},
		{StateDir: damaged},
		{StateDir: t.TempDir(), URL: "postgres://user:hunter2@127.0.0.1:1/db?sslmode=disable"},
	} {
		s, err := Open(t.Context(), o)
		if err == nil {
			s.Close()
			t.Errorf("opened %+v", o)
			continue
		}
		if contains(err.Error(), "hunter2") {
			t.Errorf("the password is in the error: %v", err)
		}
	}
}

func TestDefaultStateDir(t *testing.T) {
	if os.Geteuid() == 0 {
		dir, err := DefaultStateDir()
		must(t, err)
		equal(t, "/var/lib/composure", dir)
		return
	}
	t.Setenv("XDG_STATE_HOME", "/x")
	dir, err := DefaultStateDir()
	must(t, err)
	equal(t, "/x/composure", dir)
}

func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		s, err := Open(context.Background(), Options{StateDir: dir})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.LastRevision(context.Background(), stack); !errors.Is(err, ErrNotFound) {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func is(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

func equal[T any](t testing.TB, want, got T) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Fatalf("-want +got:\n%s", d)
	}
}
