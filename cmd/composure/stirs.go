package main

import (
	"context"
	"log/slog"

	"github.com/fsnotify/fsnotify"
)

// stirs tells that something in a directory has been written, once for all that was written until it is heard. nil: the system
// does not tell, and whoever wants to know has to look.
func stirs(ctx context.Context, dir string, log *slog.Logger) <-chan struct{} {
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		err = watcher.Add(dir)
	}
	if err != nil {
		log.Debug("the system does not tell of what is written; it is looked for every second", "directory", dir, "error", err)
		if watcher != nil {
			_ = watcher.Close()
		}
		return nil
	}
	told := make(chan struct{}, 1)
	go func() {
		defer watcher.Close()
		for {
			select {
			case <-ctx.Done():
				return
			case <-watcher.Events:
			case <-watcher.Errors: // such as events that were lost
			}
			select {
			case told <- struct{}{}:
			default:
			}
		}
	}()
	return told
}
