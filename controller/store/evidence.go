package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// MaxEvidence is how many bytes of one piece of evidence are kept: its last ones, where a log says how it ended.
const MaxEvidence = 1 << 20

// Evidence is what was seen, as it was before the first action: a log tail, a stack dump. It is kept compressed and sealed.
type Evidence struct {
	ID        string // empty: a fresh one; adding the same id again has no effect
	Stack     string
	Service   string
	Incident  string
	Attempt   string // the attempt that captured it; empty: none did
	Kind      string
	At        time.Time
	Data      []byte
	Size      int64 // bytes before it was cut to MaxEvidence
	Truncated bool
}

const evidenceColumns = `id, stack, service, incident, attempt, kind, at, size, truncated`

// AddEvidence keeps evidence. Size and Truncated are computed from Data.
func (s *Store) AddEvidence(ctx context.Context, e Evidence) error {
	if e.ID == "" {
		e.ID = NewID()
	}
	e.Size = int64(len(e.Data))
	kept := e.Data[max(0, len(e.Data)-MaxEvidence):]
	packed, err := s.key.pack("evidence "+e.ID, kept)
	if err != nil {
		return err
	}
	return s.exec(ctx, "add the evidence", `INSERT INTO evidence (`+evidenceColumns+`, stored, data)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (id) DO NOTHING`, e.ID, e.Stack, e.Service, e.Incident, e.Attempt,
		e.Kind, micros(e.At), e.Size, flag(len(kept) < len(e.Data)), len(packed), packed)
}

// EvidenceOf lists the evidence of an incident, oldest first, without its data.
func (s *Store) EvidenceOf(ctx context.Context, incident string) ([]Evidence, error) {
	all, err := collect(ctx, s.db, func(rows *sql.Rows) (Evidence, error) {
		return scanEvidence(rows.Scan)
	}, `SELECT `+evidenceColumns+` FROM evidence WHERE incident = $1 ORDER BY at, id`, incident)
	if err != nil {
		return nil, fmt.Errorf("list the evidence: %w", err)
	}
	return all, nil
}

// Evidence returns one piece with its data; ErrNotFound when there is none.
func (s *Store) Evidence(ctx context.Context, id string) (Evidence, error) {
	var data []byte
	e, err := scanEvidence(s.db.QueryRowContext(ctx, `SELECT `+evidenceColumns+`, data FROM evidence WHERE id = $1`, id).Scan, &data)
	if errors.Is(err, sql.ErrNoRows) {
		return Evidence{}, fmt.Errorf("evidence %s: %w", id, ErrNotFound)
	}
	if err != nil {
		return Evidence{}, fmt.Errorf("read the evidence: %w", err)
	}
	e.Data, err = s.key.unpack("evidence "+id, data)
	return e, err
}

func scanEvidence(scan func(...any) error, more ...any) (Evidence, error) {
	var e Evidence
	var at, truncated int64
	err := scan(append([]any{&e.ID, &e.Stack, &e.Service, &e.Incident, &e.Attempt, &e.Kind, &at, &e.Size, &truncated}, more...)...)
	e.At, e.Truncated = moment(at), truncated != 0
	return e, err
}
