package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"
)

// Attempt is one job that Composure began: the intent before it, the outcome after it, the verdict when it is known
// whether it helped.
type Attempt struct {
	ID         string // NewID
	Stack      string
	Key        string // of the job: "service/api/1", "network/app_default"
	Service    string // empty for networks and volumes
	Container  string // name
	Target     string // id of the container as it was when the job was planned
	Operation  string // remedy, with what identifies the try, such as "recreate:3fa9c2d1"
	Rung       int    // of the ladder; 0 for what is no rung
	Cause      string
	Incident   string
	Pass       string
	NotBefore  time.Time
	StartedAt  time.Time
	FinishedAt time.Time // zero: in flight, or cut short
	Outcome    string    // empty until finished
	Error      string    // why it failed; without secrets
	Verdict    string    // empty until known
	VerdictAt  time.Time
	Fence      int64           // of the lease it was begun under
	Payload    json.RawMessage // what a later process needs to finish or undo it; may hold secrets and is sealed
}

// AttemptFilter selects attempts; zero fields select all.
type AttemptFilter struct {
	Stack    string
	Service  string
	Incident string
	Open     bool      // without a verdict
	Since    time.Time // begun at or after
	Limit    int       // the newest so many
}

const attemptColumns = `id, stack, job, service, container, target, operation, rung, cause, incident, pass, not_before,
	started_at, finished_at, outcome, error, verdict, verdict_at, fence, payload`

// Begin records intents before they are acted on, all or none. ErrFenced when the lease is not the current one: then
// nothing may be done. An id that is known already is left as it is.
func (s *Store) Begin(ctx context.Context, l *Lease, attempts ...Attempt) error {
	return s.tx(ctx, "record the intent", func(tx *sql.Tx) error {
		if err := s.checkFence(ctx, tx, l); err != nil {
			return err
		}
		for _, a := range attempts {
			if l != nil {
				a.Fence = l.Fence
			}
			if err := s.insertAttempt(ctx, tx, a); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Store) insertAttempt(ctx context.Context, tx *sql.Tx, a Attempt) error {
	if a.ID == "" || a.Stack == "" {
		return fmt.Errorf("%w: an attempt needs an id and a stack", ErrInvalid)
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO attempts (`+attemptColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) ON CONFLICT (id) DO NOTHING`,
		a.ID, a.Stack, a.Key, a.Service, a.Container, a.Target, a.Operation, a.Rung, a.Cause, a.Incident, a.Pass, micros(a.NotBefore),
		micros(a.StartedAt), micros(a.FinishedAt), a.Outcome, a.Error, a.Verdict, micros(a.VerdictAt), a.Fence,
		s.key.seal("attempt "+a.ID, a.Payload))
	return err
}

// Finish records how an attempt ended; the first outcome stays. ErrFenced when the lease is not the current one,
// ErrNotFound when no such attempt was begun.
func (s *Store) Finish(ctx context.Context, l *Lease, id, outcome, reason string, at time.Time) error {
	return s.updateAttempt(ctx, l, id, "record the outcome", `UPDATE attempts SET
		finished_at = CASE WHEN outcome = '' THEN $2 ELSE finished_at END,
		error = CASE WHEN outcome = '' THEN $4 ELSE error END,
		outcome = CASE WHEN outcome = '' THEN $3 ELSE outcome END
		WHERE id = $1`, id, micros(at), outcome, reason)
}

// Verdict records whether an attempt worked, and closes it; the first verdict stays. ErrFenced when the lease is not the current one,
// ErrNotFound when no such attempt was begun.
func (s *Store) Verdict(ctx context.Context, l *Lease, id, verdict string, at time.Time) error {
	return s.updateAttempt(ctx, l, id, "record the verdict",
		`UPDATE attempts SET verdict_at = CASE WHEN verdict = '' THEN $3 ELSE verdict_at END,
		verdict = CASE WHEN verdict = '' THEN $2 ELSE verdict END WHERE id = $1`, id, verdict, micros(at))
}

// CloseAttempts closes what was begun on a service until a time and has no verdict yet: it has run well since, and what was
// tried on it counts no more.
func (s *Store) CloseAttempts(ctx context.Context, stack, service, verdict string, at time.Time) error {
	return s.exec(ctx, "close the attempts", `UPDATE attempts SET verdict = $3, verdict_at = $4
		WHERE stack = $1 AND service = $2 AND verdict = '' AND started_at <= $4`, stack, service, verdict, micros(at))
}

func (s *Store) updateAttempt(ctx context.Context, l *Lease, id, what, text string, args ...any) error {
	return s.tx(ctx, what, func(tx *sql.Tx) error {
		if err := s.checkFence(ctx, tx, l); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, text, args...)
		if err != nil {
			return err
		}
		if err := found(res); err != nil {
			return fmt.Errorf("attempt %s: %w", id, err)
		}
		return nil
	})
}

// OpenAttempts returns the attempts of a stack that have no verdict yet, oldest first: in flight, cut short, or ended
// and to be verified.
func (s *Store) OpenAttempts(ctx context.Context, stack string) ([]Attempt, error) {
	return s.Attempts(ctx, AttemptFilter{Stack: stack, Open: true})
}

// Attempts returns the attempts that f selects, oldest first.
func (s *Store) Attempts(ctx context.Context, f AttemptFilter) ([]Attempt, error) {
	all, err := collect(ctx, s.db, s.scanAttempt, `SELECT * FROM (SELECT `+attemptColumns+` FROM attempts
		WHERE stack = $1 AND ($2 = '' OR service = $2) AND ($3 = '' OR incident = $3) AND ($4 = 0 OR verdict = '') AND started_at >= $5
		ORDER BY started_at DESC, id DESC LIMIT $6) AS newest ORDER BY started_at, id`,
		f.Stack, f.Service, f.Incident, flag(f.Open), micros(f.Since), limitOrAll(f.Limit))
	if err != nil {
		return nil, fmt.Errorf("list attempts: %w", err)
	}
	return all, nil
}

func (s *Store) scanAttempt(rows *sql.Rows) (Attempt, error) {
	var a Attempt
	var notBefore, started, finished, verdict int64
	var payload []byte
	err := rows.Scan(&a.ID, &a.Stack, &a.Key, &a.Service, &a.Container, &a.Target, &a.Operation, &a.Rung, &a.Cause, &a.Incident,
		&a.Pass, &notBefore, &started, &finished, &a.Outcome, &a.Error, &a.Verdict, &verdict, &a.Fence, &payload)
	if err != nil {
		return Attempt{}, err
	}
	a.NotBefore, a.StartedAt, a.FinishedAt, a.VerdictAt = moment(notBefore), moment(started), moment(finished), moment(verdict)
	a.Payload, err = s.key.open("attempt "+a.ID, payload)
	return a, err
}

// flag is a condition as both databases keep it.
func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
