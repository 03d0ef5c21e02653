package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"
)

var (
	// ErrLeased is what a *LeasedError is: another process works on the stack.
	ErrLeased = errors.New("the stack is leased")
	// ErrLeaseLost says that the lease ended and another process may hold it: no action any more (safety rule 9).
	ErrLeaseLost = errors.New("the lease is lost")
	// ErrFenced says that a write was refused because its lease is not the current one.
	ErrFenced = errors.New("the lease is not the current one")
)

// Owner is a process that works on a stack.
type Owner struct {
	Host    string
	PID     int
	Command string // what people recognise, such as "reconcile" or "restart api"
	Token   string // unique to the holder; the same token acquires its own lease again; empty: a fresh one
}

// ThisProcess returns this process as an owner, with a fresh token.
func ThisProcess(command string) Owner {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return Owner{Host: host, PID: os.Getpid(), Command: command, Token: NewID()}
}

// Holding is a lease as others see it: its owner's token is left out, whoever knows that could pose as the holder.
type Holding struct {
	Stack   string
	Owner   Owner
	Since   time.Time
	Expires time.Time
}

// LeasedError says who holds a stack. errors.Is(err, ErrLeased) recognises it.
type LeasedError struct{ Holding }

// Error names the holder, so that a person can find it.
func (e *LeasedError) Error() string {
	return fmt.Sprintf("%v: by %q, pid %d on %s, since %s", ErrLeased, e.Owner.Command, e.Owner.PID, e.Owner.Host,
		e.Since.Format(time.RFC3339))
}

// Is makes errors.Is(err, ErrLeased) true.
func (e *LeasedError) Is(target error) bool { return target == ErrLeased }

// Lease is the right to act on one stack, until it expires or is taken over. Methods are safe for concurrent use.
type Lease struct {
	Stack string
	Owner Owner
	Fence int64 // grows with every holder: a write with an older one is refused
	TTL   time.Duration

	s *Store
}

// leaseRow is a lease as it is stored.
type leaseRow struct {
	owner          Owner
	process        string
	fence          int64
	since, expires time.Time
}

// free says whether someone else may take the lease: released, expired, or its holder ended without releasing it.
func (r leaseRow) free(now time.Time) bool {
	return r.owner.Token == "" || !r.expires.After(now) || processDead(r.owner.PID, r.process)
}

func (r leaseRow) holding(stack string) Holding {
	r.owner.Token = ""
	return Holding{Stack: stack, Owner: r.owner, Since: r.since, Expires: r.expires}
}

// Acquire takes the lease of a stack for ttl, or returns a *LeasedError that names the holder. A lease is taken over
// when it has expired, and at once when its holder is known to be dead: same boot of the same machine, same pid
// namespace, and the process is gone. Between hosts the clocks must agree to well within ttl.
func (s *Store) Acquire(ctx context.Context, stack string, o Owner, ttl time.Duration) (*Lease, error) {
	if o.Token == "" {
		o.Token = NewID()
	}
	l := &Lease{Stack: stack, Owner: o, TTL: ttl, s: s}
	err := s.tx(ctx, "lease the stack", func(tx *sql.Tx) error {
		// An update that changes nothing locks the row, in either database.
		row, err := scanLease(tx.QueryRowContext(ctx, `INSERT INTO leases (stack, fence, token, host, pid, process, command, since, expires)
			VALUES ($1, 0, '', '', 0, '', '', 0, 0) ON CONFLICT (stack) DO UPDATE SET fence = leases.fence
			RETURNING fence, token, host, pid, process, command, since, expires`, stack))
		if err != nil {
			return err
		}
		now := time.Now()
		switch {
		case row.owner.Token == o.Token:
			l.Fence = row.fence
		case row.free(now):
			l.Fence, row.since = row.fence+1, now
		default:
			return &LeasedError{row.holding(stack)}
		}
		_, err = tx.ExecContext(ctx, `UPDATE leases SET fence = $2, token = $3, host = $4, pid = $5, process = $6,
			command = $7, since = $8, expires = $9 WHERE stack = $1`,
			stack, l.Fence, o.Token, o.Host, o.PID, processID(o.PID), o.Command, micros(row.since), micros(now.Add(ttl)))
		return err
	})
	if held, ok := errors.AsType[*LeasedError](err); ok {
		return nil, held
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Holder returns who holds the lease of a stack; ErrNotFound when it is free.
func (s *Store) Holder(ctx context.Context, stack string) (Holding, error) {
	row, err := scanLease(s.db.QueryRowContext(ctx,
		`SELECT fence, token, host, pid, process, command, since, expires FROM leases WHERE stack = $1`, stack))
	switch {
	case errors.Is(err, sql.ErrNoRows), err == nil && row.free(time.Now()):
		return Holding{}, fmt.Errorf("lease of %s: %w", stack, ErrNotFound)
	case err != nil:
		return Holding{}, fmt.Errorf("read the lease: %w", err)
	}
	return row.holding(stack), nil
}

func scanLease(r *sql.Row) (leaseRow, error) {
	var row leaseRow
	var since, expires int64
	err := r.Scan(&row.fence, &row.owner.Token, &row.owner.Host, &row.owner.PID, &row.process, &row.owner.Command, &since, &expires)
	row.since, row.expires = moment(since), moment(expires)
	return row, err
}

// Renew extends the lease by its ttl from now; ErrLeaseLost when someone else has taken it. Any other error says
// nothing about the lease: the store could not be asked.
func (l *Lease) Renew(ctx context.Context) error {
	res, err := l.s.db.ExecContext(ctx, `UPDATE leases SET expires = $4 WHERE stack = $1 AND fence = $2 AND token = $3`,
		l.Stack, l.Fence, l.Owner.Token, micros(time.Now().Add(l.TTL)))
	if err == nil {
		var n int64
		if n, err = res.RowsAffected(); err == nil && n == 0 {
			err = ErrLeaseLost
		}
	}
	if err != nil {
		return fmt.Errorf("renew the lease: %w", err)
	}
	return nil
}

// Heartbeat renews the lease three times a ttl until ctx ends (nil) or the lease is lost (ErrLeaseLost). While the
// store is down it keeps trying: nobody else can take a lease from a store that is down.
func (l *Lease) Heartbeat(ctx context.Context) error {
	tick := time.NewTicker(max(l.TTL/3, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := l.Renew(ctx); errors.Is(err, ErrLeaseLost) {
			return err
		}
	}
}

// Release gives the lease back. It is no error when it was lost before.
func (l *Lease) Release(ctx context.Context) error {
	return l.s.exec(ctx, "release the lease", `UPDATE leases SET token = '', expires = 0
		WHERE stack = $1 AND fence = $2 AND token = $3`, l.Stack, l.Fence, l.Owner.Token)
}

// checkFence locks the lease for the rest of the transaction, or returns ErrFenced: a holder that was overtaken while it slept
// must not record, and so not begin, anything.
func (s *Store) checkFence(ctx context.Context, tx *sql.Tx, l *Lease) error {
	if s.unfenced {
		return nil
	}
	if l == nil {
		return ErrFenced
	}
	res, err := tx.ExecContext(ctx, `UPDATE leases SET fence = fence WHERE stack = $1 AND fence = $2 AND token = $3`,
		l.Stack, l.Fence, l.Owner.Token)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(ErrFenced, err)
	}
	return nil
}
