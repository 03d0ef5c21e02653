package sim

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"sync"
)

// parked are connections to a database that their process has closed, each with the statements that were prepared on it. The
// next process that opens the database has one of them: SQLite takes longer to open a database and to read the same statements
// anew than a short process does with them.
type parked struct {
	mu   sync.Mutex
	free map[string][]*faultyConn
}

// memories are databases in memory, which are empty but for their schema.
var memories = &parked{}

// take takes a connection; nil: there is none.
func (p *parked) take(key string) *faultyConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	free := p.free[key]
	if len(free) == 0 {
		return nil
	}
	last := len(free) - 1
	p.free[key] = free[:last]
	return free[last]
}

func (p *parked) put(c *faultyConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.free == nil {
		p.free = map[string][]*faultyConn{}
	}
	p.free[c.key] = append(p.free[c.key], c)
}

// close closes all there are.
func (p *parked) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, free := range p.free {
		for _, c := range free {
			errs = append(errs, c.close())
		}
	}
	p.free = nil
	return errors.Join(errs...)
}

// adopt takes over a parked connection, if there is one. It is another one for who asks: whatever was known of the one before,
// such as what others had written, does not count.
func (c *faultyConn) adopt() bool {
	before := c.park.take(c.key)
	if before == nil {
		return false
	}
	c.Conn, c.kept = before.Conn, before.kept
	for _, s := range c.kept {
		s.c = c
	}
	return true
}

// stays parks a connection that its process is done with, unless something is left open on it.
func (c *faultyConn) stays() bool {
	if c.park == nil || c.tx || c.spoilt || c.memory != "" && c.empty() != nil {
		return false
	}
	c.park.put(c)
	return true
}

// empty removes all rows.
func (c *faultyConn) empty() error {
	ctx := context.Background()
	tables, err := c.tablesOf(ctx)
	for _, table := range tables {
		var s *faultyStmt
		if s, err = c.keep(ctx, `DELETE FROM `+table); err == nil {
			_, err = s.Stmt.(driver.StmtExecContext).ExecContext(ctx, nil)
		}
		if err != nil {
			break
		}
	}
	return err
}

// tablesOf are the tables of the schema.
func (c *faultyConn) tablesOf(ctx context.Context) ([]string, error) {
	s, err := c.keep(ctx, `SELECT name FROM sqlite_schema WHERE type = 'table'`)
	if err != nil {
		return nil, err
	}
	rows, err := s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var names []string
	for into := make([]driver.Value, 1); ; {
		if err := rows.Next(into); errors.Is(err, io.EOF) {
			return names, nil
		} else if err != nil {
			return nil, err
		}
		names = append(names, into[0].(string))
	}
}
