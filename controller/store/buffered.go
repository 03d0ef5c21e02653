package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ErrBufferFull says that the store has been down for so long that nothing more can be remembered: what needs a
// recorded intent must wait.
var ErrBufferFull = errors.New("the store is down and the buffer is full")

// Bounds of what is remembered while the store is down, and of how long it may keep anybody waiting.
const (
	maxBuffered      = 10_000   // writes
	maxBufferedBytes = 32 << 20 // of their payloads
	storeTimeout     = 5 * time.Second
	flushing         = time.Second // of what waits, before others have their turn
	firstRetry       = time.Second
	lastRetry        = 30 * time.Second
	recopied         = time.Hour      // how long the mirror is trusted while nobody else writes: what is old leaves it
	mirrored         = 48 * time.Hour // how far back the mirror goes for what is closed; recurrence asks for 24 hours
)

// Buffered is the store of one stack for a process that must go on when the store is down (disk full, server away).
//
// It keeps the working set of the stack in memory, in a second Store that runs the same statements. While the store is
// down, writes are acknowledged from there and queued, in order; reads are answered from there; the store is tried again
// every 1 to 30 s, and once it is back the queue is written before anything else. What was acknowledged is lost only if
// the process ends before. Methods mean what they mean on Store and are safe for concurrent use.
//
// A write does not end with its caller's context: what was done is to be on record, however long the store takes. What
// healing can do without, evidence and the answers of probes, gets half of the buffer, so that it never keeps an intent out.
//
// A lease cannot be taken from a store that is down, so Acquire is Store's; Lease.Heartbeat outlives an outage. What
// was queued had been acted on: it is written even if another process has taken the lease by then, because the budget
// must count it; an outcome or verdict that the other has recorded stays.
type Buffered struct {
	stack  string
	store  *Store
	mirror *Store

	mu    sync.Mutex // also the order of writes
	queue []write
	bytes int
	down  error     // why the store failed last; nil: it is up
	next  time.Time // when to try again while it is down
	delay time.Duration

	newest int64     // number of the last revision that the mirror has copied
	mark   mark      // what the store was at when the mirror copied it
	copied time.Time // when that was

	last      *Revision  // the last one, as read since anybody wrote one; nil: it has to be read
	incidents []Incident // all of them, likewise
}

// write is one acknowledged write that the store does not have yet.
type write struct {
	what  string
	row   string // the row that it replaces whole: of several only the last one has to be written; empty: it adds to others
	spare bool   // healing can do without it
	bytes int
	do    func(context.Context, *Store) error
}

// NewBuffered returns a buffered view of one stack. The store must be up, and stays open when the view is closed.
func NewBuffered(ctx context.Context, s *Store, stack string) (*Buffered, error) {
	db, err := openSQLiteURL(s.driver, "file::memory:")
	if err != nil {
		return nil, fmt.Errorf("mirror the store: %w", err)
	}
	b := &Buffered{stack: stack, store: s, mirror: &Store{db: db, kind: sqlite, key: s.key, log: s.log, unfenced: true}}
	if err := b.mirror.createSchema(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("mirror the store: %w", err), db.Close())
	}
	if err := b.Refresh(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return b, nil
}

// Store returns the store behind it.
func (b *Buffered) Store() *Store { return b.store }

// Degraded returns nil when the store has everything, else why it has not and how much waits.
func (b *Buffered) Degraded() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down == nil {
		return nil
	}
	return fmt.Errorf("the store is down, %d writes wait: %w", len(b.queue), b.down)
}

// Flush tries to write what waits, at once. It returns why the store is still down, or nil when it has everything.
func (b *Buffered) Flush(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for left := len(b.queue) + 1; b.down != nil && len(b.queue) < left; { // in turns, while they get on
		left, b.next = len(b.queue), time.Time{}
		if b.flush(ctx) == nil {
			return nil
		}
	}
	return b.down
}

// Close flushes and forgets the mirror. An error says that acknowledged writes are lost.
func (b *Buffered) Close(ctx context.Context) error {
	err := b.Flush(ctx)
	if err != nil && len(b.queue) > 0 {
		err = fmt.Errorf("%d writes are lost: %w", len(b.queue), err)
	}
	return errors.Join(err, b.mirror.Close())
}

// flush writes the queue if there is one, unless it is too early to try again, for a turn: after a long outage it goes on with
// later calls, between which memory answers. nil says that the store is up and has everything. The caller holds mu.
func (b *Buffered) flush(ctx context.Context) error {
	if b.down == nil {
		return nil
	}
	if time.Now().Before(b.next) {
		return b.down
	}
	history := *b.store
	history.unfenced = true
	if len(b.queue) == 0 {
		if err := b.try(ctx, func(ctx context.Context) error { _, err := b.store.version(ctx); return err }); err != nil {
			return err
		}
	}
	for began := time.Now(); len(b.queue) > 0; {
		if time.Since(began) >= flushing {
			b.next = time.Now().Add(flushing)
			return b.down
		}
		w := b.queue[0]
		err := b.try(ctx, func(ctx context.Context) error { return w.do(ctx, &history) })
		if err != nil && !final(err) {
			return err
		}
		if err != nil {
			b.store.log.Error("the store refuses a write that was queued", "write", w.what, "error", err)
		}
		b.queue, b.bytes = b.queue[1:], b.bytes-w.bytes
	}
	b.store.log.Info("the store is back")
	b.queue, b.down, b.delay, b.mark = nil, nil, 0, mark{}
	return nil
}

// try runs one call against the store, bounded in time, and notes when the store is down. The caller holds mu.
func (b *Buffered) try(ctx context.Context, f func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err := f(bounded)
	if err == nil || final(err) || ctx.Err() != nil { // the caller gave up, not the store
		return err
	}
	if b.down == nil {
		b.store.log.Warn("the store is down; going on from memory", "error", err)
	}
	b.store.dropIdle()
	b.delay = min(max(2*b.delay, firstRetry), lastRetry)
	b.down, b.next = err, time.Now().Add(b.delay)
	return err
}

// final says whether an error is the store's answer, not its absence.
func final(err error) bool {
	return refused(err) || errors.Is(err, ErrNotFound) || errors.Is(err, ErrFenced) || errors.Is(err, ErrKey) || errors.Is(err, ErrInvalid) || errors.Is(err, ErrTaken) || errors.Is(err, ErrChanged)
}

// write gives a write to the store, or to memory while the store is down. mirror says whether memory keeps it too.
func (b *Buffered) write(ctx context.Context, w write, mirror bool) error {
	ctx = context.WithoutCancel(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.flush(ctx); err == nil {
		err := b.try(ctx, func(ctx context.Context) error { return w.do(ctx, b.store) })
		if err == nil && mirror {
			if err := w.do(ctx, b.mirror); err != nil { // such as the verdict on what is older than the mirror
				b.store.log.Debug("the mirror does not follow", "write", w.what, "error", err)
				b.mark = mark{}
			}
		}
		if err == nil || final(err) {
			return err
		}
	}
	if b.full(w) {
		return fmt.Errorf("%s: %w: %w", w.what, ErrBufferFull, b.down)
	}
	if mirror { // the same statement: what it refuses, the store would refuse
		if err := w.do(ctx, b.mirror); err != nil {
			return err
		}
	}
	b.enqueue(w)
	return nil
}

// full says whether there is no room for a write. The caller holds mu.
func (b *Buffered) full(w write) bool {
	share := 1
	if w.spare {
		share = 2
	}
	return len(b.queue) >= maxBuffered/share || b.bytes+w.bytes > maxBufferedBytes/share
}

// enqueue puts a write into the queue, in the place of an earlier one of the same row. The caller holds mu.
func (b *Buffered) enqueue(w write) {
	same := func(other write) bool { return w.row != "" && other.row == w.row }
	if i := slices.IndexFunc(b.queue, same); i >= 0 {
		b.bytes -= b.queue[i].bytes
		b.queue = slices.Delete(b.queue, i, i+1)
	}
	b.queue, b.bytes = append(b.queue, w), b.bytes+w.bytes
}

// read asks the store, or memory while the store is down or lacks what was queued.
func read[T any](ctx context.Context, b *Buffered, ask func(context.Context, *Store) (T, error)) (T, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.flush(ctx) == nil {
		var answer T
		err := b.try(ctx, func(ctx context.Context) (err error) { answer, err = ask(ctx, b.store); return err })
		if err == nil || final(err) || ctx.Err() != nil {
			return answer, err
		}
	}
	return ask(context.WithoutCancel(ctx), b.mirror)
}

// working is the working set of a stack ($1), with what is closed since $2.
var working = []struct{ table, where string }{
	{"attempts", `stack = $1 AND (verdict = '' OR started_at >= $2 OR incident IN (SELECT id FROM incidents WHERE stack = $1 AND resolved_at = 0))`},
	{"overrides", `stack = $1 AND ended_at = 0`},
	{"states", `stack = $1`},
	{"incidents", `stack = $1 AND (resolved_at = 0 OR resolved_at >= $2)`},
	{"outbox", `stack = $1 AND (incident IN (SELECT id FROM incidents WHERE resolved_at = 0 OR resolved_at >= $2)
		OR id IN (SELECT notification FROM deliveries WHERE stack = $1 AND delivered_at = 0))`},
	{"deliveries", `stack = $1 AND delivered_at = 0`},
	{"baselines", `stack = $1 AND captured_at = (SELECT MAX(captured_at) FROM baselines n
		WHERE n.stack = baselines.stack AND n.service = baselines.service AND n.name = baselines.name)`},
}

// applied selects the newest revisions of a stack ($1), and the stable ones that a service may go back to. They are
// large and change with deployments only.
const applied = `stack = $1 AND (seq IN (SELECT seq FROM revisions WHERE stack = $1 ORDER BY seq DESC LIMIT 20)
	OR seq IN (SELECT MAX(seq) FROM revision_services WHERE stack = $1 AND stable_at > 0 GROUP BY service, config_hash, image_id))`

// Refresh takes what other processes have written (a pause, an acknowledgement) into memory; call it once a pass. While
// the store is down it does nothing, and says so. It costs next to nothing while nobody else writes, where the database tells.
func (b *Buffered) Refresh(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.flush(ctx)
	var copies map[string][][]any
	var at mark
	newest := b.newest
	if err == nil {
		err = b.try(ctx, func(ctx context.Context) (err error) { at, err = b.store.mark(ctx); return err })
	}
	if err == nil && at != (mark{}) && at == b.mark && time.Since(b.copied) < recopied {
		return nil
	}
	if err == nil {
		err = b.try(ctx, func(ctx context.Context) (err error) { copies, newest, err = b.copies(ctx); return err })
	}
	if err == nil {
		ctx := context.WithoutCancel(ctx)
		err = b.mirror.tx(ctx, "replace", func(tx *sql.Tx) error { return replace(ctx, tx, copies) })
	}
	if err != nil {
		return fmt.Errorf("mirror the store: %w", err)
	}
	b.newest, b.mark, b.copied = newest, at, time.Now()
	b.last, b.incidents = nil, nil
	return nil
}

// News says whether others have written what Refresh has not taken into memory yet, as far as the database tells.
func (b *Buffered) News(ctx context.Context) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.flush(ctx) != nil { // whoever asks first finds that the store is back, as with any other call
		return false
	}
	var at mark
	err := b.try(ctx, func(ctx context.Context) (err error) { at, err = b.store.mark(ctx); return err })
	return err == nil && at != (mark{}) && at != b.mark
}

// copies reads the working set, with the revisions when there is one that the mirror has not copied yet.
func (b *Buffered) copies(ctx context.Context) (rows map[string][][]any, newest int64, err error) {
	rows = map[string][][]any{}
	since := micros(time.Now().Add(-mirrored))
	for _, w := range working {
		args := []any{b.stack, since}[:1+min(1, strings.Count(w.where, "$2"))]
		if rows[w.table], err = collect(ctx, b.store.db, scanAny, `SELECT * FROM `+w.table+` WHERE `+w.where, args...); err != nil {
			return nil, 0, err
		}
	}
	err = b.store.db.QueryRowContext(ctx, `SELECT COALESCE(MAX(seq), 0) FROM revisions WHERE stack = $1`, b.stack).Scan(&newest)
	if err != nil || newest == b.newest {
		return rows, newest, err
	}
	for _, table := range []string{"revisions", "revision_services"} {
		if rows[table], err = collect(ctx, b.store.db, scanAny, `SELECT * FROM `+table+` WHERE `+applied, b.stack); err != nil {
			return nil, 0, err
		}
	}
	return rows, newest, nil
}

// replace makes the mirror hold the copies.
func replace(ctx context.Context, tx *sql.Tx, copies map[string][][]any) error {
	for table, rows := range copies {
		if _, err := tx.ExecContext(ctx, `DELETE FROM `+table); err != nil {
			return err
		}
		for _, row := range rows {
			places := make([]string, len(row))
			for i := range row {
				places[i] = "$" + strconv.Itoa(i+1)
				if b, ok := row[i].([]byte); ok && b == nil { // SQLite reads empty bytes as none; no column takes NULL
					row[i] = []byte{}
				}
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO `+table+` VALUES (`+strings.Join(places, ", ")+`)`, row...); err != nil {
				return err
			}
		}
	}
	// Numbers that the mirror gives out come after those it has copied.
	_, err := tx.ExecContext(ctx, `INSERT INTO sequences (name, value)
		SELECT 'revision', COALESCE(MAX(seq), 0) FROM revisions UNION ALL SELECT 'override', COALESCE(MAX(id), 0) FROM overrides WHERE true
		ON CONFLICT (name) DO UPDATE SET value = MAX(sequences.value, excluded.value)`)
	return err
}

// scanAny reads a row of any table.
func scanAny(rows *sql.Rows) ([]any, error) {
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	row := make([]any, len(columns))
	into := make([]any, len(columns))
	for i := range row {
		into[i] = &row[i]
	}
	return row, rows.Scan(into...)
}
