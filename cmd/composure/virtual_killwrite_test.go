package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"composure/test/sim"
)

// TestVirtualKilledAfterWrites: kill -9 right after every write about a remedy, from the incident to its end: between a decision
// on record and its job, between the incident and the first call, between an outcome and the verdict. The next process goes on from
// what is on record: the same promises as after a kill between two steps, and no call that is not on record.
func TestVirtualKilledAfterWrites(t *testing.T) {
	everyRemedy(t, func(w *world) { w.writes = &writes{at: -1} }, (*killing).afterEveryWrite)
}

// matter are the tables that a remedy is on record in. A lease, an answer of a probe or evidence decides nothing.
var matter = []string{"attempts", "incidents", "overrides", "outbox", "revisions", "revision_services", "states"}

// writes counts what is written, and knows after which write the process dies.
type writes struct {
	mu   sync.Mutex
	at   int // number of the write after which it dies; negative: it lives
	n    int
	dead bool
	what string // it had just written
}

func (s *writes) arm(at int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at, s.n, s.dead, s.what = at, 0, false, ""
}
func (s *writes) died() bool   { s.mu.Lock(); defer s.mu.Unlock(); return s.dead }
func (s *writes) made() int    { s.mu.Lock(); defer s.mu.Unlock(); return s.n }
func (s *writes) last() string { s.mu.Lock(); defer s.mu.Unlock(); return s.what }

// hit says whether the process dies with this write.
func (s *writes) hit(tables []string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	about := func(table string) bool { return slices.Contains(matter, table) }
	if s.dead || s.at < 0 || !slices.ContainsFunc(tables, about) {
		return false
	}
	if s.dead = s.n == s.at; s.dead {
		s.what = strings.Join(slices.DeleteFunc(slices.Clone(tables), func(table string) bool { return !about(table) }), ", ")
	}
	s.n++
	return s.dead
}

// ownStore is the store of one process that can die with a write; nothing of it comes to the store after that.
type ownStore struct {
	*writes
	die func()

	mu   sync.Mutex
	dead bool
}

var errDied = errors.New("this process is dead")

// Fails implements sim.Owner.
func (o *ownStore) Fails(bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.dead {
		return errDied
	}
	return nil
}

// Stirred implements sim.Owner.
func (o *ownStore) Stirred() {}

// Wrote implements sim.Owner.
func (o *ownStore) Wrote(tables []string, _ bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.dead && o.hit(tables) {
		o.dead = true
		o.die()
	}
	if o.dead {
		return errDied
	}
	return nil
}

// ownApp is the program with a path of its own to the store, by which its writes are known.
func (w *world) ownApp(die func()) *app {
	w.processes++
	dir := filepath.Join(filepath.Dir(w.app.stateDir), fmt.Sprintf("process-%d", w.processes))
	if err := errors.Join(os.MkdirAll(w.app.stateDir, 0o700), os.Symlink(w.app.stateDir, dir)); err != nil {
		w.t.Fatal(err)
	}
	sim.Own(dir, &ownStore{writes: w.writes, die: die})
	by := *w.app
	by.stateDir, by.outside.driver = dir, sim.Driver
	return &by
}

// afterEveryWrite makes the fault again and again, and has the process die one write later each time, until there is none.
func (k *killing) afterEveryWrite(w *world) {
	w.sleep(12 * time.Minute) // what runs is proven
	s := w.writes
	for write, struck := 0, true; struck; write++ {
		s.arm(-1)
		before := len(w.all())
		if k.prepare != nil {
			k.prepare(w)
		}
		w.sim.ForgetCalls()
		s.arm(write)
		k.fault(w)
		w.until(2*time.Hour, "the process dies, or the remedy is through", func() bool {
			return s.died() || (s.made() > 0 && w.well() && len(w.open()) == 0)
		})
		if !s.died() {
			w.sleep(15 * time.Minute) // until it is proven
		}
		if struck = s.died(); struck {
			w.stop()
			w.start()
		} else if write < 2 {
			w.t.Errorf("only %d writes were found", write)
		}
		last := s.last()
		s.arm(-1)
		w.until(2*time.Hour, "all runs, and is resolved", func() bool { return w.well() && len(w.open()) == 0 })
		w.sleep(15 * time.Minute)
		k.check(w, write, before)
		k.recorded(w, write, before)
		if w.t.Failed() {
			w.t.Fatalf("killed after write %d, of %s", write, last)
		}
	}
}

// recorded holds the calls of a rung against what is on record: none was made beyond it, since it is on record before.
func (k *killing) recorded(w *world, write, before int) {
	calls := w.calls("restart shop-" + k.service + "-1")
	for _, i := range w.all()[before:] {
		if calls > i.Actions {
			w.t.Errorf("killed after write %d: %d restarts, and %d on record", write, calls, i.Actions)
		}
	}
}
