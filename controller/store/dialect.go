package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	sqlitedriver "modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"
)

// connectTimeout bounds a connection attempt to PostgreSQL when the URL does not.
const connectTimeout = 5 * time.Second

// maxIdle is how many connections to PostgreSQL are kept for the next statement.
const maxIdle = 2

// openSQLite opens a database file. One connection serves the process: statements take well under a millisecond, and
// connections of one process would only wait for each other's write lock by polling. Transactions take the write lock at once
// (_txlock=immediate): a lock taken in the middle cannot wait for other processes.
func openSQLite(driver, path string) (*sql.DB, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // SQLite itself would create it readable to others
	if err != nil {
		return nil, fmt.Errorf("create the database file: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("create the database file: %w", err)
	}
	file := url.URL{Scheme: "file", Path: path}
	return openSQLiteURL(driver, file.String())
}

func openSQLiteURL(driver, file string) (*sql.DB, error) {
	db, err := sql.Open(driver, file+"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=synchronous(FULL)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// mark is what a database is at. Two equal ones: no other connection has written in between. The zero one is equal to none.
type mark struct {
	conn    any // which connection says so: what it counts says nothing on another
	version int64
}

// mark returns what the database is at; the zero mark where it does not tell.
func (s *Store) mark(ctx context.Context) (m mark, err error) {
	if s.kind != sqlite {
		return m, nil
	}
	c, err := s.db.Conn(ctx)
	if err != nil {
		return m, fmt.Errorf("ask whether others have written: %w", err)
	}
	defer c.Close()
	err = c.Raw(func(driver any) error { m.conn = driver; return nil })
	if err == nil {
		err = c.QueryRowContext(ctx, `PRAGMA data_version`).Scan(&m.version)
	}
	if err != nil {
		return mark{}, fmt.Errorf("ask whether others have written: %w", err)
	}
	return m, nil
}

// Others tells whether other connections have written to a store since it was asked before. It is not safe for concurrent use.
type Others struct{ at mark }

// Wrote says whether they may have: true also the first time, and where the database does not tell. It costs a tenth of what reading a table does.
func (o *Others) Wrote(ctx context.Context, s *Store) (bool, error) {
	at, err := s.mark(ctx)
	if err != nil {
		return true, err
	}
	wrote := at == (mark{}) || at != o.at
	o.at = at
	return wrote, nil
}

// openPostgres opens a database; where says which it is, for people.
func openPostgres(dsn string) (db *sql.DB, database, where string, err error) {
	cfg, err := pgx.ParseConfig(dsn) // its errors leave the password out
	if err != nil {
		return nil, "", "", err
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = connectTimeout
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "composure"
	}
	db = stdlib.OpenDB(*cfg)
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(maxIdle)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return db, cfg.Database, fmt.Sprintf("postgres://%s/%s", net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port))), cfg.Database), nil
}

// dropIdle closes the connections that nobody uses: after an outage of the server they are broken, and each would fail once.
func (s *Store) dropIdle() {
	if s.kind == postgres {
		s.db.SetMaxIdleConns(0)
		s.db.SetMaxIdleConns(maxIdle)
	}
}

// missingTable says whether a statement failed because its table does not exist.
func missingTable(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code == "42P01"
	}
	lite, ok := errors.AsType[*sqlitedriver.Error](err)
	return ok && strings.Contains(lite.Error(), "no such table")
}

// refused says whether the database understood a statement and will never accept it: repeating it later is no use.
// Everything else (no connection, no space, no memory, shutting down) may pass.
func refused(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		class := pg.Code[:min(2, len(pg.Code))]
		return class == "22" || class == "23" || class == "42" // data, constraint, statement
	}
	if lite, ok := errors.AsType[*sqlitedriver.Error](err); ok {
		code := lite.Code() & 0xff
		return code == sqlitelib.SQLITE_CONSTRAINT || code == sqlitelib.SQLITE_MISMATCH || code == sqlitelib.SQLITE_TOOBIG
	}
	return false
}

// failed says what could not be done. SQLite calls a full disk an I/O error of some kind where it was not writing the
// database itself.
func failed(what string, err error) error {
	if lite, ok := errors.AsType[*sqlitedriver.Error](err); ok {
		if code := lite.Code() & 0xff; code == sqlitelib.SQLITE_FULL || code == sqlitelib.SQLITE_IOERR {
			return fmt.Errorf("%s: %w; is the disk of the state directory full?", what, err)
		}
	}
	return fmt.Errorf("%s: %w", what, err)
}
