package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
)

// ErrSchema says that a newer program has already changed the schema: this one must not write.
var ErrSchema = errors.New("the store was written by a newer version of composure; upgrade this one")

//go:embed migrations/*.sql
var migrations embed.FS

// versionTable is goose's ledger under a name of ours: a shared PostgreSQL database may hold another program's.
const versionTable = "composure_schema"

// migrationLock is the PostgreSQL advisory lock under which the schema is changed ("composure" in ASCII, shortened).
const migrationLock = 0x636f6d706f7375

// latest returns the version of the newest embedded migration.
func latest() int64 {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(names) == 0 {
		return 0
	}
	number, _, _ := strings.Cut(strings.TrimPrefix(names[len(names)-1], "migrations/"), "_")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// version returns the version of the schema in the database; 0 for an empty one.
func (s *Store) version(ctx context.Context) (int64, error) {
	var n int64
	err := s.db.QueryRowContext(ctx, `SELECT COALESCE(MAX(version_id), 0) FROM `+versionTable+` WHERE is_applied`).Scan(&n)
	if missingTable(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the schema version: %w", err)
	}
	return n, nil
}

// current says whether the schema is this program's own. It is one query, so that the usual start pays nothing for goose.
func (s *Store) current(ctx context.Context) (bool, error) {
	have, err := s.version(ctx)
	if err != nil {
		return false, err
	}
	if have > latest() {
		return false, fmt.Errorf("%w (schema %d, known %d)", ErrSchema, have, latest())
	}
	return have == latest(), nil
}

// migrate brings the schema up to date. Processes that start at once follow one another under a lock.
func (s *Store) migrate(ctx context.Context) error {
	if ok, err := s.current(ctx); ok || err != nil {
		return err
	}
	unlock, err := s.lockSchema(ctx)
	if err != nil {
		return fmt.Errorf("lock the schema: %w", err)
	}
	defer unlock()
	if ok, err := s.current(ctx); ok || err != nil { // another process was faster
		return err
	}
	if err := s.migrateLocked(ctx); err != nil {
		return err
	}
	s.log.Info("store migrated", "schema", latest())
	return nil
}

func (s *Store) migrateLocked(ctx context.Context) error {
	if s.kind == sqlite {
		// Kept in the file: set once, under the lock, because changing it needs the database for itself.
		if _, err := s.db.ExecContext(ctx, `PRAGMA journal_mode = WAL`); err != nil {
			return fmt.Errorf("set the journal mode: %w", err)
		}
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.Dialect(s.kind), s.db, files,
		goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate the schema: %w", err)
	}
	return nil
}

// createSchema makes the newest schema in an empty SQLite database in memory, which nothing will migrate: without goose,
// whose parser takes 8 MB.
func (s *Store) createSchema(ctx context.Context) error {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	for _, name := range names {
		text, err := fs.ReadFile(migrations, name)
		if err != nil {
			return err
		}
		_, up, _ := strings.Cut(string(text), "-- +goose Up")
		up, _, _ = strings.Cut(up, "-- +goose Down")
		if err := s.exec(ctx, "create the schema", up); err != nil {
			return err
		}
	}
	return nil
}

// lockSchema waits until this process alone may change the schema.
func (s *Store) lockSchema(ctx context.Context) (unlock func(), err error) {
	if s.kind == sqlite {
		return lockFile(ctx, filepath.Join(s.dir, "migrate.lock"))
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, int64(migrationLock)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return func() {
		ctx := context.WithoutCancel(ctx)
		_, _ = conn.ExecContext(ctx, `SELECT pg_advisory_unlock($1)`, int64(migrationLock)) // a lost connection unlocks too
		_ = conn.Close()
	}, nil
}
