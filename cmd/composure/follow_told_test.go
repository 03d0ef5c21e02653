package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"composure/spec"
)

// layout is a directory in which a test moves files about.
type layout struct {
	t   *testing.T
	dir string
}

func (l layout) path(name string) string { return filepath.Join(l.dir, name) }

func (l layout) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l layout) write(name, text string) {
	l.t.Helper()
	l.must(os.MkdirAll(filepath.Dir(l.path(name)), 0o700))
	l.must(os.WriteFile(l.path(name), []byte(text), 0o600))
}

// link makes a link, in the place of one that is there.
func (l layout) link(to, name string) {
	l.t.Helper()
	l.must(os.MkdirAll(filepath.Dir(l.path(name)), 0o700))
	l.must(os.Symlink(to, l.path(name)+".new"))
	l.must(os.Rename(l.path(name)+".new", l.path(name)))
}

// TestChangesAreTold: however a file comes to say something else, it is read again because the system tells, and again after
// the next change. Looking alone would not find it before the test is over, but for what is not there: that is looked for.
func TestChangesAreTold(t *testing.T) {
	for _, c := range []struct {
		name   string
		before func(l layout)
		change func(l layout, text string)
	}{
		{"written in place", func(l layout) { l.write("app/compose.yaml", "0") }, func(l layout, text string) {
			l.write("app/compose.yaml", text)
		}},
		{"another file renamed over it", func(l layout) { l.write("app/compose.yaml", "0") }, func(l layout, text string) {
			l.write("app/.compose.yaml.swp", text)
			l.must(os.Rename(l.path("app/.compose.yaml.swp"), l.path("app/compose.yaml")))
		}},
		{"a link to another file", func(l layout) { l.write("0.yaml", "0"); l.link("../0.yaml", "app/compose.yaml") }, func(l layout, text string) {
			l.write(text+".yaml", text)
			l.link("../"+text+".yaml", "app/compose.yaml")
		}},
		{"what a link leads to, written in place", func(l layout) { l.write("real/1.yaml", "0"); l.link("../real/1.yaml", "app/compose.yaml") }, func(l layout, text string) {
			l.write("real/1.yaml", text)
		}},
		{"a volume of Kubernetes", func(l layout) {
			l.write("app/..0/compose.yaml", "0")
			l.link("..0", "app/..data")
			l.link("..data/compose.yaml", "app/compose.yaml")
		}, func(l layout, text string) {
			l.write("app/.."+text+"/compose.yaml", text)
			l.link(".."+text, "app/..data")
		}},
		{"the directory is a link to another one", func(l layout) { l.write("releases/0/compose.yaml", "0"); l.link("releases/0", "app") }, func(l layout, text string) {
			l.write("releases/"+text+"/compose.yaml", text)
			l.link("releases/"+text, "app")
		}},
		{"the directory moved away, another one in its place", func(l layout) { l.write("app/compose.yaml", "0") }, func(l layout, text string) {
			l.write("new/compose.yaml", text)
			l.must(os.Rename(l.path("app"), l.path("old"+text)))
			l.must(os.Rename(l.path("new"), l.path("app")))
		}},
		{"the directory removed and made anew", func(l layout) { l.write("app/compose.yaml", "0") }, func(l layout, text string) {
			l.must(os.RemoveAll(l.path("app")))
			l.write("app/compose.yaml", text)
		}},
		{"not there at first, nor its directory", func(layout) {}, func(l layout, text string) { l.write("app/compose.yaml", text) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := layout{t, t.TempDir()}
			c.before(l)
			file := l.path("app/compose.yaml")
			said := make(chan string, 100)
			f := &follower{sources: []string{file}, seen: fingerprint([]string{file}), changes: changes, round: time.Hour, log: slog.New(slog.DiscardHandler),
				reload: func(context.Context) (*spec.Stack, error) {
					text, err := os.ReadFile(file)
					said <- string(text)
					return &spec.Stack{Name: "shop", Sources: []string{file}}, err
				}}
			runs(t, f)
			for _, text := range []string{"one", "two"} {
				c.change(l, text)
				for deadline := time.After(time.Minute); ; {
					select {
					case now := <-said:
						if now != text {
							continue
						}
					case <-deadline:
						t.Fatalf("that it says %q is not told", text)
					}
					break
				}
			}
		})
	}
}

// runs has a follower follow until the test ends, from when it listens on, and counts how often it begins to.
func runs(t *testing.T, f *follower) (times *atomic.Int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	listens, ended := make(chan struct{}), make(chan struct{})
	own := f.changes
	times = &atomic.Int64{}
	f.changes = func(ctx context.Context, files []string) (<-chan struct{}, error) {
		told, err := own(ctx, files)
		if times.Add(1) == 1 {
			close(listens)
		}
		return told, err
	}
	go func() { f.run(ctx, nil); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
	<-listens
	return times
}

// silence stands for a system that does not tell.
func silence(context.Context, []string) (<-chan struct{}, error) {
	return nil, errors.New("no watches are left")
}

// TestNewlyIncluded: a file that an edit has only just included is listened to as well.
func TestNewlyIncluded(t *testing.T) {
	l := layout{t, t.TempDir()}
	l.write("app/compose.yaml", "alone")
	l.write("other/more.yaml", "0")
	first, more := l.path("app/compose.yaml"), l.path("other/more.yaml")
	read := make(chan string, 100)
	f := &follower{sources: []string{first}, seen: fingerprint([]string{first}), changes: changes, round: time.Hour, log: slog.New(slog.DiscardHandler),
		reload: func(context.Context) (*spec.Stack, error) {
			text, err := os.ReadFile(more)
			read <- string(text)
			return &spec.Stack{Name: "shop", Sources: []string{first, more}}, err
		}}
	runs(t, f)
	l.write("app/compose.yaml", "includes another")
	<-read
	l.write("other/more.yaml", "one")
	for deadline := time.After(time.Minute); ; {
		select {
		case text := <-read:
			if text == "one" {
				return
			}
		case <-deadline:
			t.Fatal("a change of the included file is not told")
		}
	}
}

// TestNotTold: where the system does not tell, the files are looked at.
func TestNotTold(t *testing.T) {
	l := layout{t, t.TempDir()}
	l.write("compose.yaml", "0")
	file := l.path("compose.yaml")
	reads := make(chan struct{}, 100)
	f := &follower{sources: []string{file}, seen: fingerprint([]string{file}), changes: silence, round: time.Hour, log: slog.New(slog.DiscardHandler),
		reload: func(context.Context) (*spec.Stack, error) {
			reads <- struct{}{}
			return &spec.Stack{Sources: []string{file}}, nil
		}}
	runs(t, f)
	l.write("compose.yaml", "one")
	select {
	case <-reads:
	case <-time.After(time.Minute):
		t.Fatal("the change is not seen")
	}
}

// TestBusyDirectory: what happens to other files in the directories on the way wakes nobody up.
func TestBusyDirectory(t *testing.T) {
	l := layout{t, t.TempDir()}
	l.write("app/compose.yaml", "0")
	file := l.path("app/compose.yaml")
	read := make(chan struct{}, 100)
	f := &follower{sources: []string{file}, seen: fingerprint([]string{file}), changes: changes, round: time.Hour, log: slog.New(slog.DiscardHandler),
		reload: func(context.Context) (*spec.Stack, error) {
			read <- struct{}{}
			return &spec.Stack{Sources: []string{file}}, nil
		}}
	times := runs(t, f)
	for _, name := range []string{"app/log", "neighbour/log", "log"} {
		for range 100 {
			l.write(name, "another line")
			l.must(os.Chmod(l.path(name), 0o640))
		}
		l.must(os.Remove(l.path(name)))
	}
	l.write("new", "one")
	l.must(os.Rename(l.path("new"), file))
	<-read
	if n := times.Load(); n > 2 { // at the start, and after the one change
		t.Errorf("listened %d times", n)
	}
}

// TestLinksInACircle: what leads nowhere is told to be so.
func TestLinksInACircle(t *testing.T) {
	l := layout{t, t.TempDir()}
	l.link("b", "a")
	l.link("a", "b")
	l.link("missing/compose.yaml", "c")
	for _, name := range []string{"a/compose.yaml", "c", "none"} {
		if _, err := changes(t.Context(), []string{l.path(name)}); err == nil {
			t.Errorf("%s is listened to", name)
		}
	}
}
