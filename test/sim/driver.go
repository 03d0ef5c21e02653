package sim

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"net/url"
	"path/filepath"
	"strings"
	"sync"

	sqlitedriver "modernc.org/sqlite"
)

// driverName is the database driver that the processes of a simulation use: SQLite's, which can be taken away from them.
const driverName = "sqlite-sim"

func init() { // a driver can be registered once in a process
	sql.Register(driverName, faultyDriver{&sqlitedriver.Driver{}})
}

// owners are the processes by the directory through which they reach the store.
var owners sync.Map

// errStore is what a store that is taken away says.
var errStore = errors.New("simulated: the database cannot be reached")

// faultyDriver asks the process that opens a connection, before each statement, whether the store is there.
type faultyDriver struct{ driver.Driver }

// Open implements driver.Driver.
func (d faultyDriver) Open(name string) (driver.Conn, error) {
	c, err := d.Driver.Open(name)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(name)
	if err != nil {
		return nil, err
	}
	memory := ""
	if u.Opaque == ":memory:" {
		memory = name
	}
	owner, _ := owners.Load(filepath.Dir(u.Path))
	p, _ := owner.(*process)
	return &faultyConn{Conn: c, p: p, kept: map[string]*faultyStmt{}, memory: memory}, nil
}

// faultyConn is a connection of one process. It keeps prepared statements: SQLite takes longer to read a statement than to
// run it, and a simulation runs the same few a million times. No statement sees its context: SQLite has a goroutine wait for
// the end of one, and no time goes by while a statement runs.
type faultyConn struct {
	driver.Conn
	p    *process
	kept map[string]*faultyStmt

	memory  string   // the name of a database in memory
	scripts []string // which make its schema, and have not run yet
}

func (c *faultyConn) fails(writes bool) error {
	if c.p == nil {
		return nil
	}
	return c.p.storeFails(writes)
}

// wrote notes that something may have been written.
func (c *faultyConn) wrote() {
	if c.p != nil {
		c.p.w.writes.Add(1)
	}
}

// defers says whether a statement is a script that makes the schema of a database in memory: it runs before the first other one.
func (c *faultyConn) defers(query string) bool {
	if c.memory == "" || len(c.kept) > 0 || !strings.Contains(query, ";") {
		return false
	}
	c.scripts = append(c.scripts, query)
	return true
}

// catchUp runs what was deferred.
func (c *faultyConn) catchUp(ctx context.Context) error {
	scripts := c.scripts
	if c.scripts = nil; scripts == nil {
		return nil
	}
	made, err := withSchema(ctx, c.memory, c.Conn, scripts)
	if err == nil {
		c.Conn = made
	}
	return err
}

// prepared is a statement that is kept; nil for a script of several.
func (c *faultyConn) prepared(ctx context.Context, query string) (*faultyStmt, error) {
	if err := c.catchUp(ctx); err != nil {
		return nil, err
	}
	if strings.Contains(query, ";") {
		return nil, nil
	}
	if s := c.kept[query]; s != nil {
		return s, nil
	}
	s, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	c.kept[query] = &faultyStmt{s, c}
	return c.kept[query], nil
}

// BeginTx implements driver.ConnBeginTx.
func (c *faultyConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	if err := c.fails(true); err != nil {
		return nil, err
	}
	if err := c.catchUp(ctx); err != nil {
		return nil, err
	}
	tx, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
	return &faultyTx{tx, c}, err
}

// ExecContext implements driver.ExecerContext.
func (c *faultyConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := errors.Join(ctx.Err(), c.fails(true)); err != nil {
		return nil, err
	}
	if c.defers(query) {
		return driver.ResultNoRows, nil
	}
	defer c.wrote()
	ctx = context.WithoutCancel(ctx)
	if s, err := c.prepared(ctx, query); s != nil || err != nil {
		if err != nil {
			return nil, err
		}
		return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
	}
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

// QueryContext implements driver.QueryerContext.
func (c *faultyConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := errors.Join(ctx.Err(), c.fails(false)); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(query, "SELECT") && !strings.HasPrefix(query, "PRAGMA") { // such as an UPDATE with RETURNING
		defer c.wrote()
	}
	ctx = context.WithoutCancel(ctx)
	if s, err := c.prepared(ctx, query); s != nil || err != nil {
		if err != nil {
			return nil, err
		}
		return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
	}
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

// PrepareContext implements driver.ConnPrepareContext.
func (c *faultyConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if err := c.fails(false); err != nil {
		return nil, err
	}
	s, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	return &faultyStmt{s, c}, err
}

// faultyStmt is a prepared statement.
type faultyStmt struct {
	driver.Stmt
	c *faultyConn
}

// ExecContext implements driver.StmtExecContext.
func (s *faultyStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if err := s.c.fails(true); err != nil {
		return nil, err
	}
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

// QueryContext implements driver.StmtQueryContext.
func (s *faultyStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if err := s.c.fails(false); err != nil {
		return nil, err
	}
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}

// Close implements driver.Conn.
func (c *faultyConn) Close() error {
	for _, s := range c.kept {
		_ = s.Stmt.Close()
	}
	return c.Conn.Close()
}

// faultyTx is a transaction. Its answer can be lost after it was committed.
type faultyTx struct {
	driver.Tx
	c *faultyConn
}

// Commit implements driver.Tx.
func (t *faultyTx) Commit() error {
	if err := t.c.fails(true); err != nil {
		return errors.Join(err, t.Tx.Rollback())
	}
	defer t.c.wrote()
	if err := t.Tx.Commit(); err != nil {
		return err
	}
	if t.c.p != nil && t.c.p.answerLost() {
		return errStore
	}
	return nil
}
