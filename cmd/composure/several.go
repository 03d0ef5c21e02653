package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v4"

	"composure/controller"
	"composure/spec"
)

const (
	rescan     = time.Minute // how often it is looked whether there are other stacks
	startsOver = 10 * time.Second
	startsLast = 5 * time.Minute
)

// several is one process that looks after several stacks: a remediator for each, that knows nothing of the others, on one
// connection to the engine and one to the store.
type several struct {
	app      *app // of no stack
	patterns []string
	interval time.Duration
	log      *slog.Logger
	herd     *herd

	asks map[string]chan os.Signal // by project directory: has its remediator read its files again; only run uses it
	jobs sync.WaitGroup

	mu    sync.Mutex
	dir   map[string]string // by project
	after []error           // what was not brought to an end
}

// reconcileSeveral runs the remediators of several stacks until it is told to end. A stack that cannot be begun with, such as for
// a mistake in its file, is said and tried again, and keeps no other from being looked after.
func (a *app) reconcileSeveral(ctx context.Context, f reconcileFlags) error {
	log, err := a.logger()
	if err != nil {
		return err
	}
	if err := a.onlySeveral(f); err != nil {
		return err
	}
	found, err := stackDirs(f.stacks)
	if err != nil {
		return err
	}
	collectGarbage(steady)
	defer time.AfterFunc(started, debug.FreeOSMemory).Stop() // as with one stack
	one := *a
	if one.common, err = a.share(ctx, log); err != nil {
		return err
	}
	defer func() {
		if err := one.common.close(); err != nil {
			log.Error("the store could not be closed cleanly", "error", err)
		}
	}()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	return newSeveral(&one, f.stacks, f.interval, log).run(ctx, found, hangup)
}

func newSeveral(a *app, patterns []string, interval time.Duration, log *slog.Logger) *several {
	return &several{app: a, patterns: patterns, interval: interval, log: log, herd: newHerd(), asks: map[string]chan os.Signal{}, dir: map[string]string{}}
}

// onlySeveral refuses the flags that speak of one stack.
func (a *app) onlySeveral(f reconcileFlags) error {
	for flag, given := range map[string]bool{
		"--file": len(a.files) > 0, "--project-name": a.project != "", "--project-directory": a.directory != "", "--env-file": len(a.envFiles) > 0,
	} {
		if given {
			return fmt.Errorf("reconcile: %s speaks of one stack and --stacks of several; what differs stands in the .env of each directory (COMPOSE_FILE, COMPOSE_PROJECT_NAME)", flag)
		}
	}
	for _, name := range []string{"COMPOSE_PROJECT_NAME", "COMPOSE_FILE"} {
		if _, set := os.LookupEnv(name); set { // an empty one too: it goes before each .env
			return fmt.Errorf("reconcile: %s in the environment speaks of one stack and --stacks of several; unset it, what differs stands in the .env of each directory", name)
		}
	}
	if f.listen != "" {
		return errors.New("reconcile: --listen shows one stack; with --stacks, `composure status` in its directory shows each, and a process of its own serves one")
	}
	return nil
}

// stackDirs are the project directories that patterns name, each once, also beside an error: what is wrong with one pattern says
// nothing about the others.
func stackDirs(patterns []string) ([]string, error) {
	var all []string
	var wrong []error
	for _, pattern := range patterns {
		dirs, err := dirsOf(pattern)
		all, wrong = append(all, dirs...), append(wrong, err)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	err := errors.Join(wrong...)
	if len(all) == 0 && err == nil {
		err = fmt.Errorf("--stacks %s: no directory with a compose file", strings.Join(patterns, ", "))
	}
	return all, err
}

// dirsOf are the project directories of a pattern. What it matches and holds no compose file is left out; a directory that is
// named has to be there.
func dirsOf(pattern string) ([]string, error) {
	whole, err := filepath.Abs(pattern)
	if err != nil {
		return nil, err
	}
	found, err := filepath.Glob(whole)
	if err != nil {
		return nil, fmt.Errorf("--stacks %s: %w; as in a shell: * and ? and [a-z]", pattern, err)
	}
	named := !strings.ContainsAny(pattern, `*?[\`)
	if named && len(found) == 0 {
		return nil, fmt.Errorf("--stacks %s: there is no such directory", pattern)
	}
	var dirs []string
	for _, dir := range found {
		if info, err := os.Stat(dir); err == nil && info.IsDir() && (named || spec.Holds(dir)) {
			dirs = append(dirs, dir)
		} else if named {
			return nil, fmt.Errorf("--stacks %s: is no directory; name the project's, or a pattern such as '/srv/*'", pattern)
		}
	}
	return dirs, nil
}

// run looks after the stacks of directories, and of those that come later, until ctx ends.
func (s *several) run(ctx context.Context, dirs []string, hangup <-chan os.Signal) error {
	s.jobs.Go(func() { s.app.common.listen(ctx) })
	s.log.Info("looking after several stacks", "stacks", len(dirs))
	if err := s.herd.ready(len(dirs)); err != nil {
		s.log.Warn("the health of this process cannot be told", "error", err)
	}
	ticker := time.NewTicker(rescan)
	defer ticker.Stop()
	wrong := ""
	for {
		for _, dir := range dirs {
			s.begin(ctx, dir)
		}
		select {
		case <-ctx.Done():
			s.jobs.Wait()
			return errors.Join(s.after...)
		case v := <-hangup:
			s.reread(v)
		case <-ticker.C:
			if err := s.herd.tell(); err != nil {
				s.log.Warn("the health of this process cannot be told", "error", err)
			}
		}
		var err error
		dirs, err = stackDirs(s.patterns) // one that is gone is still looked after, as it was read last
		wrong = s.found(err, wrong)
	}
}

// found says what is wrong with the patterns, once while it stays the same, and returns it.
func (s *several) found(err error, before string) string {
	switch {
	case err == nil && before != "":
		s.log.Info("all directories of --stacks are there again")
	case err != nil && err.Error() != before:
		s.log.Warn("not all directories of --stacks are there; what is there, or was, is looked after", "error", err)
	}
	if err == nil {
		return ""
	}
	return err.Error()
}

// reread has every remediator read its files again.
func (s *several) reread(hangup os.Signal) {
	for _, asks := range s.asks {
		select {
		case asks <- hangup:
		default:
		}
	}
}

// begin looks after a stack from now on, if nobody does yet.
func (s *several) begin(ctx context.Context, dir string) {
	if s.asks[dir] != nil {
		return
	}
	_ = s.claim(dir) // in order; what is wrong is said when it is begun with
	asks := make(chan os.Signal, 1)
	s.asks[dir] = asks
	s.jobs.Go(func() { s.lookAfter(ctx, dir, asks) })
}

// lookAfter keeps a remediator running, and begins again when it could not begin or has ended.
func (s *several) lookAfter(ctx context.Context, dir string, hangup chan os.Signal) {
	log := s.log.With("directory", dir)
	pause := backoff.NewExponentialBackOff(backoff.WithInitialInterval(startsOver), backoff.WithMaxInterval(startsLast), backoff.WithMaxElapsedTime(0))
	for ctx.Err() == nil {
		began := time.Now()
		err := s.remediate(ctx, dir, log, hangup)
		if ctx.Err() != nil {
			s.finish(dir, err)
			return
		}
		if time.Since(began) > startsLast {
			pause.Reset()
		}
		wait := pause.NextBackOff()
		err = errors.New(relativePaths(fmt.Sprint(err)))
		log.Error("the stack is not looked after; it is tried again", "error", err, "in", wait.Round(time.Second))
		left := s.left(dir, log)
		left.ended(err, wait)
		select {
		case <-ctx.Done():
		case <-hangup:
		case <-time.After(wait):
		}
		left.end()
	}
}

// left is the pulse of a stack that nobody looks after: under its project name where that is known and its own.
func (s *several) left(dir string, log *slog.Logger) *beater {
	s.herd.leave(dir)
	s.mu.Lock()
	defer s.mu.Unlock()
	name := filepath.Base(dir)
	for project, of := range s.dir {
		if of == dir {
			name = project
		}
	}
	return newBeater(s.app.common.eng.Host()+" "+dir, name, 0, log)
}

// finish keeps what a remediator that was told to end could not bring to an end, such as a job in flight.
func (s *several) finish(dir string, err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.after = append(s.after, fmt.Errorf("%s: %w", dir, err))
}

// remediate runs the remediator of a stack until ctx ends. Few are begun with at once: to read files and look for the first time
// takes more memory than all that follows.
func (s *several) remediate(ctx context.Context, dir string, log *slog.Logger, hangup <-chan os.Signal) error {
	room := s.app.common.starts
	select {
	case room <- struct{}{}:
	case <-ctx.Done():
		return nil
	}
	leave := sync.OnceFunc(func() { <-room })
	defer leave()
	if err := s.claim(dir); err != nil {
		return err
	}
	r, err := s.in(dir).remediate(ctx, log)
	if err != nil {
		return err
	}
	r.pulse = newBeater(r.eng.Host(), r.stack.Name, min(s.interval, controller.GlanceEvery), log)
	r.pulse.notify = s.herd.member(dir, r.pulse)
	defer s.herd.leave(dir)
	defer r.pulse.end()
	r.looked = leave
	return r.run(ctx, s.interval, hangup)
}

// in is the program in a project's directory.
func (s *several) in(dir string) *app {
	one := *s.app
	one.workingDir = dir
	return &one
}

// claim notes whose project the name in a directory's files is: two directories with one name would be one stack that is two
// things. The first in order has it, also while its files cannot be used.
func (s *several) claim(dir string) error {
	files, err := s.in(dir).read()
	if err != nil {
		return err
	}
	project := files.Name()
	s.mu.Lock()
	defer s.mu.Unlock()
	if other, taken := s.dir[project]; taken && other != dir {
		return fmt.Errorf("%s has the project name %q too; give one of them another one, with `name:` in its compose file or COMPOSE_PROJECT_NAME in its .env", other, project)
	}
	maps.DeleteFunc(s.dir, func(_, of string) bool { return of == dir })
	s.dir[project] = dir
	return nil
}
