package sim

import (
	"context"
	"os"
	"path/filepath"
	"sync"

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
