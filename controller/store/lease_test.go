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

func testFencing(t *testing.T, p place) {
	slept, s := p.open(t), p.open(t)
	old, err := slept.Acquire(t.Context(), stack, ThisProcess("reconcile"), time.Nanosecond)
	must(t, err)
	must(t, slept.Begin(t.Context(), old, Attempt{ID: "a1", Stack: stack, StartedAt: at}))
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

func TestHeartbeatEndsWithItsContext(t *testing.T) {
	s := place{Options{StateDir: t.TempDir()}}.open(t)
	l, err := s.Acquire(t.Context(), stack, ThisProcess("reconcile"), 3*time.Millisecond)
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
