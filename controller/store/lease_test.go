package store

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

func contains(s, part string) bool { return strings.Contains(s, part) }

func lease(t *testing.T, s *Store) *Lease {
	t.Helper()
	l, err := s.Acquire(t.Context(), stack, ThisProcess("reconcile"), time.Hour)
	must(t, err)
	return l
}

func testLease(t *testing.T, p place) {
	daemon, manual := p.open(t), p.open(t)
	l, err := daemon.Acquire(t.Context(), stack, Owner{Host: "h", PID: os.Getpid(), Command: "reconcile", Token: "a"}, time.Hour)
	must(t, err)

	_, err = manual.Acquire(t.Context(), stack, ThisProcess("restart api"), time.Hour)
	is(t, err, ErrLeased)
	held, ok := errors.AsType[*LeasedError](err)
	if !ok || held.Owner.Command != "reconcile" || held.Owner.PID != os.Getpid() || held.Since.IsZero() || !held.Expires.After(held.Since) {
		t.Fatalf("the holder is not named: %+v", held)
	}
	if held.Owner.Token != "" {
		t.Error("the holder's token is given away")
	}
	if _, err := manual.Acquire(t.Context(), "engine/other", ThisProcess("restart api"), time.Hour); err != nil {
		t.Errorf("another stack: %v", err)
	}
	again, err := daemon.Acquire(t.Context(), stack, l.Owner, time.Hour)
	must(t, err)
	equal(t, l.Fence, again.Fence)
	must(t, l.Renew(t.Context()))

	must(t, l.Release(t.Context()))
	_, err = manual.Holder(t.Context(), stack)
	is(t, err, ErrNotFound)
	is(t, l.Renew(t.Context()), ErrLeaseLost)
	next := lease(t, manual)
	if next.Fence <= l.Fence {
		t.Errorf("fence %d does not follow %d", next.Fence, l.Fence)
	}
	must(t, l.Release(t.Context())) // of a lease that was lost: no effect
	must(t, next.Renew(t.Context()))
}

// testOthers: what others write is told once, and what is written on the own connection is not, where the database tells.
func testOthers(t *testing.T, p place) {
	own, other, others := p.open(t), p.open(t), Others{}
	l := lease(t, own)
	for n, c := range []struct {
		write func() error
		want  bool
	}{
		{nil, true}, // nobody knows what was before
		{nil, false},
		{func() error { return l.Renew(t.Context()) }, false},
		{func() error { return other.SetOverride(t.Context(), Override{Stack: stack, Kind: Pause, Owner: "ops"}) }, true},
		{nil, false},
	} {
		if c.write != nil {
			must(t, c.write())
		}
		wrote, err := others.Wrote(t.Context(), own)
		must(t, err)
		if want := c.want || own.kind != sqlite; wrote != want {
			t.Errorf("step %d: others have written is %v", n, wrote)
		}
	}
}

func testFencing(t *testing.T, p place) {
	slept, s := p.open(t), p.open(t)
	old, err := slept.Acquire(t.Context(), stack, ThisProcess("reconcile"), time.Nanosecond)
	must(t, err)
	must(t, slept.Begin(t.Context(), old, Attempt{ID: "a1", Stack: stack, StartedAt: at}))
	s.lapses.comeBack = 0
	taken := lease(t, s) // it has expired

	is(t, slept.Begin(t.Context(), old, Attempt{ID: "a2", Stack: stack, StartedAt: at}), ErrFenced)
	is(t, slept.Finish(t.Context(), old, "a1", "done", "", at), ErrFenced)
	is(t, slept.Verdict(t.Context(), old, "a1", "recovered", at), ErrFenced)
	is(t, slept.Begin(t.Context(), nil, Attempt{ID: "a3", Stack: stack, StartedAt: at}), ErrFenced)
	is(t, old.Renew(t.Context()), ErrLeaseLost)
	is(t, old.Heartbeat(t.Context()), ErrLeaseLost)

	must(t, s.Finish(t.Context(), taken, "a1", "unknown", "cut short", at))
	open, err := s.OpenAttempts(t.Context(), stack)
	must(t, err)
	if len(open) != 1 || open[0].Outcome != "unknown" || open[0].Fence != old.Fence {
		t.Fatalf("only what the old holder began in time is there: %+v", open)
	}
}

// testLapse: a lease that has expired is not taken at the first look, since the store may have been down until then. Who
// asks on gets it, unless its holder comes back.
func testLapse(t *testing.T, p place) {
	holder, s := p.open(t), p.open(t)
	s.lapses.comeBack, s.lapses.asksOn = 50*time.Millisecond, time.Hour
	lapsed := func() *Lease {
		l, err := holder.Acquire(t.Context(), stack, ThisProcess("reconcile"), time.Nanosecond)
		must(t, err)
		return l
	}
	wants := func(want bool) error {
		t.Helper()
		_, err := s.Acquire(t.Context(), stack, ThisProcess("restart api"), time.Hour)
		held, ok := errors.AsType[*LeasedError](err)
		if !ok || held.Lapsed != want {
			t.Fatalf("lapsed is not %v: %v", want, err)
		}
		return err
	}

	l := lapsed()
	if text := wants(true).Error(); !contains(text, "may come back yet") {
		t.Errorf("it says %q", text)
	}
	l.TTL = time.Hour
	must(t, l.Renew(t.Context())) // it does
	time.Sleep(2 * s.lapses.comeBack)
	wants(false)

	l.TTL = time.Nanosecond
	must(t, l.Renew(t.Context()))
	first := time.Now()
	wants(true) // which is another lapse
	taken, err := s.Acquire(t.Context(), stack, ThisProcess("restart api"), time.Hour)
	for errors.Is(err, ErrLeased) {
		taken, err = s.Acquire(t.Context(), stack, ThisProcess("restart api"), time.Hour)
	}
	must(t, err)
	if took := time.Since(first); took < s.lapses.comeBack {
		t.Errorf("it had only %s to come back", took)
	}
	is(t, l.Renew(t.Context()), ErrLeaseLost)
	must(t, taken.Release(t.Context()))

	lapsed()
	wants(true)
	s.lapses.asksOn = 0 // a gap between two looks: the store may have been down
	for range 3 {
		time.Sleep(s.lapses.comeBack)
		wants(true)
	}
	s.lapses.asksOn, s.lapses.comeBack = time.Hour, time.Hour // however long it takes to ask
	wants(true)
	down, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Acquire(down, stack, ThisProcess("restart api"), time.Hour) // and so it may when it could not be asked
	if err == nil || errors.Is(err, ErrLeased) {
		t.Fatalf("asked in vain: %v", err)
	}
	s.lapses.comeBack = 50 * time.Millisecond
	time.Sleep(s.lapses.comeBack)
	wants(true)
}

// TestHeartbeatAfterAnOutage: a lease that could not be renewed is renewed at once when the store is back, within the time in
// which nobody takes it over.
func TestHeartbeatAfterAnOutage(t *testing.T) {
	dir := t.TempDir()
	s, other := place{Options{StateDir: dir}}.open(t), place{Options{StateDir: dir}}.open(t)
	l, err := s.Acquire(t.Context(), stack, ThisProcess("reconcile"), 300*time.Millisecond) // a renewal on a slow disk takes less
	must(t, err)
	must(t, other.exec(t.Context(), "take the table away", `ALTER TABLE leases RENAME TO away`))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Heartbeat(ctx) }()
	time.Sleep(2 * l.TTL)
	must(t, other.exec(t.Context(), "bring it back", `ALTER TABLE away RENAME TO leases`))
	other.lapses.comeBack = time.Minute
	for {
		_, err := other.Acquire(t.Context(), stack, ThisProcess("restart api"), time.Hour)
		held, ok := errors.AsType[*LeasedError](err)
		if !ok {
			t.Fatalf("taken over: %v", err)
		}
		if !held.Lapsed {
			break
		}
	}
	cancel()
	must(t, <-ended)
}

func TestHeartbeatEndsWithItsContext(t *testing.T) {
	s := place{Options{StateDir: t.TempDir()}}.open(t)
	l, err := s.Acquire(t.Context(), stack, ThisProcess("reconcile"), 300*time.Millisecond) // who reads it must come before it has lapsed again
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended := make(chan error)
	go func() { ended <- l.Heartbeat(ctx) }()
	start, renewals, last := time.Now(), 0, time.Time{}
	for renewals < 3 {
		must(t, ctx.Err())
		held, err := s.Holder(t.Context(), stack)
		if err == nil && held.Expires.After(start) && !held.Expires.Equal(last) {
			renewals, last = renewals+1, held.Expires
		}
	}
	cancel()
	must(t, <-ended)
}

func TestProcessDead(t *testing.T) {
	me := processID(os.Getpid())
	cases := []struct {
		name string
		pid  int
		id   string
		want bool
	}{
		{"this process", os.Getpid(), me, false},
		{"the pid was given to another process", os.Getpid(), me + "1", true},
		{"no such pid", 1 << 30, me, true},
		{"another boot or machine", 1 << 30, "other/" + me, false},
		{"nothing known", 1 << 30, "", false},
	}
	for _, c := range cases {
		if got := processDead(c.pid, c.id); got != c.want {
			t.Errorf("%s: dead = %v", c.name, got)
		}
	}
}
