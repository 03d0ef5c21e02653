package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// hang takes the store away as a server does that is stopped and not ended: nothing answers, nothing fails. SQLite's one
// connection is kept.
func hang(t *testing.T, s *Store) (wake func()) {
	t.Helper()
	c, err := s.db.Conn(t.Context())
	must(t, err)
	return func() { must(t, c.Close()) }
}

// hanging runs a test on a store in a bubble of virtual time.
func hanging(t *testing.T, test func(t *testing.T, s *Store, b *Buffered)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(t.Context(), Options{StateDir: dir})
		must(t, err)
		defer s.Close()
		b, err := NewBuffered(t.Context(), s, stack)
		must(t, err)
		test(t, s, b)
		must(t, b.Close(context.WithoutCancel(t.Context())))
	})
}

// TestHangingStoreKeepsWhatWasDone: whoever records an outcome has as little time as the store; the outcome, and that a
// channel has taken a message, is on record all the same.
func TestHangingStoreKeepsWhatWasDone(t *testing.T) {
	hanging(t, func(t *testing.T, s *Store, b *Buffered) {
		ctx, now := t.Context(), time.Now()
		l := lease(t, s)
		must(t, b.Begin(ctx, l, Attempt{ID: "a1", Stack: stack, Service: "api", StartedAt: now}))
		equal(t, true, escalate(t, b, "devops", now))
		due, err := b.ClaimDue(ctx, "slack", now, time.Minute, 0)
		must(t, err)
		wake := hang(t, s)
		for _, record := range []func(context.Context) error{
			func(ctx context.Context) error { return b.Finish(ctx, l, "a1", "done", "", now) },
			func(ctx context.Context) error { return b.Delivered(ctx, due[0].ID, "slack", now) },
		} {
			bounded, cancel := context.WithTimeout(ctx, storeTimeout)
			must(t, record(bounded))
			cancel()
		}
		again, err := b.ClaimDue(ctx, "slack", now.Add(time.Hour), time.Minute, 0)
		must(t, err)
		equal(t, 0, len(again)) // people are not told twice
		wake()
		must(t, b.Flush(ctx))
		all, err := s.Attempts(ctx, AttemptFilter{Stack: stack})
		must(t, err)
		equal(t, "done", all[0].Outcome)
		equal(t, 0, undelivered(t, s))
	})
}

// TestHangingStoreKeepsNobodyWaiting: what is only read on the side ends in time as well.
func TestHangingStoreKeepsNobodyWaiting(t *testing.T) {
	hanging(t, func(t *testing.T, s *Store, b *Buffered) {
		defer hang(t, s)()
		began := time.Now()
		_, err := b.EvidenceOf(t.Context(), "i1")
		must(t, err)
		if took := time.Since(began); took > storeTimeout {
			t.Errorf("waited for %s", took)
		}
	})
}

// TestLongOutage: a store that is away for days keeps nobody from healing. The answers of probes and the evidence leave room
// for intents, and an incident that changes every minute is written once.
func TestLongOutage(t *testing.T) {
	hanging(t, func(t *testing.T, s *Store, b *Buffered) {
		ctx, l := t.Context(), lease(t, s)
		must(t, s.exec(ctx, "fail", `PRAGMA query_only = 1`))
		for n := range 4 * 24 * 60 { // a minute each
			now := time.Now().Add(time.Duration(n) * time.Minute)
			for range 4 {
				if err := b.AddSamples(ctx, Sample{Stack: stack, Service: "api", Probe: "http", At: now}); err != nil && !errors.Is(err, ErrBufferFull) {
					t.Fatal(err)
				}
			}
			if n%10 == 0 {
				must(t, b.SaveIncident(ctx, Incident{ID: "i1", State: fmt.Sprint(n), Opened: now, Document: big}))
			}
			if n%60 == 0 {
				id := fmt.Sprintf("a%d", n)
				must(t, b.Begin(ctx, l, Attempt{ID: id, Stack: stack, Service: "api", StartedAt: now}))
				must(t, b.Finish(ctx, l, id, "done", "", now))
			}
		}
		must(t, s.exec(ctx, "recover", `PRAGMA query_only = 0`))
		must(t, b.Flush(ctx))
		all, err := s.Attempts(ctx, AttemptFilter{Stack: stack})
		must(t, err)
		equal(t, 4*24, len(all))
		i, err := s.Incident(ctx, "i1")
		must(t, err)
		equal(t, fmt.Sprint(4*24*60-10), i.State)
	})
}

// TestReturnInTurns: what waits is written in turns when the store is back and slow, and between them memory answers.
func TestReturnInTurns(t *testing.T) {
	hanging(t, func(t *testing.T, s *Store, b *Buffered) {
		ctx := t.Context()
		must(t, s.exec(ctx, "fail", `PRAGMA query_only = 1`))
		for n := range 100 {
			must(t, b.SaveState(ctx, State{Service: fmt.Sprint(n), Document: []byte(`1`)}))
		}
		must(t, s.exec(ctx, "recover", `PRAGMA query_only = 0`))
		for n := range b.queue {
			quick := b.queue[n].do
			b.queue[n].do = func(ctx context.Context, s *Store) error {
				time.Sleep(100 * time.Millisecond)
				return quick(ctx, s)
			}
		}
		time.Sleep(lastRetry)
		began := time.Now()
		known, err := b.States(ctx)
		must(t, err)
		equal(t, 100, len(known))
		if took := time.Since(began); took > 2*flushing {
			t.Errorf("a read waited for %s", took)
		}
		for range 12 {
			time.Sleep(2 * flushing)
			_, err = b.States(ctx)
			must(t, err)
		}
		must(t, b.Degraded())
	})
}
