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
	filePoll   = 2 * time.Second       // how often the compose files are looked at where the system does not tell of changes
	fileSettle = time.Second           // what is written within it is heard of once: editors write in steps
	fileRound  = 30 * time.Second      // how often they are looked at though nothing was told: they may be changed on another machine
	fileRetry  = 30 * time.Second      // how often files that cannot be used are read again: what is wrong may lie in one that was never read
	fileTick   = 20 * time.Millisecond // of a file system's clock, and more
)

// follower has the desired state read again when a file that was read has changed, and on SIGHUP. A broken edit keeps the last
// good state and says so, once for each edit.
type follower struct {
	reload  func(context.Context) (*spec.Stack, error)
	changes func(ctx context.Context, files []string) (<-chan struct{}, error) // the function of that name; nil: nothing tells
	round   time.Duration                                                      // fileRound
	log     *slog.Logger
	sources []string
	seen    string    // fingerprint of the sources as they were read; empty: they may have changed while they were
	broken  string    // why they could not be used when they were read last
	tried   time.Time // when that was
}

func (f *follower) run(ctx context.Context, hangup <-chan os.Signal) {
	for ctx.Err() == nil {
		f.listen(ctx, hangup)
	}
}

// listen waits for one change, for a round at most, and looks at the files now and then. Whoever calls it again listens to what
// the files are then: other ones under the same names, or others that an edit has included.
func (f *follower) listen(ctx context.Context, hangup <-chan os.Signal) {
	listening, end := context.WithCancel(ctx)
	defer end()
	sources, every := f.sources, filePoll
	told := f.told(listening)
	if told != nil {
		every = f.round
		f.look(ctx, false) // at what was written while nobody listened
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for began := time.Now(); slices.Equal(sources, f.sources) && time.Since(began) < f.round; {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			f.look(ctx, true)
		case <-told:
			f.settle(ctx)
			return
		case <-ticker.C:
			f.look(ctx, false)
		}
	}
}

// told is closed when a file has changed; nil: nothing tells.
func (f *follower) told(ctx context.Context) <-chan struct{} {
	if f.changes == nil {
		return nil
	}
	told, err := f.changes(ctx, f.sources)
	if err != nil {
		f.log.Debug("the system does not tell when the compose files change; they are looked at every two seconds", "error", err)
		return nil
	}
	return told
}

// settle waits until what is being written is likely to be whole.
func (f *follower) settle(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(fileSettle):
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
