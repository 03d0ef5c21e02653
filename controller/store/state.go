package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// State is what plan remembers of one service between passes: where it is on the ladder, whether the breaker is open.
type State struct {
	Service  string // empty: of the whole stack
	Document json.RawMessage
	Updated  time.Time
}

// SaveState replaces the state of a service.
func (s *Store) SaveState(ctx context.Context, stack string, v State) error {
	return s.exec(ctx, "save the state", `INSERT INTO states (stack, service, document, updated_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (stack, service) DO UPDATE SET document = excluded.document, updated_at = excluded.updated_at`,
		stack, v.Service, string(v.Document), micros(v.Updated))
}

// DeleteState forgets the state of a service; it is no error when there is none.
func (s *Store) DeleteState(ctx context.Context, stack, service string) error {
	return s.exec(ctx, "delete the state", `DELETE FROM states WHERE stack = $1 AND service = $2`, stack, service)
}

// States returns the states of a stack, by service.
func (s *Store) States(ctx context.Context, stack string) ([]State, error) {
	all, err := collect(ctx, s.db, func(rows *sql.Rows) (State, error) {
		var v State
		var document string
		var updated int64
		err := rows.Scan(&v.Service, &document, &updated)
		v.Document, v.Updated = rawJSON(document), moment(updated)
		return v, err
	}, `SELECT service, document, updated_at FROM states WHERE stack = $1 ORDER BY service`, stack)
	if err != nil {
		return nil, fmt.Errorf("list states: %w", err)
	}
	return all, nil
}

// Baseline is what a check of data integrity returned when the service was known to be well: a row count, an answer.
type Baseline struct {
	Stack    string
	Service  string
	Name     string // of the check
	Value    json.RawMessage
	Captured time.Time
}

// SaveBaseline records a value, beside the earlier ones.
func (s *Store) SaveBaseline(ctx context.Context, b Baseline) error {
	return s.exec(ctx, "save the baseline", `INSERT INTO baselines (stack, service, name, captured_at, value) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (stack, service, name, captured_at) DO UPDATE SET value = excluded.value`,
		b.Stack, b.Service, b.Name, micros(b.Captured), string(b.Value))
}

// Baselines returns the newest value of each check of a stack, by service and name.
func (s *Store) Baselines(ctx context.Context, stack string) ([]Baseline, error) {
	all, err := collect(ctx, s.db, scanBaseline, `SELECT stack, service, name, captured_at, value FROM baselines b
		WHERE stack = $1 AND captured_at = (SELECT MAX(captured_at) FROM baselines n
			WHERE n.stack = b.stack AND n.service = b.service AND n.name = b.name) ORDER BY service, name`, stack)
	if err != nil {
		return nil, fmt.Errorf("list baselines: %w", err)
	}
	return all, nil
}

// Baseline returns the newest value of one check; ErrNotFound when none was captured.
func (s *Store) Baseline(ctx context.Context, stack, service, name string) (Baseline, error) {
	b := Baseline{Stack: stack, Service: service, Name: name}
	var captured int64
	var value string
	err := s.db.QueryRowContext(ctx, `SELECT captured_at, value FROM baselines WHERE stack = $1 AND service = $2 AND name = $3
		ORDER BY captured_at DESC LIMIT 1`, stack, service, name).Scan(&captured, &value)
	if errors.Is(err, sql.ErrNoRows) {
		return Baseline{}, fmt.Errorf("baseline %s of %s: %w", name, service, ErrNotFound)
	}
	if err != nil {
		return Baseline{}, fmt.Errorf("read the baseline: %w", err)
	}
	b.Captured, b.Value = moment(captured), rawJSON(value)
	return b, nil
}

func scanBaseline(rows *sql.Rows) (Baseline, error) {
	var b Baseline
	var captured int64
	var value string
	err := rows.Scan(&b.Stack, &b.Service, &b.Name, &captured, &value)
	b.Captured, b.Value = moment(captured), rawJSON(value)
	return b, err
}
