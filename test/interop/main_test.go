// Package interop proves that Composure and docker compose share stacks, on a real engine and with the real docker
// compose of both generations: neither sees a difference in, or changes, what the other made.
package interop

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"composure/controller/engine"
	"composure/spec"
	"composure/test/corpus"
)

// prefix of everything these tests make on the engine.
const prefix = "cmpsr-interop-"

// generations of docker compose.
var generations = []string{"v2.40.3", "v5.6.0"}

var record = flag.Bool("record", false, "record what docker compose makes, for machines without it")

func TestMain(m *testing.M) {
	flag.Parse()
	// Most of the time is spent waiting for the engine: more stacks at a time than processors.
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("3")
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if err := corpus.Install(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if len(peers()) == 0 {
		return m.Run()
	}
	sweep()
	defer sweep()
	for _, args := range [][]string{{"network", "create", corpus.External}, {"volume", "create", corpus.External}} {
		if out, err := exec.Command("docker", args...).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "docker %s: %v: %s", strings.Join(args, " "), err, out)
			return 1
		}
	}
	return m.Run()
}

// sweep removes what an interrupted run left, and nothing without our prefix.
func sweep() {
	remove("name=^/"+prefix, "name=^"+prefix)
}

// remove removes the containers, then the networks and volumes, that the filters select.
func remove(containers, others string) {
	for _, kind := range []struct{ list, remove []string }{
		{[]string{"ps", "-aq", "--filter", containers}, []string{"rm", "-fv"}},
		{[]string{"network", "ls", "-q", "--filter", others}, []string{"network", "rm"}},
		{[]string{"volume", "ls", "-q", "--filter", others}, []string{"volume", "rm"}},
	} {
		out, err := exec.Command("docker", kind.list...).Output()
		if ids := strings.Fields(string(out)); err == nil && len(ids) > 0 {
			_ = exec.Command("docker", append(kind.remove, ids...)...).Run() // what stays is found by the next sweep
		}
	}
}

// peers are the docker compose binaries that hack/peers.sh has built: generation → path.
func peers() map[string]string {
	found := map[string]string{}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil
	}
	for _, generation := range generations {
		path := filepath.Join(cache, "composure", "bin", "docker-compose-"+generation)
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
			found[generation] = path
		}
	}
	return found
}

// stack is one corpus file under test.
type stack struct {
	t        *testing.T
	file     string
	name     string // of the project
	path     string // of the file
	override string // path of a second file, or empty
	env      []string
}

func newStack(t *testing.T, file string) *stack {
	t.Helper()
	home := t.TempDir() // no configuration of docker: neither proxies nor credentials
	env := append(slices.Clone(corpus.Environ), "PATH="+os.Getenv("PATH"), "HOME="+home, "DOCKER_HOST="+os.Getenv("DOCKER_HOST"))
	return &stack{t: t, file: file, name: prefix + file, path: corpus.File(file), env: env}
}

func (s *stack) project() string { return s.name }

// selection are the flags that select the stack, the same for docker compose and for Composure.
func (s *stack) selection() []string {
	flags := []string{"-p", s.project(), "-f", s.path}
	if s.override != "" {
		flags = append(flags, "-f", s.override)
	}
	return flags
}

// compose runs docker compose on the stack.
func (s *stack) compose(generation string, args ...string) {
	s.t.Helper()
	s.run(peers()[generation], append(s.selection(), args...)...)
}

// down removes the stack with its volumes. It asks the engine, since a container that restarts may fail `down`.
func (s *stack) down() {
	label := "label=" + spec.LabelProject + "=" + s.project()
	remove(label, label)
}

// run fails the test when the program fails.
func (s *stack) run(program string, args ...string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = s.env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("%s %s: %v\n%s%s", filepath.Base(program), strings.Join(args, " "), err, out.String(), errs.String())
	}
	return out.String()
}

// buildComposure returns the path of the program under test.
func buildComposure(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "composure")
	if out, err := exec.Command("go", "build", "-o", binary, "composure/cmd/composure").CombinedOutput(); err != nil {
		t.Fatalf("build composure: %v: %s", err, out)
	}
	return binary
}

// connect returns the engine under test.
func connect(t *testing.T) *engine.Engine {
	t.Helper()
	e, err := engine.Connect(t.Context(), engine.Options{ConfigDir: t.TempDir()})
	if err != nil {
		t.Fatalf("these tests need a Docker Engine (hack/engine.sh starts one): %v", err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}
