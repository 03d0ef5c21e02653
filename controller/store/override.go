package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"
)

// Pause is the kind of override that stops all action on a stack or on one of its services.
const Pause = "pause"

// Override is a deliberate divergence from the file, or from what Composure would do, that no pass fights.
type Override struct {
	ID      int64
	Stack   string
	Service string          // empty: the whole stack
	Kind    string          // Pause, or a kind of the caller's
	Field   string          // what it overrides; empty where the kind says it all
	Value   json.RawMessage // the value it sets; empty where there is none
	Owner   string
	Reason  string
	Created time.Time
	Until   time.Time // zero: until someone ends it
	Ended   time.Time // zero: nobody ended it
	EndedBy string    // empty: its time was over
}

// Active says whether it holds at a time.
func (o Override) Active(now time.Time) bool {
	return o.Ended.IsZero() && (o.Until.IsZero() || o.Until.After(now))
}

const overrideColumns = `id, stack, service, kind, field, value, owner, reason, created_at, until_at, ended_at, ended_by`

// SetOverride records an override. It replaces one of the same stack, service, kind and field that is in force; one whose time
// was over stays in the history.
func (s *Store) SetOverride(ctx context.Context, o Override) error {
	return s.tx(ctx, "set the override", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE overrides SET ended_at = until_at
			WHERE stack = $1 AND service = $2 AND kind = $3 AND field = $4 AND ended_at = 0 AND until_at > 0 AND until_at <= $5`,
			o.Stack, o.Service, o.Kind, o.Field, micros(o.Created))
		if err != nil {
			return err
		}
		id, err := next(ctx, tx, "override")
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO overrides (`+overrideColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, '')
			ON CONFLICT (stack, service, kind, field) WHERE ended_at = 0 DO UPDATE SET value = excluded.value, owner = excluded.owner,
			reason = excluded.reason, created_at = excluded.created_at, until_at = excluded.until_at`,
			id, o.Stack, o.Service, o.Kind, o.Field, string(o.Value), o.Owner, o.Reason, micros(o.Created), micros(o.Until))
		return err
	})
}

// EndOverride ends an override by its stack, service, kind and field, whether or not its time is over. ErrNotFound
// when there is none that nobody has ended.
func (s *Store) EndOverride(ctx context.Context, stack, service, kind, field, by string, at time.Time) error {
	return s.tx(ctx, "end the override", func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE overrides SET ended_at = $5, ended_by = $6
			WHERE stack = $1 AND service = $2 AND kind = $3 AND field = $4 AND ended_at = 0`, stack, service, kind, field, micros(at), by)
		if err != nil {
			return err
		}
		return found(res)
	})
}

// Overrides returns the overrides of a stack that hold at now, oldest first.
func (s *Store) Overrides(ctx context.Context, stack string, now time.Time) ([]Override, error) {
	return s.overrides(ctx, `WHERE stack = $1 AND ended_at = 0 AND (until_at = 0 OR until_at > $2) ORDER BY id`, stack, micros(now))
}

// OverrideHistory returns all overrides of a stack, those that ended too, newest first; at most limit when it is above 0.
func (s *Store) OverrideHistory(ctx context.Context, stack string, limit int) ([]Override, error) {
	return s.overrides(ctx, `WHERE stack = $1 ORDER BY id DESC LIMIT $2`, stack, limitOrAll(limit))
}

func (s *Store) overrides(ctx context.Context, where string, args ...any) ([]Override, error) {
	all, err := collect(ctx, s.db, func(rows *sql.Rows) (Override, error) {
		var o Override
		var value string
		var created, until, ended int64
		err := rows.Scan(&o.ID, &o.Stack, &o.Service, &o.Kind, &o.Field, &value, &o.Owner, &o.Reason, &created, &until, &ended, &o.EndedBy)
		o.Value, o.Created, o.Until, o.Ended = rawJSON(value), moment(created), moment(until), moment(ended)
		return o, err
	}, `SELECT `+overrideColumns+` FROM overrides `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("list overrides: %w", err)
	}
	return all, nil
}

// rawJSON keeps "nothing" as nil: an empty RawMessage cannot be marshalled.
func rawJSON(text string) json.RawMessage {
	if text == "" {
		return nil
	}
	return json.RawMessage(text)
}
