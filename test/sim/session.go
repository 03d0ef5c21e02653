package sim

import (
	"context"
	"database/sql/driver"
	"errors"
	"strings"
	"sync"
)

// session is a connection of SQLite's with the statements that were prepared on it: SQLite takes longer to read a statement
// than to run it, and a simulation runs the same few a million times. It outlives the process that had it: the next one that
// connects gets it.
type session struct {
	driver.Conn
	kept   map[string]driver.Stmt
	schema string // the scripts that made a database in memory
}

func newSession(conn driver.Conn) *session {
	return &session{Conn: conn, kept: map[string]driver.Stmt{}}
}

// prepared is a statement; nil for a script of several.
func (s *session) prepared(ctx context.Context, query string) (driver.Stmt, error) {
	if strings.Contains(query, ";") {
		return nil, nil
	}
	if kept := s.kept[query]; kept != nil {
		return kept, nil
	}
	made, err := s.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	if err == nil {
		s.kept[query] = made
	}
	return made, err
}

// exec runs a statement that takes no arguments.
func (s *session) exec(ctx context.Context, query string) error {
	made, err := s.prepared(ctx, query)
	if err == nil {
		_, err = made.(driver.StmtExecContext).ExecContext(ctx, nil)
	}
	return err
}

func (s *session) close() error {
	var errs []error
	for _, made := range s.kept {
		errs = append(errs, made.Close())
	}
	return errors.Join(append(errs, s.Conn.Close())...)
}

// sessions are those that nobody has.
type sessions struct {
	mu   sync.Mutex
	idle []*session
}

// take returns one; nil: there is none.
func (s *sessions) take() *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.idle) == 0 {
		return nil
	}
	last := s.idle[len(s.idle)-1]
	s.idle = s.idle[:len(s.idle)-1]
	return last
}

func (s *sessions) give(one *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = append(s.idle, one)
}

// close ends all of them.
func (s *sessions) close() {
	for one := s.take(); one != nil; one = s.take() {
		_ = one.close()
	}
}

// mirrors are databases in memory. What is in one goes before it is used again.
var mirrors sessions

// empty is a database in memory with the schema that scripts make, and nothing in it.
func (s *session) empty(ctx context.Context, scripts []string) error {
	key := strings.Join(scripts, "\n")
	if s.schema == "" {
		for _, script := range scripts {
			if _, err := s.Conn.(driver.ExecerContext).ExecContext(ctx, script, nil); err != nil {
				return err
			}
		}
		s.schema = key
		return nil
	}
	if s.schema != key {
		return errors.New("simulated: a database in memory has another schema")
	}
	for _, statement := range strings.Split(key, ";") {
		_, table, made := strings.Cut(statement, "CREATE TABLE ")
		if table, _, _ = strings.Cut(table, " "); made {
			if err := s.exec(ctx, "DELETE FROM "+table); err != nil {
				return err
			}
		}
	}
	return nil
}
