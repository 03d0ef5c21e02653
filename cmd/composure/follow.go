package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"composure/spec"
)

const (
	filePoll  = 2 * time.Second       // how often the compose files are looked at: a handful of stat calls
	fileRetry = 30 * time.Second      // how often files that cannot be used are read again: what is wrong may lie in one that was never read
	fileTick  = 20 * time.Millisecond // of a file system's clock, and more
)

// follower has the desired state read again when a file that was read has changed, and on SIGHUP. A broken edit keeps the last
// good state and says so, once for each edit.
type follower struct {
	reload  func(context.Context) (*spec.Stack, error)
	log     *slog.Logger
	sources []string
	seen    string    // fingerprint of the sources as they were read; empty: they may have changed while they were
	broken  string    // why they could not be used when they were read last
	tried   time.Time // when that was
}

func (f *follower) run(ctx context.Context, hangup <-chan os.Signal) {
	ticker := time.NewTicker(filePoll)
	defer ticker.Stop()
	for {
		asked := false
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			asked = true
		case <-ticker.C:
		}
		f.look(ctx, asked)
	}
}

// look reads the files again when there is reason to: somebody has asked for it, they have changed, or they could not be used.
func (f *follower) look(ctx context.Context, asked bool) {
	began, now := time.Now(), fingerprint(f.sources)
	again := f.broken != "" && began.Sub(f.tried) >= fileRetry
	if now == f.seen && !asked && !again {
		return
	}
	edited := now != f.seen || asked
	f.seen, f.tried = now, began // of before they are read: what is written meanwhile is another change
	fresh, err := f.reload(ctx)
	if err != nil {
		if text := err.Error(); (edited || text != f.broken) && ctx.Err() == nil {
			f.broken = text
			f.log.Error("the compose files were changed and cannot be used", "error", err)
		}
		return
	}
	f.broken = ""
	if !slices.Equal(fresh.Sources, f.sources) {
		f.sources, f.seen = fresh.Sources, fingerprintSince(fresh.Sources, began)
	}
	f.log.Info("the compose files were read again", "stack", fresh.Name)
}

// fingerprint tells whether any of the files has changed: size and time of modification of each.
func fingerprint(files []string) string {
	text := ""
	for _, f := range files {
		if info, err := os.Stat(f); err == nil {
			text += fmt.Sprintf("%s %d %d\n", f, info.Size(), info.ModTime().UnixNano())
		}
	}
	return text
}

// fingerprintSince is the fingerprint of files that were begun to be read at a time; empty when one was written since: nobody
// knows whether before or after it was read.
func fingerprintSince(files []string, began time.Time) string {
	for _, f := range files {
		if info, err := os.Stat(f); err == nil && info.ModTime().After(began.Add(-fileTick)) {
			return ""
		}
	}
	return fingerprint(files)
}
