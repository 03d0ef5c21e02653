// Package store is Composure's durable memory: the lease of a stack, what was applied to it, what was tried and how it
// ended, what people decided, incidents with their evidence, and what is still to be delivered.
//
// It owns rows, not meaning: the types here are plain data that the pure packages fill and read. SQLite in the state
// directory is the default; PostgreSQL through pgx serves the same SQL text and the same migrations. It is the only
// importer of SQL drivers.
//
// Rules that every statement here keeps: times are microseconds since 1970 UTC (0 is "never"); a transaction ends at
// its first error; a result set is read to its end before the next statement (SQLite has one connection); every write
// can be repeated without effect, because an answer can be lost after a commit.
package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"
)

var (
	// ErrNotFound says that no such row exists.
	ErrNotFound = errors.New("not found")
	// ErrTaken says that another stack has something of that id.
	ErrTaken = errors.New("the id is another stack's")
	// ErrChanged says that somebody has written a row since it was read: what was to be written is made from old knowledge.
	ErrChanged = errors.New("it was changed meanwhile")
	// ErrInvalid says that a row cannot be stored because it lacks what identifies it.
	ErrInvalid = errors.New("not valid")
)

// Options say where the memory is.
type Options struct {
	StateDir string       // key file and SQLite database; created with mode 0700; empty: DefaultStateDir
	URL      string       // postgres://…; empty: SQLite in StateDir/composure.db
	Logger   *slog.Logger // nil: nothing is logged
	Driver   string       // of database/sql, for SQLite; empty: SQLite's own. Tests wrap it to take the store away

	// Stamp answers instead of Store.Stamp with a driver that is not SQLite's own; nil: nothing tells.
	Stamp func() string
}

// Store is open memory. It is safe for concurrent use, by any number of processes.
type Store struct {
	db   *sql.DB
	key  sealer
	log  *slog.Logger
	dir  string
	kind dialect

	lapses *lapses

	driver   string        // of SQLite
	stamp    func() string // with another driver; nil: nothing tells
	unfenced bool          // the mirror of Buffered: it repeats what the real store is asked to fence
	database string        // of PostgreSQL
	where    string        // for people, without a password
	identity string        // fingerprint of the key
	shared   bool          // with others of this process, one of which closes it
}

// ownDriver is SQLite's own.
const ownDriver = "sqlite"

// dialect is what the two databases do not share: how they are opened, locked for a migration, and name an error.
type dialect string

const (
	sqlite   dialect = "sqlite3"
	postgres dialect = "postgres"
)

// StackKey names a stack in the store: a project on one engine. Projects of one name on two engines are two stacks.
func StackKey(engineID, project string) string { return engineID + "/" + project }

// NewID returns a fresh random identifier for a row.
func NewID() string { return rand.Text() }

// DefaultStateDir is /var/lib/composure for root, else the user's state directory: the same for every process of one
// user on a host, so that the lease is shared.
func DefaultStateDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/composure", nil
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "composure"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the state directory: %w; give --state-dir", err)
	}
	return filepath.Join(home, ".local", "state", "composure"), nil
}

// Open opens the store, migrates it when its schema is older than this program's, and checks that the key file is the
// one its contents were sealed with. Opening an up-to-date SQLite database costs a few milliseconds. Any number of
// processes may open a new store at once. ErrKey and ErrSchema tell two refusals apart from a database that is down.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{
		log: o.Logger, dir: o.StateDir, driver: cmp.Or(o.Driver, ownDriver), stamp: o.Stamp,
		lapses: &lapses{comeBack: comeBack, asksOn: asksOn, seen: map[string]lapse{}},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.dir == "" {
		dir, err := DefaultStateDir()
		if err != nil {
			return nil, err
		}
		s.dir = dir
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the state directory: %w; give --state-dir", err)
	}
	var err error
	name := "PostgreSQL"
	switch {
	case o.URL == "":
		s.kind, s.where, name = sqlite, s.dir, filepath.Join(s.dir, "composure.db")
		s.db, err = openSQLite(s.driver, name)
	case strings.HasPrefix(o.URL, "postgres://"), strings.HasPrefix(o.URL, "postgresql://"):
		s.kind = postgres // its own errors name the server, without the password
		s.db, s.database, s.where, err = openPostgres(o.URL)
	default:
		name, err = "given", errors.New("it must be postgres://…; without one it is SQLite in the state directory")
	}
	if err == nil {
		err = s.prepare(ctx)
	}
	if err != nil {
		return nil, failed("open the store "+name, err)
	}
	return s, nil
}

// Identity is the same for all that have opened this store, on any machine, and for nobody else. It reveals nothing.
func (s *Store) Identity() string { return string(s.kind) + " " + s.database + " " + s.identity }

// Where says where the store is as --state-dir or --store does, without a password.
func (s *Store) Where() string { return s.where }

// prepare brings schema and key in order; it closes the database when it cannot.
func (s *Store) prepare(ctx context.Context) error {
	err := s.migrate(ctx)
	if err == nil {
		err = s.openKey(ctx)
	}
	if err != nil {
		return errors.Join(err, s.db.Close())
	}
	return nil
}

// Stamp changes with everything that any process writes, as far as that can be told without asking the database: from the
// times and sizes of SQLite's files. It is empty where it cannot. Two writes within a tick of the file system's clock may
// look like one.
func (s *Store) Stamp() string {
	switch {
	case s.stamp != nil:
		return s.stamp()
	case s.kind != sqlite || s.driver != ownDriver:
		return ""
	}
	stamp := ""
	for _, file := range []string{"composure.db", "composure.db-wal"} {
		if info, err := os.Stat(filepath.Join(s.dir, file)); err == nil {
			stamp += fmt.Sprintf("%d %d ", info.Size(), info.ModTime().UnixNano())
		}
	}
	return stamp
}

// Close closes the store. The last process to close an SQLite store folds its log into the database file, which takes
// some syncs to disk; a command that ends anyway may leave it out: what was acknowledged is on disk.
func (s *Store) Close() error {
	if s.shared {
		return nil
	}
	return s.db.Close()
}

// querier is what a database and a transaction have in common.
type querier interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	QueryRowContext(context.Context, string, ...any) *sql.Row
}

// tx runs f in one transaction: committed when f returns nil, rolled back at its first error.
func (s *Store) tx(ctx context.Context, what string, f func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return failed(what, err)
	}
	if err = f(tx); err != nil {
		_ = tx.Rollback() // the error that ended it says more
		return failed(what, err)
	}
	if err = tx.Commit(); err != nil {
		return failed(what, err)
	}
	return nil
}

// exec runs one statement on its own.
func (s *Store) exec(ctx context.Context, what, text string, args ...any) error {
	if _, err := s.db.ExecContext(ctx, text, args...); err != nil {
		return failed(what, err)
	}
	return nil
}

// next returns the next number of a sequence. Its row stays locked until the transaction ends, so numbers are handed
// out in the order of commits and writers of one sequence follow one another.
func next(ctx context.Context, q querier, name string) (int64, error) {
	var n int64
	err := q.QueryRowContext(ctx, `INSERT INTO sequences (name, value) VALUES ($1, 1)
		ON CONFLICT (name) DO UPDATE SET value = sequences.value + 1 RETURNING value`, name).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("number %s: %w", name, err)
	}
	return n, nil
}

// collect reads a whole result set.
func collect[T any](ctx context.Context, q querier, scan func(*sql.Rows) (T, error), text string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// micros is a time as the database keeps it; the zero time is 0.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// moment is the reverse of micros.
func moment(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
