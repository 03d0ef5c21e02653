package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"composure/spec"
)

const (
	filePoll   = 2 * time.Second       // how often the compose files are looked at where the system does not tell of changes
	fileSettle = time.Second           // what is written within it is heard of once: editors write in steps
	fileRound  = 30 * time.Second      // how often they are looked at though nothing was told: they may be changed on another machine
	fileRetry  = 30 * time.Second      // how often files that cannot be used are read again: what is wrong may lie in one that was never read
	fileWait   = 10 * time.Second      // how long nothing is begun for files that are still to be read
	fileTick   = 20 * time.Millisecond // of a file system's clock, and more
)

// follower has the desired state read again when a file that was read has changed, and on SIGHUP. A broken edit keeps the last
// good state and says so, once for each edit.
type follower struct {
	reload  func(context.Context) (*spec.Stack, error)
	changes func(ctx context.Context, files []string) (<-chan struct{}, error) // the function of that name; nil: nothing tells
	round   time.Duration                                                      // fileRound
	log     *slog.Logger
	broken  string    // why they could not be used when they were read last
	tried   time.Time // when that was

	mu      sync.Mutex
	sources []string
	seen    string    // fingerprint of the sources as they were read; empty: they may have changed while they were
	reading bool      // they are being read
	since   time.Time // since when they are known to have changed; zero: they have not
}

// edited says whether the files have changed and are still to be read. Those that change again and again count for fileWait.
func (f *follower) edited() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case !f.reading && fingerprint(f.sources) == f.seen:
		f.since = time.Time{}
		return false
	case f.since.IsZero():
		f.since = time.Now()
	}
	return time.Since(f.since) < fileWait
}

// read says what was read last: the files, and their fingerprint.
func (f *follower) read() (sources []string, seen string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sources, f.seen
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
	sources, _ := f.read()
	every := filePoll
	told := f.told(listening)
	if told != nil {
		every = f.round
		f.look(ctx, false) // at what was written while nobody listened
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for began := time.Now(); time.Since(began) < f.round; {
		if now, _ := f.read(); !slices.Equal(sources, now) {
			return
		}
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
	sources, _ := f.read()
	told, err := f.changes(ctx, sources)
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
	sources, seen := f.read()
	began, now := time.Now(), fingerprint(sources)
	again := f.broken != "" && began.Sub(f.tried) >= fileRetry
	if now == seen && !asked && !again {
		return
	}
	edited := now != seen || asked
	f.tried = began
	f.note(sources, now, true) // of before they are read: what is written meanwhile is another change
	fresh, err := f.reload(ctx)
	f.note(sources, now, false)
	if err != nil {
		if text := err.Error(); (edited || text != f.broken) && ctx.Err() == nil {
			f.broken = text
			f.log.Error("the compose files were changed and cannot be used", "error", err)
		}
		return
	}
	f.broken = ""
	if !slices.Equal(fresh.Sources, sources) {
		f.note(fresh.Sources, fingerprintSince(fresh.Sources, began), false)
	}
	f.log.Info("the compose files were read again", "stack", fresh.Name)
}

func (f *follower) note(sources []string, seen string, reading bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sources, f.seen, f.reading = sources, seen, reading
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
