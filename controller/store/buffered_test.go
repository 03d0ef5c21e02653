package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"composure/test/pgtest"
)

// outage is a store that a test can take away and bring back.
type outage struct {
	place
	s        *Store
	down, up func()
}

// fullDisk is SQLite that may not grow any more: reads work, writes fail.
func fullDisk(t *testing.T) outage {
	p := place{Options{StateDir: t.TempDir()}}
	s := p.open(t)
	return outage{p, s,
		func() { must(t, s.exec(t.Context(), "fill the disk", `PRAGMA max_page_count = 1`)) },
		func() { must(t, s.exec(t.Context(), "empty the disk", `PRAGMA max_page_count = 1000000`)) }}
}

// serverDown is PostgreSQL that is stopped and started again: connections break.
func serverDown(t *testing.T) outage {
	server := pgtest.New(t)
	p := place{Options{StateDir: t.TempDir(), URL: server.DSN("postgres")}}
	return outage{p, p.open(t), server.Down, server.Up}
}

func TestBuffered(t *testing.T) {
	for name, start := range map[string]func(*testing.T) outage{"sqlite full": fullDisk, "postgres down": serverDown} {
		t.Run(name, func(t *testing.T) {
			o := start(t)
			o.testGoesOn(t)
			o.testLeaseTakenMeanwhile(t)
			o.testFull(t)
		})
	}
}

// TestBufferedHangs: a server that does not answer keeps nobody waiting for long, and what it did with a statement
// that nobody waited for any more does no harm.
func TestBufferedHangs(t *testing.T) {
	ctx := t.Context()
	server := pgtest.New(t)
	p := place{Options{StateDir: t.TempDir(), URL: server.DSN("postgres")}}
	s := p.open(t)
	l := lease(t, s)
	b, err := NewBuffered(ctx, s, stack)
	must(t, err)

	server.Freeze()
	must(t, b.Begin(ctx, l, Attempt{ID: "a1", Stack: stack, StartedAt: at, Payload: json.RawMessage(`{}`)})) // sent, not answered
	must(t, b.AddEvents(ctx, Event{Incident: "i1", Text: "restarted"}))
	must(t, b.Finish(ctx, l, "a1", "done", "", at))
	known, err := b.OpenAttempts(ctx)
	must(t, err)
	if b.Degraded() == nil {
		t.Error("the outage was not noticed")
	}
	server.Thaw()
	bounded, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for b.Flush(bounded) != nil {
		must(t, bounded.Err())
	}
	got, err := s.OpenAttempts(ctx, stack)
	must(t, err)
	equal(t, known, got)
	events, err := s.Events(ctx, "i1")
	must(t, err)
	equal(t, 1, len(events))
}

// big makes a write need a new page, so that a full disk refuses it.
var big = json.RawMessage(`"` + strings.Repeat("x", 100_000) + `"`)

func (o outage) testGoesOn(t *testing.T) {
	ctx, now := t.Context(), time.Now().UTC().Truncate(time.Microsecond)
	must(t, o.s.SaveRevision(ctx, Revision{Stack: stack, ID: "r1", Model: []byte("one"), Services: []ServiceRevision{{Service: "api", ConfigHash: "h1"}}}))
	must(t, o.s.MarkStable(ctx, stack, "api", "r1", now))
	b, err := NewBuffered(ctx, o.s, stack)
	must(t, err)
	l := lease(t, o.s)
	must(t, b.SaveIncident(ctx, Incident{ID: "i1", Opened: now, Document: big}))
	must(t, b.Begin(ctx, l, Attempt{ID: "a1", Stack: stack, Service: "api", Incident: "i1", StartedAt: now, Payload: json.RawMessage(`{}`)}))
	equal(t, true, escalate(t, b, "devops", now))
	// Another process pauses the stack; the next pass takes note, and comes at once where the database tells.
	must(t, b.Refresh(ctx))
	equal(t, false, b.News(ctx))
	must(t, o.open(t).SetOverride(ctx, Override{Stack: stack, Kind: Pause, Owner: "ops"}))
	equal(t, o.s.kind == sqlite, b.News(ctx))
	must(t, b.Refresh(ctx))
	equal(t, false, b.News(ctx))
	must(t, b.Degraded())

	o.down()
	must(t, b.SaveState(ctx, State{Service: "api", Document: big, Updated: now})) // notices that the store is down
	if b.Degraded() == nil {
		t.Fatal("the outage was not noticed")
	}
	o.writeWhileDown(t, b, l, now)
	known := o.view(t, b) // from memory
	equal(t, 2, len(known.Attempts))
	equal(t, "failed", known.Attempts[0].Verdict)
	equal(t, 1, len(known.Overrides))
	equal(t, "r2", known.Last.ID)
	equal(t, "r1", known.Stable.Revision)

	o.up()
	must(t, b.Flush(ctx))
	must(t, b.Degraded())
	fresh, err := NewBuffered(ctx, o.open(t), stack) // what another process sees
	must(t, err)
	equal(t, known, o.view(t, fresh))
	events, err := o.s.Events(ctx, "i1")
	must(t, err)
	equal(t, []string{"restarted", "again"}, []string{events[0].Text, events[1].Text})
	_, err = o.s.Evidence(ctx, "v1")
	must(t, err)
	samples, err := o.s.Samples(ctx, stack, "api", now)
	must(t, err)
	equal(t, 1, len(samples))
	equal(t, 1, undelivered(t, o.s))
	must(t, b.Close(ctx))
	must(t, l.Release(ctx))
}

// writeWhileDown makes one write of each kind.
func (o outage) writeWhileDown(t *testing.T, b *Buffered, l *Lease, now time.Time) {
	t.Helper()
	ctx := t.Context()
	must(t, b.Finish(ctx, l, "a1", "done", "", now))
	must(t, b.Verdict(ctx, l, "a1", "failed", now))
	must(t, b.Begin(ctx, l, Attempt{ID: "a2", Stack: stack, Service: "api", Incident: "i1", StartedAt: now.Add(1e6), Payload: json.RawMessage(`{}`)}))
	is(t, b.Finish(ctx, l, "a9", "done", "", now), ErrNotFound) // refused at once, not when the store is back
	must(t, b.SaveRevision(ctx, Revision{Stack: stack, ID: "r2", Model: []byte("two")}))
	must(t, b.AddEvents(ctx, Event{Incident: "i1", Text: "restarted"}, Event{Incident: "i1", Text: "again"}))
	must(t, b.AddEvidence(ctx, Evidence{ID: "v1", Incident: "i1", Data: []byte("log")}))
	must(t, b.AddSamples(ctx, Sample{Stack: stack, Service: "api", Probe: "http", At: now}))
	equal(t, false, escalate(t, b, "devops", now)) // never twice, also now
	equal(t, true, escalate(t, b, "emergency", now))
	due, err := b.ClaimDue(ctx, "slack", now, time.Minute, 0)
	must(t, err)
	equal(t, 2, len(due))
	must(t, b.Delivered(ctx, due[0].ID, due[0].Channel, now))
}

func escalate(t *testing.T, b *Buffered, tier string, now time.Time) bool {
	t.Helper()
	queued, err := b.Enqueue(t.Context(), Notification{Incident: "i1", Tier: tier, Kind: "escalated", Created: now, Channels: []string{"slack"}})
	must(t, err)
	return queued
}

// TestBufferedLosesNothing: a store that comes and goes ends with the same content as one that never failed, and what is
// read on the way is the same too. STORE_TEST_SEEDS sets how many histories are tried.
func TestBufferedLosesNothing(t *testing.T) {
	seeds := uint64(10)
	if n, err := strconv.ParseUint(os.Getenv("STORE_TEST_SEEDS"), 10, 64); err == nil {
		seeds = n
	}
	for seed := range seeds {
		random := rand.New(rand.NewPCG(seed, 0))
		steady, shaky := place{Options{StateDir: t.TempDir()}}.open(t), place{Options{StateDir: t.TempDir()}}.open(t)
		want, err := NewBuffered(t.Context(), steady, stack)
		must(t, err)
		got, err := NewBuffered(t.Context(), shaky, stack)
		must(t, err)
		leases := map[*Buffered]*Lease{want: lease(t, steady), got: lease(t, shaky)}
		for step := range 60 {
			switch random.IntN(10) {
			case 2: // the stack's numbers have gaps
				_ = shaky.SaveRevision(t.Context(), Revision{Stack: "engine/other", ID: strconv.Itoa(step)})
			case 3:
				if err := got.Refresh(t.Context()); err != nil && got.Degraded() == nil {
					t.Fatal(err)
				}
			case 0:
				must(t, shaky.exec(t.Context(), "fail", `PRAGMA query_only = 1`))
			case 1:
				must(t, shaky.exec(t.Context(), "recover", `PRAGMA query_only = 0`))
				must(t, got.Flush(t.Context()))
			default:
				do := randomWrite(random, step)
				for b, l := range leases {
					if err := do(t.Context(), b, l); err != nil && !errors.Is(err, ErrNotFound) {
						t.Fatalf("seed %d step %d: %v", seed, step, err)
					}
				}
			}
			equal(t, (outage{}).view(t, want), (outage{}).view(t, got))
		}
		must(t, shaky.exec(t.Context(), "recover", `PRAGMA query_only = 0`))
		must(t, got.Close(t.Context()))
		fresh, err := NewBuffered(t.Context(), shaky, stack)
		must(t, err)
		equal(t, (outage{}).view(t, want), (outage{}).view(t, fresh))
	}
}

// randomWrite returns a write of a random kind on one of a few rows.
func randomWrite(random *rand.Rand, step int) func(context.Context, *Buffered, *Lease) error {
	now := time.Now().UTC().Truncate(time.Second).Add(time.Duration(step) * time.Second)
	n := strconv.Itoa(random.IntN(5))
	id := "a" + n
	kinds := []func(context.Context, *Buffered, *Lease) error{
		func(ctx context.Context, b *Buffered, l *Lease) error {
			return b.Begin(ctx, l, Attempt{ID: id, Stack: stack, StartedAt: now})
		},
		func(ctx context.Context, b *Buffered, l *Lease) error { return b.Finish(ctx, l, id, "done", n, now) },
		func(ctx context.Context, b *Buffered, l *Lease) error {
			return b.Verdict(ctx, l, id, "recovered", now)
		},
		func(ctx context.Context, b *Buffered, _ *Lease) error {
			return b.SaveState(ctx, State{Service: n, Document: json.RawMessage(strconv.Itoa(step)), Updated: now})
		},
		func(ctx context.Context, b *Buffered, _ *Lease) error { return b.DeleteState(ctx, n) },
		func(ctx context.Context, b *Buffered, _ *Lease) error {
			return b.SetOverride(ctx, Override{Kind: n, Created: now})
		},
		func(ctx context.Context, b *Buffered, _ *Lease) error {
			return b.EndOverride(ctx, "", n, "", "ops", now)
		},
		func(ctx context.Context, b *Buffered, _ *Lease) error {
			return b.SaveIncident(ctx, Incident{ID: "i" + n, State: strconv.Itoa(step), Opened: now})
		},
		func(ctx context.Context, b *Buffered, _ *Lease) error {
			return b.SaveRevision(ctx, Revision{Stack: stack, ID: "r" + n, Model: []byte(n), AppliedAt: now, Services: []ServiceRevision{{Service: "api", ConfigHash: n}}})
		},
		func(ctx context.Context, b *Buffered, _ *Lease) error { return b.MarkStable(ctx, "api", "r"+n, now) },
	}
	return kinds[random.IntN(len(kinds))]
}

// view is what plan asks for.
type view struct {
	Attempts  []Attempt
	States    []State
	Overrides []Override
	Incidents []Incident
	Last      Revision
	Stable    StableRevision
}

func (o outage) view(t *testing.T, b *Buffered) view {
	t.Helper()
	var v view
	var errs [6]error
	ctx := t.Context()
	v.Attempts, errs[0] = b.Attempts(ctx, AttemptFilter{})
	v.States, errs[1] = b.States(ctx)
	v.Overrides, errs[2] = b.Overrides(ctx, time.Now())
	v.Incidents, errs[3] = b.Incidents(ctx, IncidentFilter{})
	v.Last, errs[4] = b.LastRevision(ctx)
	v.Stable, errs[5] = b.LastStable(ctx, "api", ServiceRevision{})
	for _, err := range errs {
		if err != nil && !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
	}
	for i := range v.Overrides {
		v.Overrides[i].ID = 0 // only orders them
	}
	return v
}

// testLeaseTakenMeanwhile: what was done is told even when the lease has gone to another process, and does not overrule it.
func (o outage) testLeaseTakenMeanwhile(t *testing.T) {
	ctx := t.Context()
	other := "engine/taken"
	b, err := NewBuffered(ctx, o.s, other)
	must(t, err)
	l, err := o.s.Acquire(ctx, other, ThisProcess("reconcile"), time.Nanosecond)
	must(t, err)
	must(t, b.Begin(ctx, l, Attempt{ID: "t1", Stack: other, StartedAt: at}))
	o.down()
	must(t, b.SaveState(ctx, State{Service: "x", Document: big}))
	must(t, b.Verdict(ctx, l, "t1", "recovered", at))
	must(t, b.Begin(ctx, l, Attempt{ID: "t2", Stack: other, StartedAt: at.Add(1e9)}))
	o.up()
	o.s.lapses.comeBack = 0
	taken, err := o.s.Acquire(ctx, other, ThisProcess("another"), time.Hour)
	must(t, err)
	must(t, o.s.Verdict(ctx, taken, "t1", "failed", at))
	must(t, b.Flush(ctx))
	all, err := o.s.Attempts(ctx, AttemptFilter{Stack: other})
	must(t, err)
	equal(t, "[t1 failed t2 ]", fmt.Sprint([]string{all[0].ID, all[0].Verdict, all[1].ID, all[1].Verdict}))
	is(t, b.Begin(ctx, l, Attempt{ID: "t3", Stack: other, StartedAt: at}), ErrFenced)
	must(t, b.Close(ctx))
}

// testFull: what does not fit is refused; what was acknowledged arrives.
func (o outage) testFull(t *testing.T) {
	ctx := t.Context()
	b, err := NewBuffered(ctx, o.s, "engine/full")
	must(t, err)
	o.down()
	must(t, b.SaveState(ctx, State{Service: "api", Document: big}))
	data := bytes.Repeat([]byte("x"), maxBufferedBytes/4)
	acknowledged := 0
	for err = b.AddEvidence(ctx, Evidence{Incident: "full", Data: data}); err == nil; acknowledged++ {
		err = b.AddEvidence(ctx, Evidence{Incident: "full", Data: data})
	}
	is(t, err, ErrBufferFull)
	o.up()
	must(t, b.Close(ctx))
	kept, err := o.s.EvidenceOf(ctx, "full")
	must(t, err)
	equal(t, acknowledged, len(kept))
}

// TestBufferedReadsAnew: what is kept in mind of a store is what stands there, whoever wrote it last.
func TestBufferedReadsAnew(t *testing.T) {
	ctx, now := t.Context(), time.Now().UTC().Truncate(time.Microsecond)
	p := place{Options{StateDir: t.TempDir()}}
	s, other := p.open(t), p.open(t)
	b, err := NewBuffered(ctx, s, stack)
	must(t, err)
	holds := func(revision string, stable bool, incidents int) {
		t.Helper()
		for range 2 { // read, and as kept
			last, err := b.LastRevision(ctx)
			must(t, err)
			equal(t, revision, last.ID)
			equal(t, stable, !last.Services[0].StableAt.IsZero())
			all, err := b.Incidents(ctx, IncidentFilter{})
			must(t, err)
			equal(t, incidents, len(all))
		}
	}
	services := []ServiceRevision{{Service: "api", ConfigHash: "h1"}}
	must(t, b.SaveRevision(ctx, Revision{Stack: stack, ID: "r1", Model: []byte("one"), Services: services}))
	holds("r1", false, 0)
	must(t, b.MarkStable(ctx, "api", "r1", now))
	must(t, b.SaveIncident(ctx, Incident{ID: "i1", Opened: now, Document: json.RawMessage(`{}`)}))
	holds("r1", true, 1)
	must(t, other.SaveRevision(ctx, Revision{Stack: stack, ID: "r2", Model: []byte("two"), Services: []ServiceRevision{{Service: "api", ConfigHash: "h2"}}}))
	must(t, other.SaveIncident(ctx, Incident{Stack: stack, ID: "i2", Opened: now, Document: json.RawMessage(`{}`)}))
	must(t, b.Refresh(ctx))
	holds("r2", false, 2)
}
