package engine_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"composure/controller/engine"
	"composure/controller/observe"
)

// TestPingsAreShared: of an engine that hangs many who ask hear as soon as one does, each may leave before, and who asks right
// after it hears the same at once.
func TestPingsAreShared(t *testing.T) {
	cleanEnvironment(t)
	synctest.Test(t, func(t *testing.T) {
		var dialled atomic.Int32
		e, err := engine.Find(engine.Options{Host: "unix:///simulated", Dial: func(context.Context, string, string) (net.Conn, error) {
			dialled.Add(1)
			ours, theirs := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, theirs) }()
			return ours, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		asks := func(ctx context.Context, want error, within time.Duration, pings int32) {
			t.Helper()
			began := time.Now()
			if _, err := e.Engine(ctx); !errors.Is(err, want) || time.Since(began) != within || dialled.Load() != pings {
				t.Errorf("after %s and %d pings: %v; expected %v after %s and %d", time.Since(began), dialled.Load(), err, want, within, pings)
			}
		}
		hasty, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		var all sync.WaitGroup
		all.Go(func() { asks(hasty, context.DeadlineExceeded, time.Second, 1) })
		synctest.Wait()
		for range 8 {
			all.Go(func() { asks(t.Context(), observe.ErrNoAnswer, 10*time.Second, 1) })
		}
		all.Wait()
		asks(t.Context(), observe.ErrNoAnswer, 0, 1)
		time.Sleep(time.Second)
		hasty, leave = context.WithTimeout(t.Context(), time.Second)
		defer leave()
		asks(hasty, context.DeadlineExceeded, time.Second, 2) // nobody waits for it any more
		asks(t.Context(), observe.ErrNoAnswer, 10*time.Second, 3)
	})
}
