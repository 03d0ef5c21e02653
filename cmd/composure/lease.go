package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"composure/controller/store"
)

// leaseTTL is how long a stack stays leased to a process that died on another host. On the same host a dead process is
// noticed at once.
const leaseTTL = 30 * time.Second

// How a command gets the stack from a running remediator. What it asks expires unless it is asked again: one that died does
// not keep the remediator from its work. It waits for what is in flight, of which a graceful stop takes longest.
const (
	handover = 3 * time.Minute
	asking   = 15 * time.Second // until what was asked expires
	again    = 5 * time.Second  // until it is asked again
	patience = 2 * time.Second  // until a person is told what is waited for
)

// remediator is how continuous mode calls itself in the lease: the one holder that lends it.
const remediator = "reconcile"

// hold takes the lease, once, and keeps it until close.
func (m *memory) hold(ctx context.Context) error {
	if m.lease != nil {
		return nil
	}
	if err := m.seat.take(); err != nil {
		return err
	}
	lease, err := m.acquire(ctx)
	if err != nil {
		return err
	}
	beat, stop := context.WithCancel(context.WithoutCancel(ctx))
	m.lease, m.stop = lease, stop
	go func() {
		if err := lease.Heartbeat(beat); err != nil {
			m.lost(err)
		}
	}()
	return nil
}

// acquire takes the lease. A running remediator is asked to lend it, which it does as soon as nothing is in flight. A holder that
// has let it expire has a moment to come back; any other one is an error at once.
func (m *memory) acquire(ctx context.Context) (lease *store.Lease, err error) {
	lease, err = m.Acquire(ctx, m.key, m.owner, leaseTTL)
	var held *store.LeasedError
	if !errors.As(err, &held) || !held.Lapsed && held.Owner.Command != remediator {
		return lease, err
	}
	defer func() {
		end := m.EndOverride(context.WithoutCancel(ctx), m.key, "", overrideHandover, m.owner.Token, m.owner.Command, time.Now())
		if !errors.Is(end, store.ErrNotFound) {
			err = errors.Join(err, end)
		}
	}()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	var asked time.Time
	for began := time.Now(); time.Since(began) < handover; {
		if time.Since(asked) >= again {
			asked = time.Now()
			if err := m.ask(ctx, asked); err != nil {
				return nil, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-ticker.C:
		}
		lease, err = m.Acquire(ctx, m.key, m.owner, leaseTTL)
		if !errors.As(err, &held) || !held.Lapsed && held.Owner.Command != remediator {
			return lease, err
		}
		if m.waits != nil && time.Since(began) >= patience {
			m.waits(held)
			m.waits = nil
		}
	}
	return nil, fmt.Errorf("the running remediator did not lend the stack within %s, it has work in flight: %w", handover, err)
}

// waits tells a person what is waited for.
func waits(out io.Writer) func(*store.LeasedError) {
	return func(held *store.LeasedError) {
		if held.Lapsed {
			fmt.Fprintf(out, "waiting a moment: %v\n", held)
			return
		}
		fmt.Fprintln(out, "waiting for the running remediator to end what it has begun; it begins nothing new meanwhile")
	}
}

// ask notes that this command wants the stack, for a while.
func (m *memory) ask(ctx context.Context, now time.Time) error {
	return m.SetOverride(ctx, store.Override{
		Stack: m.key, Kind: overrideHandover, Field: m.owner.Token, Owner: m.owner.Command, Created: now, Until: now.Add(asking),
	})
}

// close gives the lease back.
func (m *memory) close(ctx context.Context) error {
	defer m.seat.give()
	if m.lease == nil {
		return m.Close()
	}
	m.stop()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return errors.Join(m.lease.Release(ctx), m.Close())
}
