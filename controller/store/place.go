package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// EngineAt returns the id of the engine that last answered at a place; ErrNotFound when none has. A stack is looked up by
// the engine's id, which an engine that does not answer cannot tell.
func (s *Store) EngineAt(ctx context.Context, place string) (string, error) {
	var id string
	err := s.db.QueryRowContext(ctx, `SELECT value FROM meta WHERE name = $1`, engineAt(place)).Scan(&id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "", fmt.Errorf("engine at %s: %w", place, ErrNotFound)
	case err != nil:
		return "", fmt.Errorf("read which engine is at %s: %w", place, err)
	}
	return id, nil
}

// NoteEngine records which engine answers at a place.
func (s *Store) NoteEngine(ctx context.Context, place, id string) error {
	known, err := s.EngineAt(ctx, place)
	if err == nil && known == id { // as at nearly every start
		return nil
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	return s.exec(ctx, "note the engine", `INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
		engineAt(place), id)
}

func engineAt(place string) string { return "engine at " + place }

// MoveIncidents gives the open incidents of one cause to another stack, with all that belongs to them: those that were
// opened about an engine before it could say which one it is.
func (s *Store) MoveIncidents(ctx context.Context, from, to, cause string) error {
	return s.tx(ctx, "move the incidents", func(tx *sql.Tx) error {
		const those = `SELECT id FROM incidents WHERE stack = $2 AND cause = $3 AND resolved_at = 0`
		for _, text := range []string{
			`UPDATE deliveries SET stack = $1 WHERE notification IN (SELECT id FROM outbox WHERE incident IN (` + those + `))`,
			`UPDATE outbox SET stack = $1 WHERE incident IN (` + those + `)`,
			`UPDATE evidence SET stack = $1 WHERE incident IN (` + those + `)`,
			`UPDATE incidents SET stack = $1 WHERE stack = $2 AND cause = $3 AND resolved_at = 0`,
		} {
			if _, err := tx.ExecContext(ctx, text, to, from, cause); err != nil {
				return err
			}
		}
		return nil
	})
}
