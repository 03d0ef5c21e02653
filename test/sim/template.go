package sim

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"modernc.org/sqlite"

	"composure/controller/store"
)

// template is an empty store: every run begins with a copy, for to make the schema takes longer than to use it.
var template = sync.OnceValue(func() map[string][]byte {
	dir, err := os.MkdirTemp(scratch(), "composure-sim-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	s, err := store.Open(context.Background(), store.Options{StateDir: dir})
	if err != nil {
		panic(err)
	}
	if err := s.Close(); err != nil { // which folds its log into the database file
		panic(err)
	}
	files := map[string][]byte{}
	for _, name := range []string{"composure.db", "key"} {
		if files[name], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			panic(err)
		}
	}
	return files
})

// makeState makes the state directory, with an empty store in it.
func makeState(dir string) {
	err := os.Mkdir(dir, 0o700)
	for name, data := range template() {
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
		}
	}
	if err != nil {
		panic(err)
	}
}

// schemas are databases in memory with a schema and nothing else, by the scripts that made it.
var schemas sync.Map // string → driver.Conn

// withSchema is a new database in memory of that name on which scripts have run.
func withSchema(ctx context.Context, name string, scripts []string) (driver.Conn, error) {
	key := strings.Join(scripts, "\n")
	made, ok := schemas.Load(key)
	if !ok {
		fresh, err := (&sqlite.Driver{}).Open(name)
		if err != nil {
			return nil, err
		}
		for _, script := range scripts {
			if _, err := fresh.(driver.ExecerContext).ExecContext(ctx, script, nil); err != nil {
				return nil, fmt.Errorf("make the schema: %w", errors.Join(err, fresh.Close()))
			}
		}
		made, _ = schemas.LoadOrStore(key, fresh)
	}
	copying, err := made.(interface {
		NewBackup(string) (*sqlite.Backup, error)
	}).NewBackup(name)
	if err != nil {
		return nil, err
	}
	if _, err := copying.Step(-1); err != nil { // all of it
		return nil, errors.Join(err, copying.Finish())
	}
	return copying.Commit()
}
