package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Revision is what was applied to a stack at one time.
type Revision struct {
	Stack     string
	ID        string // hash of the content
	Model     []byte // canonical YAML; may hold secrets and is sealed in the store
	Services  []ServiceRevision
	AppliedAt time.Time
	Commit    string // of git; empty when the project is no work tree
	Origin    string // what applied it, such as "reconcile --once", "adopt", "rollback"
}

// ServiceRevision is one service of a revision: the two things that make its container what it is.
type ServiceRevision struct {
	Service    string
	ConfigHash string
	ImageID    string
	StableAt   time.Time // when it was proven stable; zero: never
	Commit     string    // of git, from which a deployment built the image; empty: it did not, or nobody knows
	Dirty      bool      // there were changes that are in no commit
}

// Same says whether two revisions of a service make the same container.
func (r ServiceRevision) Same(other ServiceRevision) bool {
	return r.ConfigHash == other.ConfigHash && r.ImageID == other.ImageID
}

// StableRevision is a revision of one service that was proven stable.
type StableRevision struct {
	Revision  string
	AppliedAt time.Time
	ServiceRevision
}

// SaveRevision records what was applied. Applying again what was applied last (same id, same images) records nothing:
// a reconcile --once from cron is no deployment. A service that is as it was stays proven: only others were deployed.
func (s *Store) SaveRevision(ctx context.Context, r Revision) error {
	model, err := s.key.pack(revisionRow(r.Stack, r.ID), r.Model)
	if err != nil {
		return err
	}
	services := slices.SortedFunc(slices.Values(r.Services), func(a, b ServiceRevision) int { return strings.Compare(a.Service, b.Service) })
	return s.tx(ctx, "save the revision", func(tx *sql.Tx) error {
		seq, err := next(ctx, tx, "revision")
		if err != nil {
			return err
		}
		id, last, err := lastApplied(ctx, tx, r.Stack)
		if err != nil || id == r.ID && slices.EqualFunc(last, services, func(a, b ServiceRevision) bool { return a.Service == b.Service && a.Same(b) }) {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO revisions (seq, stack, id, applied_at, git_commit, origin, model)
			VALUES ($1, $2, $3, $4, $5, $6, $7)`, seq, r.Stack, r.ID, micros(r.AppliedAt), r.Commit, r.Origin, model)
		for _, v := range services {
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, `INSERT INTO revision_services (seq, stack, service, config_hash, image_id, stable_at, git_commit, git_dirty)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, seq, r.Stack, v.Service, v.ConfigHash, v.ImageID, micros(provenAs(v, last)), v.Commit, flag(v.Dirty))
		}
		return err
	})
}

// lastApplied is the id of what was applied last, and its services; an empty one when nothing was.
func lastApplied(ctx context.Context, tx *sql.Tx, stack string) (id string, services []ServiceRevision, err error) {
	var seq int64
	err = tx.QueryRowContext(ctx, `SELECT seq, id FROM revisions WHERE stack = $1 ORDER BY seq DESC LIMIT 1`, stack).Scan(&seq, &id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil, nil
	}
	if err == nil {
		services, err = servicesOf(ctx, tx, seq)
	}
	return id, services, err
}

// provenAs is when a service was proven stable as what it is, in the revision before; zero: it was not.
func provenAs(v ServiceRevision, last []ServiceRevision) time.Time {
	i := slices.IndexFunc(last, func(l ServiceRevision) bool { return l.Service == v.Service && l.Same(v) })
	if i < 0 {
		return time.Time{}
	}
	return last[i].StableAt
}

// LastRevision returns what was last applied to a stack, with its model; ErrNotFound when nothing was.
func (s *Store) LastRevision(ctx context.Context, stack string) (Revision, error) {
	return s.revision(ctx, `SELECT seq, stack, id, applied_at, git_commit, origin, model FROM revisions
		WHERE stack = $1 ORDER BY seq DESC LIMIT 1`, stack)
}

// Revision returns one revision of a stack, as it was applied the last time; ErrNotFound when it never was.
func (s *Store) Revision(ctx context.Context, stack, id string) (Revision, error) {
	return s.revision(ctx, `SELECT seq, stack, id, applied_at, git_commit, origin, model FROM revisions
		WHERE stack = $1 AND id = $2 ORDER BY seq DESC LIMIT 1`, stack, id)
}

func (s *Store) revision(ctx context.Context, text string, args ...any) (Revision, error) {
	var r numberedRevision
	err := r.scan(s.db.QueryRowContext(ctx, text, args...).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return Revision{}, fmt.Errorf("revision of %s: %w", args[0], ErrNotFound)
	}
	if err == nil {
		r.Services, err = servicesOf(ctx, s.db, r.seq)
	}
	if err != nil {
		return Revision{}, fmt.Errorf("read the revision: %w", err)
	}
	if r.Model, err = s.key.unpack(revisionRow(r.Stack, r.ID), r.Model); err != nil {
		return Revision{}, err
	}
	return r.Revision, nil
}

// Revisions returns the revisions of a stack, last applied first, without their models; at most limit when it is above 0.
func (s *Store) Revisions(ctx context.Context, stack string, limit int) ([]Revision, error) {
	numbered, err := collect(ctx, s.db, func(rows *sql.Rows) (numberedRevision, error) {
		var r numberedRevision
		return r, r.scan(rows.Scan)
	}, `SELECT seq, stack, id, applied_at, git_commit, origin, '' FROM revisions WHERE stack = $1 ORDER BY seq DESC LIMIT $2`,
		stack, limitOrAll(limit))
	if err != nil {
		return nil, fmt.Errorf("list revisions: %w", err)
	}
	var all []Revision
	for _, r := range numbered {
		if r.Services, err = servicesOf(ctx, s.db, r.seq); err != nil {
			return nil, fmt.Errorf("list revisions: %w", err)
		}
		r.Model = nil
		all = append(all, r.Revision)
	}
	return all, nil
}

// MarkStable records that a service was proven stable on the revision as it was applied last; ErrNotFound when that
// revision is not known or has no such service.
func (s *Store) MarkStable(ctx context.Context, stack, service, revision string, at time.Time) error {
	return s.tx(ctx, "mark the revision stable", func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE revision_services SET stable_at = $4 WHERE stack = $1 AND service = $2
			AND seq = (SELECT MAX(seq) FROM revisions WHERE stack = $1 AND id = $3)`, stack, service, revision, micros(at))
		if err != nil {
			return err
		}
		return found(res)
	})
}

// LastStable returns the newest revision of a service that was proven stable and makes another container than except
// does (a rollback to the same container is none: safety rule 6); the zero except excludes nothing. ErrNotFound when
// there is none.
func (s *Store) LastStable(ctx context.Context, stack, service string, except ServiceRevision) (StableRevision, error) {
	r := StableRevision{ServiceRevision: ServiceRevision{Service: service}}
	var applied, stable, dirty int64
	err := s.db.QueryRowContext(ctx, `SELECT r.id, r.applied_at, v.git_commit, v.git_dirty, v.config_hash, v.image_id, v.stable_at
		FROM revision_services v JOIN revisions r ON r.seq = v.seq
		WHERE v.stack = $1 AND v.service = $2 AND v.stable_at > 0 AND NOT (v.config_hash = $3 AND v.image_id = $4)
		ORDER BY v.seq DESC LIMIT 1`, stack, service, except.ConfigHash, except.ImageID).
		Scan(&r.Revision, &applied, &r.Commit, &dirty, &r.ConfigHash, &r.ImageID, &stable)
	if errors.Is(err, sql.ErrNoRows) {
		return StableRevision{}, fmt.Errorf("stable revision of %s: %w", service, ErrNotFound)
	}
	if err != nil {
		return StableRevision{}, fmt.Errorf("find a stable revision: %w", err)
	}
	r.AppliedAt, r.StableAt, r.Dirty = moment(applied), moment(stable), dirty != 0
	return r, nil
}

// numberedRevision is a revision with its place in the order of application.
type numberedRevision struct {
	seq int64
	Revision
}

func (r *numberedRevision) scan(scan func(...any) error) error {
	var at int64
	err := scan(&r.seq, &r.Stack, &r.ID, &at, &r.Commit, &r.Origin, &r.Model)
	r.AppliedAt = moment(at)
	return err
}

func servicesOf(ctx context.Context, q querier, seq int64) ([]ServiceRevision, error) {
	return collect(ctx, q, func(rows *sql.Rows) (ServiceRevision, error) {
		var v ServiceRevision
		var stable, dirty int64
		err := rows.Scan(&v.Service, &v.ConfigHash, &v.ImageID, &stable, &v.Commit, &dirty)
		v.StableAt, v.Dirty = moment(stable), dirty != 0
		return v, err
	}, `SELECT service, config_hash, image_id, stable_at, git_commit, git_dirty FROM revision_services WHERE seq = $1 ORDER BY service`, seq)
}

func revisionRow(stack, id string) string { return "revision " + stack + " " + id }

// limitOrAll turns "0 is all" into a LIMIT that both databases take.
func limitOrAll(limit int) int64 {
	if limit <= 0 {
		return 1 << 40
	}
	return int64(limit)
}

// found turns "no row was changed" into ErrNotFound.
func found(res sql.Result) error {
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}
