//go:build linux

package dockerd

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// prefix of the directories, and of the control groups, of all private daemons.
const prefix = "cmpsr-dockerd-"

// claim makes a directory that is in use for as long as the file is open. The file has its name only once it is locked: a
// directory without it is just being made.
func claim() (string, *os.File, error) {
	dir, err := os.MkdirTemp("", prefix)
	if err != nil {
		return "", nil, err
	}
	made := filepath.Join(dir, "lock.new")
	f, err := lock(made, os.O_CREATE|os.O_EXCL)
	if err == nil {
		err = os.Rename(made, filepath.Join(dir, "lock"))
	}
	return dir, f, err
}

// lock opens and locks a file, unless another process, or another open file of this one, holds it.
func lock(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|flags, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// removeStale removes what runs left that were killed: their daemons are gone with them, their data is not.
func removeStale() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
	for _, dir := range dirs {
		if f, err := lock(filepath.Join(dir, "lock"), 0); err == nil {
			_ = remove(dir)
			f.Close()
		}
	}
}

// remove deletes a directory and the control groups of its name. Processes that were killed a moment ago may still hold
// either.
func remove(dir string) error {
	var err error
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		err = os.RemoveAll(dir)
		if err == nil {
			err = removeGroups(filepath.Base(dir))
		}
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// removeGroups removes the control groups of a name, in every hierarchy there is.
func removeGroups(name string) error {
	roots, _ := filepath.Glob(filepath.Join("/sys/fs/cgroup", "*", name))
	for _, root := range append(roots, filepath.Join("/sys/fs/cgroup", name)) {
		var groups []string
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				groups = append(groups, path)
			}
			return nil
		})
		slices.Reverse(groups) // the inner ones first
		for _, group := range groups {
			if err := os.Remove(group); err != nil && !os.IsNotExist(err) {
				return err
			}
		}
	}
	return nil
}
