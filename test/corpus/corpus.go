// Package corpus holds compose files that between them use every feature of a service, one feature area a file. They
// are the ground on which Composure and docker compose must agree.
//
// Names that a stack takes on the engine start with cmpsr-interop-.
package corpus

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

//go:embed *.yaml files
var content embed.FS

// Dir is where Install puts the files. It is always the same path, because config hashes and labels contain it.
const Dir = "/tmp/composure-corpus"

// External is the name of a network and of a volume that some of the files expect on the engine.
const External = "cmpsr-interop-external"

// Environ is the environment, KEY=value, that the files are loaded with, beside what a program needs to run.
var Environ = []string{"CORPUS_SET=from the environment", "CORPUS_TOKEN=not a real token"}

// Names returns the names of the files, without .yaml, sorted.
func Names() []string {
	entries, err := content.ReadDir(".")
	if err != nil {
		panic(err) // embedded: cannot fail
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".yaml"); ok {
			names = append(names, name)
		}
	}
	return names
}

// File returns the path of a file after Install.
func File(name string) string { return filepath.Join(Dir, name+".yaml") }

// Install writes the files to Dir where they are not there already. Tests of several processes may call it at once.
func Install() error {
	return fs.WalkDir(content, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		want, err := content.ReadFile(name)
		if err != nil {
			return err
		}
		target := filepath.Join(Dir, name)
		if have, err := os.ReadFile(target); err == nil && bytes.Equal(have, want) {
			return nil
		}
		return replace(target, want)
	})
}

// replace writes a file so that a reader sees the old or the new content, never half of it.
func replace(target string, content []byte) error {
	dir := filepath.Dir(target)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("install corpus: %w", err)
	}
	temporary, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return fmt.Errorf("install corpus: %w", err)
	}
	_, err = temporary.Write(content)
	if err == nil {
		err = temporary.Chmod(0o644)
	}
	if closing := temporary.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(temporary.Name(), target)
	}
	if err != nil {
		return fmt.Errorf("install corpus: %w", err)
	}
	return nil
}
