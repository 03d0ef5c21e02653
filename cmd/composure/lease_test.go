package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"composure/controller/store"
)

// elsewhere is a remediator on another host: whether it lives, its lease alone tells.
var elsewhere = store.Owner{Host: "elsewhere", Command: remediator, Token: "its"}

// afterAnOutage has a command ask for a stack whose lease has run out while the store was down, and follows it.
func afterAnOutage(t *testing.T, follow func(ctx context.Context, holder *store.Lease, got func() bool, said func() string)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s, err := store.Open(ctx, store.Options{StateDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		holder, err := s.Acquire(ctx, "engine/shop", elsewhere, leaseTTL)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // which the holder spends on acting from memory

		var said bytes.Buffer
		m := &memory{Store: s, key: "engine/shop", owner: store.ThisProcess("restart api"), waits: waits(&said), lost: func(error) {}}
		acquired := make(chan error, 1)
		go func() { acquired <- m.hold(ctx) }()
		follow(ctx, holder, func() bool { synctest.Wait(); return len(acquired) > 0 }, said.String)
		if err := <-acquired; err != nil {
			t.Errorf("it ended with %v", err)
		}
		if m.stop != nil {
			m.stop()
		}
		synctest.Wait()
	})
}

// TestCommandAfterAnOutage: a command that is given right after an outage of the store leaves the stack to the remediator that has
// gone on from memory, as long as that comes back: what it did is not on record yet.
func TestCommandAfterAnOutage(t *testing.T) {
	afterAnOutage(t, func(ctx context.Context, holder *store.Lease, got func() bool, _ func() string) {
		time.Sleep(4 * time.Second) // it does not find the store back at the same moment
		if got() {
			t.Fatal("it took the lease before its holder could renew it")
		}
		if err := holder.Renew(ctx); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		if got() {
			t.Fatal("it took a lease that is renewed")
		}
		if err := holder.Release(ctx); err != nil { // as it does when it is asked, and has done what it had begun
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if !got() {
			t.Error("it did not get the lease that was given back")
		}
	})
}

// TestCommandAfterADeath: when the holder does not come back, the command has the stack seconds later, and says what it waits for.
func TestCommandAfterADeath(t *testing.T) {
	afterAnOutage(t, func(_ context.Context, _ *store.Lease, got func() bool, said func() string) {
		time.Sleep(8 * time.Second)
		if got() || !strings.Contains(said(), "may come back yet") {
			t.Errorf("taken too soon, or nothing said: %q", said())
		}
		time.Sleep(4 * time.Second)
		if !got() {
			t.Error("it was not taken over")
		}
	})
}
