package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// changes closes what it returns when one of the files has changed, or another one has come in its place. It listens until then, or
// until ctx ends. An error: not all of them can be listened to, such as one that does not exist.
//
// What is listened to is what the names mean now: the files, the directories on the way to them, and links on the way with what they
// lead to. None of these is put in the place of another without being moved or removed itself. What happens to other files in those
// directories, of which some are as busy as /tmp, wakes nobody up.
func changes(ctx context.Context, files []string) (<-chan struct{}, error) {
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC | syscall.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("listen to files: %w", err)
	}
	events := os.NewFile(uintptr(fd), "inotify")
	listened := map[string]bool{}
	for _, file := range files {
		if err := listenTo(fd, file, listened); err != nil {
			return nil, errors.Join(fmt.Errorf("listen to %s: %w", file, err), events.Close())
		}
	}
	told := make(chan struct{})
	silence := context.AfterFunc(ctx, func() { _ = events.Close() })
	go func() {
		_, _ = events.Read(make([]byte, 4096)) // whatever it is, an error too: somebody has to look
		if ctx.Err() == nil {
			close(told)
		}
		silence()
		_ = events.Close()
	}()
	return told, nil
}

// listenTo listens to what a path goes through, each once: links may lead in a circle.
func listenTo(fd int, path string, listened map[string]bool) error {
	if listened[path] {
		return nil
	}
	listened[path] = true
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	mask := uint32(syscall.IN_MOVE_SELF | syscall.IN_DELETE_SELF)
	if !info.IsDir() { // of a directory these would tell what happens to the files in it
		mask |= syscall.IN_MODIFY | syscall.IN_ATTRIB
	}
	if _, err := syscall.InotifyAddWatch(fd, path, mask|syscall.IN_DONT_FOLLOW|syscall.IN_MASK_ADD); err != nil {
		return &os.PathError{Op: "inotify_add_watch", Path: path, Err: err}
	}
	directory := filepath.Dir(path)
	if err := listenTo(fd, directory, listened); err != nil || info.Mode()&os.ModeSymlink == 0 {
		return err
	}
	to, err := os.Readlink(path)
	if err != nil {
		return err
	}
	if !filepath.IsAbs(to) { // from where the directory really is
		if directory, err = filepath.EvalSymlinks(directory); err != nil {
			return err
		}
		to = filepath.Join(directory, to)
	}
	return listenTo(fd, to, listened)
}
