package sim

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	sqlitedriver "modernc.org/sqlite"
)

// Driver is the database driver that the processes of a simulation use: SQLite's, which can be taken away from them.
const Driver = "sqlite-sim"

func init() { // a driver can be registered once in a process
	sql.Register(Driver, faultyDriver{&sqlitedriver.Driver{}})
}

// Owner is a process, as its store sees it.
type Owner interface {
	// Fails is asked before each statement.
	Fails(writes bool) error
	// Wrote is told when something is written for good, and of what tables. An error is the answer in the place of success.
	Wrote(tables []string, tx bool) error
	// Stirred is told that something may have been written.
	Stirred()
}

// owners are the processes by the directory through which they reach the store.
var owners sync.Map

// Own makes a process the owner of what is opened in a directory from now on.
func Own(dir string, o Owner) { owners.Store(dir, o) }

// written finds the table that a statement writes to.
var written = regexp.MustCompile(`^\s*(?i:INSERT INTO|UPDATE|DELETE FROM)\s+(\w+)`)

// errStore is what a store that is taken away says.
var errStore = errors.New("simulated: the database cannot be reached")

// faultyDriver asks the process that opens a connection, before each statement, whether the store is there.
type faultyDriver struct{ driver.Driver }

// Open implements driver.Driver.
func (d faultyDriver) Open(name string) (driver.Conn, error) {
	u, err := url.Parse(name)
	if err != nil {
		return nil, err
	}
	c := &faultyConn{kept: map[string]*faultyStmt{}}
	owner, _ := owners.Load(filepath.Dir(u.Path))
	c.p, _ = owner.(Owner)
	switch lender, lends := owner.(interface{ lends() *parked }); {
	case u.Opaque == ":memory:":
		c.memory, c.park, c.key = name, memories, name
		return c, nil // it is connected when it is known what its schema is
	case lends:
		c.park, c.key = lender.lends(), filepath.Base(u.Path)+"?"+u.RawQuery
		if c.adopt() {
			return c, nil
		}
	}
	c.Conn, err = d.Driver.Open(name)
	return c, err
}

// faultyConn is a connection of one process. It keeps prepared statements: SQLite takes longer to read a statement than to
// run it, and a simulation runs the same few a million times. No statement sees its context: SQLite has a goroutine wait for
// the end of one, and no time goes by while a statement runs.
type faultyConn struct {
	driver.Conn
	p      Owner // nil: nobody's
	kept   map[string]*faultyStmt
	tx     bool     // a transaction is open
	tables []string // that it has written to

	memory  string   // the name of a database in memory
	scripts []string // which make its schema, and have not run yet

	park   *parked // where it stays for the next one who opens the same database; nil: nowhere
	key    string  // what stands for the database there
	spoilt bool    // a transaction may have stayed open
}

func (c *faultyConn) fails(writes bool) error {
	if c.p == nil {
		return nil
	}
	return c.p.Fails(writes)
}

// wrote notes what a statement has written, and tells it when that is for good.
func (c *faultyConn) wrote(query string, result driver.Result) error {
	n, err := result.RowsAffected()
	if match := written.FindStringSubmatch(query); match != nil && err == nil && n > 0 {
		c.tables = append(c.tables, match[1])
	}
	if c.tx || c.p == nil || len(c.tables) == 0 {
		return nil
	}
	tables := c.tables
	c.tables = nil
	return c.p.Wrote(tables, false)
}

// stirred notes that something may have been written.
func (c *faultyConn) stirred() {
	if c.p != nil {
		c.p.Stirred()
	}
}

// defers says whether a statement is a script that makes the schema of a database in memory: it runs before the first other one.
func (c *faultyConn) defers(query string) bool {
	if c.memory == "" || c.Conn != nil || !strings.Contains(query, ";") {
		return false
	}
	c.scripts = append(c.scripts, query)
	return true
}

// catchUp connects to a database in memory, with what was deferred.
func (c *faultyConn) catchUp(ctx context.Context) (err error) {
	if c.Conn != nil {
		return nil
	}
	if c.key += strings.Join(c.scripts, "\n"); c.adopt() {
		return nil
	}
	c.Conn, err = withSchema(ctx, c.memory, c.scripts)
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
	return c.keep(ctx, query)
}

// keep prepares a statement once.
func (c *faultyConn) keep(ctx context.Context, query string) (*faultyStmt, error) {
	if s := c.kept[query]; s != nil {
		return s, nil
	}
	s, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	c.kept[query] = &faultyStmt{s, c, query}
	return c.kept[query], nil
}

// BeginTx implements driver.ConnBeginTx.
func (c *faultyConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	if err := errors.Join(c.fails(true), c.catchUp(ctx)); err != nil {
		return nil, err
	}
	tx, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
	c.tx, c.tables = err == nil, nil
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
	defer c.stirred()
	ctx = context.WithoutCancel(ctx)
	if s, err := c.prepared(ctx, query); s != nil || err != nil {
		if err != nil {
			return nil, err
		}
		result, err := s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
		if err == nil {
			err = c.wrote(query, result)
		}
		return result, err
	}
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

// QueryContext implements driver.QueryerContext.
func (c *faultyConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := errors.Join(ctx.Err(), c.fails(false)); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(query, "SELECT") && !strings.HasPrefix(query, "PRAGMA") { // such as an UPDATE with RETURNING
		defer c.stirred()
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
	s, err := c.prepared(ctx, query)
	return borrowed{s}, err
}

// borrowed is a prepared statement that its connection keeps.
type borrowed struct{ *faultyStmt }

// Close implements driver.Stmt.
func (borrowed) Close() error { return nil }

// faultyStmt is a prepared statement.
type faultyStmt struct {
	driver.Stmt
	c     *faultyConn
	query string
}

// ExecContext implements driver.StmtExecContext.
func (s *faultyStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if err := s.c.fails(true); err != nil {
		return nil, err
	}
	result, err := s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
	if err == nil {
		err = s.c.wrote(s.query, result)
	}
	return result, err
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
	if c.Conn == nil || c.stays() {
		return nil
	}
	return c.close()
}

func (c *faultyConn) close() error {
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
	tables := t.c.tables
	t.c.tx, t.c.tables = false, nil
	if err := t.c.fails(true); err != nil {
		return errors.Join(err, t.rollback())
	}
	defer t.c.stirred()
	if err := t.Tx.Commit(); err != nil || t.c.p == nil {
		t.c.spoilt = err != nil
		return err
	}
	return t.c.p.Wrote(tables, true)
}

// Rollback implements driver.Tx.
func (t *faultyTx) Rollback() error {
	t.c.tx, t.c.tables = false, nil
	return t.rollback()
}

func (t *faultyTx) rollback() error {
	err := t.Tx.Rollback()
	t.c.spoilt = t.c.spoilt || err != nil
	return err
}
