package store

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func testRevisions(t *testing.T, p place) {
	s := p.open(t)
	ctx := t.Context()
	_, err := s.LastRevision(ctx, stack)
	is(t, err, ErrNotFound)

	one := Revision{Stack: stack, ID: "r1", Model: []byte("one"), AppliedAt: at, Commit: "abc", Origin: "adopt",
		Services: []ServiceRevision{{Service: "web", ConfigHash: "h1", ImageID: "i1"}, {Service: "api", ConfigHash: "h2", ImageID: "i2"}}}
	two := Revision{Stack: stack, ID: "r2", Model: []byte("two"), AppliedAt: at.Add(time.Hour), Services: []ServiceRevision{{Service: "api", ConfigHash: "h3"}}}
	moved := two // the same file with a moved tag
	moved.Services = []ServiceRevision{{Service: "api", ConfigHash: "h3", ImageID: "new"}}
	back := one
	back.AppliedAt = at.Add(-time.Hour) // a clock that went back does not change the order
	for _, r := range []Revision{one, one, two, moved, moved, back, {Stack: "engine/other", ID: "x"}} {
		must(t, s.SaveRevision(ctx, r))
	}
	all, err := s.Revisions(ctx, stack, 0)
	must(t, err)
	var ids []string
	for _, r := range all {
		ids = append(ids, r.ID)
	}
	equal(t, []string{"r1", "r2", "r2", "r1"}, ids)
	some, err := s.Revisions(ctx, stack, 2)
	must(t, err)
	equal(t, 2, len(some))

	last, err := s.LastRevision(ctx, stack)
	must(t, err)
	back.Services = []ServiceRevision{one.Services[1], one.Services[0]}
	equal(t, back, last)
	r, err := s.Revision(ctx, stack, "r2")
	must(t, err)
	equal(t, moved, r)
	_, err = s.Revision(ctx, stack, "r9")
	is(t, err, ErrNotFound)
}

func testStable(t *testing.T, p place) {
	s := p.open(t)
	ctx := t.Context()
	api := func(hash, image string) []ServiceRevision {
		return []ServiceRevision{{Service: "api", ConfigHash: hash, ImageID: image}}
	}
	built := api("h1", "i1")
	built[0].Commit, built[0].Dirty = "c1", true
	must(t, s.SaveRevision(ctx, Revision{Stack: stack, ID: "r1", Services: built, AppliedAt: at}))
	must(t, s.MarkStable(ctx, stack, "api", "r1", at.Add(time.Hour)))
	must(t, s.SaveRevision(ctx, Revision{Stack: stack, ID: "r2", Services: api("h2", "i1"), AppliedAt: at.Add(2 * time.Hour)}))
	must(t, s.MarkStable(ctx, stack, "api", "r2", at.Add(3*time.Hour)))
	must(t, s.SaveRevision(ctx, Revision{Stack: stack, ID: "r3", Services: api("h2", "i1"), AppliedAt: at.Add(4 * time.Hour)})) // another service changed
	again, err := s.LastRevision(ctx, stack)
	must(t, err)
	equal(t, at.Add(3*time.Hour), again.Services[0].StableAt)
	is(t, s.MarkStable(ctx, stack, "api", "r9", at), ErrNotFound)
	is(t, s.MarkStable(ctx, stack, "web", "r1", at), ErrNotFound)

	got, err := s.LastStable(ctx, stack, "api", api("h2", "i1")[0])
	must(t, err)
	equal(t, StableRevision{Revision: "r1", AppliedAt: at,
		ServiceRevision: ServiceRevision{Service: "api", ConfigHash: "h1", ImageID: "i1", StableAt: at.Add(time.Hour), Commit: "c1", Dirty: true}}, got)
	got, err = s.LastStable(ctx, stack, "api", ServiceRevision{})
	must(t, err)
	equal(t, "r3", got.Revision)
	_, err = s.LastStable(ctx, stack, "web", ServiceRevision{})
	is(t, err, ErrNotFound)
}

func testAttempts(t *testing.T, p place) {
	s := p.open(t)
	ctx := t.Context()
	l := lease(t, s)
	full := Attempt{ID: "a1", Stack: stack, Key: "service/api/1", Service: "api", Container: "app-api-1", Target: "c0ffee",
		Operation: "restart", Rung: 2, Cause: "application_deadlock", Incident: "inc1", Pass: "p7", NotBefore: at.Add(time.Minute), StartedAt: at,
		Payload: json.RawMessage(`{"grace":60}`)}
	web := Attempt{ID: "a2", Stack: stack, Service: "web", StartedAt: at.Add(time.Second)}
	must(t, s.Begin(ctx, l, full, web))
	must(t, s.Begin(ctx, l, full)) // repeated after a lost answer
	full.Fence, web.Fence = l.Fence, l.Fence
	open, err := s.OpenAttempts(ctx, stack)
	must(t, err)
	equal(t, []Attempt{full, web}, open)

	must(t, s.Finish(ctx, l, "a1", "failed", "no answer", at.Add(time.Second)))
	must(t, s.Finish(ctx, l, "a1", "done", "", at.Add(time.Hour))) // the first outcome stays
	must(t, s.Verdict(ctx, l, "a1", "failed", at.Add(2*time.Second)))
	is(t, s.Finish(ctx, l, "a9", "done", "", at), ErrNotFound)
	is(t, s.Verdict(ctx, l, "a9", "failed", at), ErrNotFound)
	full.Outcome, full.Error, full.FinishedAt, full.Verdict, full.VerdictAt = "failed", "no answer", at.Add(time.Second), "failed", at.Add(2*time.Second)

	for _, c := range []struct {
		f    AttemptFilter
		want []Attempt
	}{
		{AttemptFilter{Stack: stack}, []Attempt{full, web}},
		{AttemptFilter{Stack: stack, Service: "api"}, []Attempt{full}},
		{AttemptFilter{Stack: stack, Incident: "inc1"}, []Attempt{full}},
		{AttemptFilter{Stack: stack, Open: true}, []Attempt{web}},
		{AttemptFilter{Stack: stack, Since: at.Add(time.Millisecond)}, []Attempt{web}},
		{AttemptFilter{Stack: stack, Limit: 1}, []Attempt{web}},
		{AttemptFilter{Stack: "engine/other"}, nil},
	} {
		got, err := s.Attempts(ctx, c.f)
		must(t, err)
		equal(t, c.want, got)
	}
	// All or none: the second has no stack.
	if err := s.Begin(ctx, l, Attempt{ID: "b1", Stack: stack}, Attempt{ID: "b2"}); err == nil {
		t.Fatal("an attempt without a stack was recorded")
	}
	got, err := s.Attempts(ctx, AttemptFilter{Stack: stack})
	must(t, err)
	equal(t, 2, len(got))
}

func testNewerSchema(t *testing.T, p place) {
	s := p.open(t)
	must(t, s.exec(t.Context(), "pretend", `INSERT INTO `+versionTable+` (version_id, is_applied) VALUES (999, true)`))
	_, err := Open(t.Context(), p.Options)
	is(t, err, ErrSchema)
}

func testKey(t *testing.T, p place) {
	p.open(t)
	path := filepath.Join(p.StateDir, "key")
	right, err := os.ReadFile(path)
	must(t, err)
	wrong := bytes.Repeat([]byte("00"), keySize)
	for name, change := range map[string]func() error{
		"missing":            func() error { return os.Remove(path) },
		"another key":        func() error { return os.WriteFile(path, wrong, 0o600) },
		"damaged":            func() error { return os.WriteFile(path, right[:10], 0o600) },
		"empty":              func() error { return os.WriteFile(path, nil, 0o600) },
		"readable to others": func() error { return os.Chmod(path, 0o644) },
	} {
		must(t, os.WriteFile(path, right, 0o600))
		must(t, change())
		if s, err := Open(t.Context(), p.Options); err == nil {
			s.Close()
			t.Errorf("%s: opened", name)
		} else {
			is(t, err, ErrKey)
		}
		must(t, os.WriteFile(path, right, 0o600))
		must(t, os.Chmod(path, 0o600))
	}
	p.open(t)
}
