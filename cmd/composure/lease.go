package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"composure/controller/store"
)

// leaseTTL is how long a stack stays leased to a process that died on another host. On the same host a dead process is
// noticed at once.
const leaseTTL = 30 * time.Second

// handover is how long a command waits for a running remediator to end what it is doing and to lend the stack.
const handover = 30 * time.Second

// remediator is how continuous mode calls itself in the lease: the one holder that lends it.
const remediator = "reconcile"

// hold takes the lease, once, and keeps it until close.
func (m *memory) hold(ctx context.Context) error {
	if m.lease != nil {
		return nil
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

// acquire takes the lease. A running remediator is asked to lend it, which it does as soon as nothing is in flight; any
// other holder is an error at once.
func (m *memory) acquire(ctx context.Context) (lease *store.Lease, err error) {
	lease, err = m.Acquire(ctx, m.key, m.owner, leaseTTL)
	var held *store.LeasedError
	if !errors.As(err, &held) || held.Owner.Command != remediator {
		return lease, err
	}
	ask := store.Override{
		Stack: m.key, Kind: overrideHandover, Field: m.owner.Token, Owner: m.owner.Command, Created: time.Now(), Until: time.Now().Add(handover),
	}
	if err := m.SetOverride(ctx, ask); err != nil {
		return nil, err
	}
	defer func() {
		end := m.EndOverride(context.WithoutCancel(ctx), m.key, "", overrideHandover, ask.Field, m.owner.Command, time.Now())
		err = errors.Join(err, end)
	}()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for time.Now().Before(ask.Until) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-ticker.C:
		}
		if lease, err = m.Acquire(ctx, m.key, m.owner, leaseTTL); err == nil || !errors.Is(err, store.ErrLeased) {
			return lease, err
		}
	}
	return nil, fmt.Errorf("the running remediator did not lend the stack within %s, it has work in flight: %w", handover, err)
}

// close gives the lease back.
func (m *memory) close(ctx context.Context) error {
	if m.lease == nil {
		return m.Close()
	}
	m.stop()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return errors.Join(m.lease.Release(ctx), m.Close())
}
