package main

import (
	"encoding/json"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"strings"
)

// asks is what a package with bugs asks.
const asks = `package %s

import "os"

// planted says whether this process is to have a bug.
func planted(bug string) bool { return plantedBug == bug }

var plantedBug = os.Getenv("PLANTED")
`

// plant writes copies of the files that bugs change, with all bugs in them, and the overlay that puts them in place of
// the originals. It returns the overlay's path.
func plant(root, dir string) (string, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return "", err
	}
	texts, err := changed(root)
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	add := func(file, text string) error {
		copied := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		replace[filepath.Join(root, file)] = copied
		return os.WriteFile(copied, []byte(text), 0o600)
	}
	for file, text := range texts {
		name, _, _ := strings.Cut(text[strings.Index(text, "\npackage ")+9:], "\n")
		if err := add(filepath.Join(filepath.Dir(file), "planted_bugs.go"), fmt.Sprintf(asks, name)); err != nil {
			return "", err
		}
		if err := add(file, text); err != nil {
			return "", err
		}
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, data, 0o600)
}

// changed are the files that bugs change, with all bugs in them.
func changed(root string) (map[string]string, error) {
	texts := map[string]string{}
	for _, b := range bugs {
		for _, c := range b.changes {
			text, known := texts[c.file]
			if !known {
				data, err := os.ReadFile(filepath.Join(root, c.file))
				if err != nil {
					return nil, err
				}
				text = "\n" + string(data)
			}
			if n := strings.Count(text, c.old); n != 1 {
				return nil, fmt.Errorf("%s: this stands %d times in %s, and not once; write the bug anew for the code there is:\n%s", b.name, n, c.file, c.old)
			}
			text = strings.Replace(text, c.old, c.new, 1)
			if c.more != "" {
				text += "\n" + c.more + "\n"
			}
			texts[c.file] = text
		}
	}
	for file, text := range texts {
		if _, err := format.Source([]byte(text)); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return texts, nil
}
