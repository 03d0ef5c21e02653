package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"

	"composure/controller/observe"
	"composure/test/simengine"
)

// oneService is a stack of which nothing needs to be there.
const oneService = "services: {web: {image: x}}\n"

// flock is a process that looks after the stacks of several directories, in a bubble of virtual time.
type flock struct {
	*several
	t     *testing.T
	root  string // of the project directories
	said  *journal
	end   func() error // ends the process in good order
	pulse string       // where it tells how it is
}

// severally runs a test on the stacks of compose files, by their directory, on an engine that is reached by dial. They are found
// by patterns.
func severally(t *testing.T, dial observe.DialFunc, files map[string]string, patterns []string, test func(f *flock)) {
	oneThread(t)
	dir := inMemory(t)
	f := &flock{root: filepath.Join(dir, "stacks"), pulse: filepath.Join(dir, "run"), said: &journal{}}
	t.Setenv("RUNTIME_DIRECTORY", f.pulse)
	synctest.Test(t, func(inner *testing.T) {
		f.t = inner
		ctx, cancel := context.WithCancel(inner.Context())
		defer cancel()
		for name, text := range files {
			f.write(name, text)
		}
		time.Sleep(time.Second)
		a := app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard, stateDir: filepath.Join(dir, "state"), host: "unix:///simulated"}
		a.outside = outside{engine: dial, stirs: silent}
		var whole []string
		for _, pattern := range patterns {
			whole = append(whole, filepath.Join(f.root, pattern))
		}
		dirs, err := stackDirs(whole)
		if err != nil {
			inner.Fatal(err)
		}
		if a.common, err = a.share(ctx, slog.New(f.said)); err != nil {
			inner.Fatal(err)
		}
		f.several = newSeveral(&a, whole, time.Minute, slog.New(f.said))
		ended := make(chan error, 1)
		go func() { ended <- f.run(ctx, dirs, nil) }()
		f.end = func() error { cancel(); return <-ended }
		test(f)
		if err := f.end(); err != nil {
			inner.Errorf("it ended with %v", err)
		}
		if err := a.common.close(); err != nil {
			inner.Error(err)
		}
		if t.Failed() || inner.Failed() {
			inner.Logf("log:\n%s", f.said)
		}
	})
}

// write writes the compose file of a stack.
func (f *flock) write(name, text string) {
	f.t.Helper()
	file := filepath.Join(f.root, name, "compose.yaml")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
	written(f.t, file)
}

// well is how many stacks `composure health` finds looked after.
func (f *flock) well() (n int) {
	f.t.Helper()
	found, err := readPulses(f.pulse, "")
	if err != nil {
		f.t.Fatal(err)
	}
	for _, p := range found {
		if p.alive(time.Now()) && p.Ended == "" {
			n++
		}
	}
	return n
}

// hangs is an engine that takes connections and never answers.
func hangs(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go func() { _, _ = io.Copy(io.Discard, theirs) }()
	return ours, nil
}

// TestVirtualSeveralHang: an engine that hangs makes no stack wait for the others, however many there are: each looks in time, in
// vain, and the process ends when it is told to.
func TestVirtualSeveralHang(t *testing.T) {
	for _, n := range []int{1, 16} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			files := map[string]string{}
			for i := range n {
				files[fmt.Sprintf("s%02d", i)] = oneService
			}
			severally(t, hangs, files, []string{"*"}, func(f *flock) {
				time.Sleep(time.Minute)
				for range 40 {
					time.Sleep(15 * time.Second)
					if well := f.well(); well != n {
						f.t.Errorf("%d of %d stacks are looked after at %s", well, n, time.Now().Format(time.TimeOnly))
						break
					}
				}
				told := time.Now()
				if err := f.end(); err != nil || time.Since(told) > time.Second {
					f.t.Errorf("it took %s to end: %v", time.Since(told), err)
				}
				f.end = func() error { return nil }
			})
		})
	}
}

// TestVirtualSeveralGone: a directory that was named and is gone is said once, is looked after as it was, and does not keep those
// that come later from being found.
func TestVirtualSeveralGone(t *testing.T) {
	files := map[string]string{"extra/blog": oneService, "srv/shop": oneService}
	severally(t, hangs, files, []string{"extra/blog", "srv/*"}, func(f *flock) {
		time.Sleep(2 * time.Minute)
		if err := os.RemoveAll(filepath.Join(f.root, "extra")); err != nil {
			f.t.Fatal(err)
		}
		f.write("srv/later", oneService)
		time.Sleep(5 * time.Minute)
		if well, said := f.well(), f.said.count("there is no such directory"); well != 3 || said != 1 {
			f.t.Errorf("%d stacks are looked after, and what is wrong was said %d times", well, said)
		}
		f.write("extra/blog", oneService)
		time.Sleep(2 * time.Minute)
		if f.said.count("all directories of --stacks are there again") != 1 {
			f.t.Error("that it is there again was not said")
		}
	})
}

// TestVirtualSeveralAbandons: what a stack has in flight, and cannot be ended in time, is said when the process ends, as that of one
// stack is.
func TestVirtualSeveralAbandons(t *testing.T) {
	var sim *simengine.Engine
	leave := func() {}
	serve := sync.OnceFunc(func() {
		var ctx context.Context
		ctx, leave = context.WithCancel(context.Background())
		sim = simengine.New()
		sim.Image("sim/web:1", dockerspec.DockerOCIImageConfig{})
		sim.Fault(simengine.Fault{Path: regexp.MustCompile("/start$"), Kind: simengine.Hang})
		sim.Serve(ctx)
	})
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		serve()
		return sim.Dial(ctx, network, address)
	}
	files := map[string]string{"shop": "services: {web: {image: 'sim/web:1'}}\n", "blog": "services: {}\n"}
	severally(t, dial, files, []string{"*"}, func(f *flock) {
		time.Sleep(10 * time.Second)
		err := f.end()
		if err == nil || !strings.Contains(err.Error(), "shop: abandoned 1 jobs in flight") || strings.Contains(err.Error(), "blog") {
			f.t.Errorf("it ended with %v", err)
		}
		f.end = func() error { return nil }
		leave()
		synctest.Wait()
	})
}

// TestStackDirs: what is wrong with one pattern is an error, beside which all is found that the others name.
func TestStackDirs(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"a", "b", "empty"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if dir == "empty" {
			continue
		}
		if err := os.WriteFile(filepath.Join(root, dir, "compose.yaml"), []byte(oneService), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	gone, all := filepath.Join(root, "gone"), filepath.Join(root, "*")
	for _, c := range []struct {
		patterns []string
		found    int
		says     string
	}{
		{[]string{all, filepath.Join(root, "a")}, 2, ""},
		{[]string{gone, all}, 2, "gone: there is no such directory"},
		{[]string{"[" + root, filepath.Join(root, "empty"), gone}, 1, "syntax error"},
		{[]string{filepath.Join(root, "e*")}, 0, "no directory with a compose file"},
	} {
		dirs, err := stackDirs(c.patterns)
		if len(dirs) != c.found || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %q, %v; expected %d and %q", c.patterns, dirs, err, c.found, c.says)
		}
	}
}

// TestBeginLeavesNothing: a stack that cannot be begun with, such as for a channel that cannot be used, is tried again for weeks:
// no try leaves its copy of the store behind.
func TestBeginLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "compose.yaml")
	if err := os.WriteFile(file, []byte("x-composure: {notify: [{type: url, url: 'nonsense://x'}]}\n"+oneService), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &app{files: []string{file}, stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard, stateDir: filepath.Join(dir, "state"), host: "unix:///simulated"}
	a.outside = outside{stirs: silent, engine: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("away") }}
	try := func() {
		if _, err := a.remediate(t.Context(), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "notify") {
			t.Fatalf("it was begun with: %v", err)
		}
	}
	try()
	before := runtime.NumGoroutine()
	for range 20 {
		try()
	}
	left := func() int { return runtime.NumGoroutine() - before }
	for deadline := time.Now().Add(10 * time.Second); left() > 5 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond) // what was closed ends a moment later
	}
	if left() > 5 {
		t.Errorf("20 tries left %d goroutines behind", left())
	}
}

// TestVirtualSeveralLeft: a stack that cannot be begun with is no stack that is well: `composure health` says so as long as it
// lasts, while the others are looked after.
func TestVirtualSeveralLeft(t *testing.T) {
	files := map[string]string{"blog": "services: {web: {imag: x}}\n", "shop": oneService}
	severally(t, hangs, files, []string{"*"}, func(f *flock) {
		health := func() (int, string) {
			var out strings.Builder
			a := &app{stdout: &out}
			return exitStatus(a.health("text", time.Now()), io.Discard), out.String()
		}
		time.Sleep(time.Minute + 7*time.Second) // in the middle of a pause between two tries
		if code, said := health(); code != exitFinding || !strings.Contains(said, "blog: nobody looks after it") || !strings.Contains(said, "imag") || f.well() != 1 {
			f.t.Errorf("a stack that is not looked after: exit status %d, %s", code, said)
		}
		f.write("blog", oneService)
		time.Sleep(6 * time.Minute)
		if code, said := health(); code != 0 || f.well() != 2 {
			f.t.Errorf("once its file is right: exit status %d, %s", code, said)
		}
	})
}
