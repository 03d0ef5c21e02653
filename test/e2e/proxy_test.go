package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/tools/txtar"

	"composure/test/proxy"
)

// TestGap: what cannot be read is unknown. Drift says so and exits 2; nothing is done to that container, and all that is
// right to the others.
func TestGap(t *testing.T) {
	t.Parallel()
	p := newStack(t, "gap", web+"  other:\n    image: composure-test/busybox:1\n    command: [sleep, '1000']\n    restart: always\n    stop_signal: SIGKILL\n")
	p.converge()
	engine := proxy.New(t, p.fence.For("reconcile").Dial)
	p.flags = []string{"-H", engine.Host}
	p.clean()
	dark := p.id("web")
	engine.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		refused := r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/containers/"+dark+"/json")
		if refused {
			http.Error(w, `{"message":"layer does not exist"}`, http.StatusInternalServerError)
		}
		return refused
	})
	p.docker("stop", p.container("web"), p.container("other"))

	r := p.wants(2, []string{"drift", "-o", "json"}, p.container("web"), `"complete": false`)
	if !strings.Contains(r.stdout, "layer does not exist") {
		t.Errorf("the reason is missing: %s", r)
	}
	p.wants(1, once(), "web 1: ", "could not be read")
	if p.inspect(dark).State.Running {
		t.Error("a container that could not be read was acted on")
	}
	if !p.inspect(p.container("other")).State.Running {
		t.Error("the other container was not started")
	}
	p.has("other-1", "web-1")
	engine.Intercept(nil)
	p.converge()
	if p.id("web") != dark {
		t.Error("the container was recreated")
	}
}

// TestNoHEAD: a proxy before the engine that refuses HEAD, as some do, is asked another way.
func TestNoHEAD(t *testing.T) {
	t.Parallel()
	p := newStack(t, "no-head", web)
	p.converge()
	engine := proxy.New(t, p.fence.For("drift").Dial)
	engine.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		refused := r.Method == http.MethodHead
		if refused {
			http.Error(w, "", http.StatusMethodNotAllowed)
		}
		return refused
	})
	p.flags = []string{"-H", engine.Host}
	p.clean()
}

// TestBadInput: malformed files are errors with their place, exit 2; the engine is at most read, and nothing is written.
func TestBadInput(t *testing.T) {
	t.Parallel()
	archives, err := filepath.Glob("../../spec/testdata/bad/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no bad files: %v", err)
	}
	engine := proxy.New(t, proxy.System)
	var changes atomic.Int32 // the engine is looked at while the files are loaded
	engine.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			changes.Add(1)
		}
		return false
	})
	for _, path := range archives {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range cases(archive) {
			if i%3 != 0 {
				continue
			}
			t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar")+"/"+name, func(t *testing.T) { badInput(t, engine, archive, name) })
		}
	}
	if n := changes.Load(); n != 0 {
		t.Errorf("the engine was asked for %d changes", n)
	}
}

func badInput(t *testing.T, engine *proxy.Proxy, archive *txtar.Archive, name string) {
	files := map[string]string{}
	for _, f := range archive.Files {
		if rest, ok := strings.CutPrefix(f.Name, name+"/"); ok {
			files[rest] = string(f.Data)
		}
	}
	want := files["want"]
	delete(files, "want")
	p := &project{t: t, dir: t.TempDir(), state: filepath.Join(t.TempDir(), "state"), fence: lists.Fence(t, engine.Dial)}
	p.env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, strings.Fields(files["env"])...)
	p.write(files)
	for _, verb := range [][]string{{"drift"}, once()} {
		cmd := p.command(append(strings.Fields(files["args"]), verb...)...)
		named := slices.Index(cmd.Args, "-p")
		cmd.Args = slices.Delete(cmd.Args, named, named+2) // the file's name is part of what is tested
		cmd.Stdin = strings.NewReader(files["stdin"])
		r := p.finish(cmd)
		got := strings.NewReplacer(p.dir+"/", "", p.dir, ".").Replace(r.stderr)
		if r.code != 2 || !strings.HasSuffix(got, want) || r.stdout != "" {
			t.Errorf("exit %d, stderr %q, stdout %q; expected 2 and %q", r.code, got, r.stdout, want)
		}
	}
	if _, err := os.Stat(p.state); err == nil {
		t.Error("state was written")
	}
}

// cases are the first folders of an archive, in order.
func cases(archive *txtar.Archive) []string {
	var names []string
	for _, f := range archive.Files {
		if name, _, ok := strings.Cut(f.Name, "/"); ok && (len(names) == 0 || names[len(names)-1] != name) {
			names = append(names, name)
		}
	}
	return names
}
