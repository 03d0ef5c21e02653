package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync"
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
type LeasedError struct {
	Holding
	Lapsed bool // it has expired, and its holder may come back yet: whoever asks on gets it after a moment
}

// Error names the holder, so that a person can find it.
func (e *LeasedError) Error() string {
	text := fmt.Sprintf("%v: by %q, pid %d on %s, since %s", ErrLeased, e.Owner.Command, e.Owner.PID, e.Owner.Host,
		e.Since.Format(time.RFC3339))
	if e.Lapsed {
		text += ", who has not renewed it and may come back yet"
	}
	return text
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

// given says whether the lease is nobody's: released, or its holder ended without releasing it.
func (r leaseRow) given() bool { return r.owner.Token == "" || processDead(r.owner.PID, r.process) }

// lapsed says whether its holder has not renewed it in time.
func (r leaseRow) lapsed(now time.Time) bool { return !r.expires.After(now) }

func (r leaseRow) holding(stack string) Holding {
	r.owner.Token = ""
	return Holding{Stack: stack, Owner: r.owner, Since: r.since, Expires: r.expires}
}

// A lease that has expired is taken over after comeBack, in which whoever wants it has asked for it at least every asksOn. The
// store may have been down, so that nobody could renew anything: the holder has gone on from memory, and what it did is not on
// record yet. Once the store answers it renews within seconds.
const (
	comeBack = 10 * time.Second
	asksOn   = 3 * time.Second
)

// lapses are the expired leases that this process has seen.
type lapses struct {
	comeBack, asksOn time.Duration

	mu   sync.Mutex
	seen map[string]lapse // by stack
}

// lapse is one, in a row of looks at it.
type lapse struct {
	fence       int64
	expires     time.Time
	first, last time.Time // looks
}

// over says whether the holder of an expired lease had its time to come back. One that has renewed it since is another lapse, and
// so is a look after a gap, in which the store may have been down.
func (l *lapses) over(stack string, r leaseRow, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	one, known := l.seen[stack]
	if !known || one.fence != r.fence || !one.expires.Equal(r.expires) || now.Sub(one.last) > l.asksOn {
		one = lapse{fence: r.fence, expires: r.expires, first: now}
	}
	one.last = now
	l.seen[stack] = one
	return now.Sub(one.first) >= l.comeBack
}

// forget begins the row of looks anew: the store could not be asked.
func (l *lapses) forget(stack string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.seen, stack)
}

// Acquire takes the lease of a stack for ttl, or returns a *LeasedError that names the holder. A lease is taken over at once
// when its holder is known to be dead: same boot of the same machine, same pid namespace, and the process is gone. One that
// has expired is taken over by whoever asks for it again and again for comeBack. Between hosts the clocks must agree to well
// within ttl.
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
		case row.given() || row.lapsed(now) && s.lapses.over(stack, row, now):
			l.Fence, row.since = row.fence+1, now
		default:
			return &LeasedError{row.holding(stack), row.lapsed(now)}
		}
		_, err = tx.ExecContext(ctx, `UPDATE leases SET fence = $2, token = $3, host = $4, pid = $5, process = $6,
			command = $7, since = $8, expires = $9 WHERE stack = $1`,
			stack, l.Fence, o.Token, o.Host, o.PID, processID(o.PID), o.Command, micros(row.since), micros(now.Add(ttl)))
		return err
	})
	if held, ok := errors.AsType[*LeasedError](err); ok {
		return nil, held
	}
	s.lapses.forget(stack)
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
	case errors.Is(err, sql.ErrNoRows), err == nil && (row.given() || row.lapsed(time.Now())):
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
// store is down it tries every second, so that it is renewed at once when the store is back: nobody else can take a lease
// from a store that is down, and then it has its time to come back.
func (l *Lease) Heartbeat(ctx context.Context) error {
	every := max(l.TTL/3, time.Millisecond)
	next := time.NewTimer(every)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-next.C:
		}
		bounded, cancel := context.WithTimeout(ctx, storeTimeout)
		err := l.Renew(bounded)
		cancel()
		switch {
		case errors.Is(err, ErrLeaseLost):
			return err
		case err != nil:
			next.Reset(min(every, time.Second))
		default:
			next.Reset(every)
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
