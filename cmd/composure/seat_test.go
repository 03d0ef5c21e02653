package main

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"composure/controller/store"
)

// TestBefore: who was there first goes on, but that root waits for root alone, and everybody for root.
func TestBefore(t *testing.T) {
	began := time.Date(2026, 11, 2, 3, 0, 0, 0, time.UTC)
	one := func(uid, pid int, after time.Duration) occupant {
		return occupant{PID: pid, Since: began.Add(after), uid: uid}
	}
	for _, c := range []struct {
		text         string
		first, other occupant
	}{
		{"the older of one user", one(1000, 2, 0), one(1000, 1, time.Second)},
		{"the older of two users", one(1001, 2, 0), one(1000, 1, time.Second)},
		{"the older of root", one(0, 2, 0), one(0, 1, time.Second)},
		{"root, though younger", one(0, 2, time.Hour), one(1000, 1, 0)},
		{"root, and older", one(0, 2, 0), one(1000, 1, time.Hour)},
		{"of one moment the lower pid", one(1000, 1, 0), one(1000, 2, 0)},
	} {
		if !c.first.before(c.other) || c.other.before(c.first) {
			t.Errorf("%s does not go before", c.text)
		}
	}
}

// present are others on a machine.
type present struct {
	mu   sync.Mutex
	here []occupant
}

func (p *present) seating() *seating {
	return &seating{say: func(func() []occupant) error { return nil }, ask: func() []occupant {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.here
	}}
}

func (p *present) set(here ...occupant) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.here = here
}

// TestVirtualElsewhere: while somebody with another store works on the stack, the remediator does nothing, and a command touches
// nothing and says who it is. Afterwards the remediator goes on.
func TestVirtualElsewhere(t *testing.T) {
	var others present
	prepare := func(w *world) { w.app.outside.seats = others.seating() }
	virtuallyWith(t, shop, prepare, func(w *world) {
		root := occupant{Stack: w.mem.stack, Store: "another", Where: "/srv/memory", PID: 42, Command: "reconcile", Since: w.mem.seat.own.Since.Add(-time.Hour)}
		others.set(root)
		w.sim.Remove("worker")
		w.sleep(time.Hour)
		if calls := w.sim.Calls(); len(calls) > 0 {
			t.Errorf("touched although another process works on the stack: %q", calls)
		}
		for _, args := range [][]string{
			{"pause"}, {"resume"}, {"status"}, {"history"}, {"incidents", "list"}, {"restart", "api"}, {"rollback", "api"}, {"release", "api"}, {"reconcile", "--once"},
		} {
			err := w.try(args...)
			if err == nil || !errors.Is(err, store.ErrLeased) || !strings.Contains(err.Error(), `"reconcile", pid 42 of root, in /srv/memory`) {
				t.Errorf("composure %q: %v", args, err)
			}
		}
		if calls := w.sim.Calls(); len(calls) > 0 {
			t.Errorf("a command touched the stack: %q", calls)
		}
		others.set(occupant{Stack: "another", Store: "another", PID: 42})
		w.until(2*time.Minute, "it is looked after again", w.well)
	})
}

// TestVirtualSeatIsLent: a command that shares the store of the remediator is not taken for a stranger.
func TestVirtualSeatIsLent(t *testing.T) {
	var others present
	prepare := func(w *world) { w.app.outside.seats = others.seating() }
	virtuallyWith(t, shop, prepare, func(w *world) {
		others.set(w.mem.seat.own)
		w.command("pause", "worker")
		w.command("resume", "worker")
		w.command("restart", "worker")
		w.sim.Remove("worker")
		w.until(2*time.Minute, "it is looked after", w.well)
	})
}
