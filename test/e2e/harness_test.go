// Package e2e drives the built binary on a real engine, as people and scripts do: by its flags, its exit status and its
// output, and by what the engine says afterwards.
package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"composure/test/proxy"
	"composure/test/rig"
)

// prefix of everything these tests make on the engine.
const prefix = "cmpsr-e2e-"

// binary is the program under test, built once.
var binary string

// lists are what the program says it needs of the engine. Whatever these tests run is behind proxies that allow no more.
var lists *proxy.Lists

// image is the container image that the program runs from, with the engine's socket mounted; empty: it runs on this host.
var image = os.Getenv("COMPOSURE_TEST_IMAGE")

func TestMain(m *testing.M) {
	flag.Parse()
	// Most of the time is spent waiting for the engine: more stacks at a time than processors.
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("3")
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "composure-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "composure")
	build := exec.Command("go", "build", "-o", binary, "composure/cmd/composure")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // static, as it is shipped
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build composure: %v: %s", err, out)
		return 1
	}
	if out, err := docker("version"); err != nil {
		fmt.Fprintf(os.Stderr, "these tests need a Docker Engine (hack/engine.sh starts one): %v: %s", err, out)
		return 1
	}
	if lists, err = proxy.ReadLists(binary); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// docker runs the docker command line and returns what it prints.
func docker(args ...string) (string, error) {
	out, err := exec.Command("docker", args...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// sweep removes everything of a project. Containers go by their label too: one that a test has renamed is still the
// project's.
func sweep(name string) {
	remove := func(list []string, rm ...string) {
		out, err := docker(list...)
		if ids := strings.Fields(out); err == nil && len(ids) > 0 {
			_, _ = docker(append(rm, ids...)...)
		}
	}
	own := name + "[-_]" // not the projects whose names begin with this one's
	remove([]string{"ps", "-aq", "--filter", "label=com.docker.compose.project=" + name}, "rm", "-fv")
	remove([]string{"ps", "-aq", "--filter", "name=^/" + own}, "rm", "-fv")
	remove([]string{"network", "ls", "-q", "--filter", "name=^" + own}, "network", "rm")
	remove([]string{"volume", "ls", "-q", "--filter", "name=^" + own}, "volume", "rm")
}

// project is one compose project of a test, with a state directory and an environment of its own.
type project struct {
	t     *testing.T
	name  string
	dir   string
	state string
	env   []string
	flags []string // global ones, before -p
	fence *proxy.Fence
}

// newProject writes the files (name → content; compose.yaml is the stack). The project is removed with its volumes when
// the test ends, however it ends.
func newProject(t *testing.T, name string, files map[string]string) *project {
	t.Helper()
	p := &project{t: t, name: prefix + name, dir: t.TempDir(), state: t.TempDir()}
	p.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "RUNTIME_DIRECTORY=" + p.state, "DOCKER_HOST=" + os.Getenv("DOCKER_HOST")}
	p.fence = lists.Fence(t, proxy.System)
	sweep(p.name) // what a run left that was killed
	t.Cleanup(func() { sweep(p.name) })
	p.write(files)
	return p
}

// short makes containers count as started at once, so that tests need not wait.
const short = "x-composure: {min_healthy: 100ms}\n"

// newStack is newProject with one compose file whose services are as given. Its default network has a small subnet of
// its own: the engine's pool has only about thirty, for all that runs at the same time.
func newStack(t *testing.T, name, text string) *project {
	t.Helper()
	return newProject(t, name, map[string]string{"compose.yaml": short + text, "compose.override.yaml": "networks: {default: " + subnet() + "}\n"})
}

// subnet is the definition of a network with addresses of its own, in flow style.
func subnet() string { return "{ipam: {config: [{subnet: " + addresses() + "}]}}" }

var subnets atomic.Int32

// addresses is a subnet that no other test uses: those of the compose files in test/corpus are in 10.213.
func addresses() string {
	n := subnets.Add(1)
	return fmt.Sprintf("10.%d.%d.%d/28", 140+os.Getpid()%55, n/16, n%16*16)
}

func (p *project) write(files map[string]string) {
	p.t.Helper()
	for name, content := range files {
		path := filepath.Join(p.dir, name)
		p.must(os.MkdirAll(filepath.Dir(path), 0o755))
		p.must(os.WriteFile(path, []byte(content), 0o644))
	}
}

// edit replaces text in compose.yaml.
func (p *project) edit(old, new string) {
	p.t.Helper()
	path := filepath.Join(p.dir, "compose.yaml")
	text, err := os.ReadFile(path)
	p.must(err)
	if !strings.Contains(string(text), old) {
		p.t.Fatalf("compose.yaml has no %q", old)
	}
	p.must(os.WriteFile(path, []byte(strings.Replace(string(text), old, new, 1)), 0o644))
}

func (p *project) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// container is the name of a service's container.
func (p *project) container(service string) string { return p.name + "-" + service + "-1" }

// docker runs the docker command line and fails the test when it fails.
func (p *project) docker(args ...string) string {
	p.t.Helper()
	out, err := docker(args...)
	if err != nil {
		p.t.Fatalf("docker %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

// inspect reads a container by name or id.
func (p *project) inspect(name string) container.InspectResponse {
	p.t.Helper()
	var found []container.InspectResponse
	p.must(json.Unmarshal([]byte(p.docker("container", "inspect", name)), &found))
	return found[0]
}

// id is the id of a service's container.
func (p *project) id(service string) string {
	p.t.Helper()
	return p.inspect(p.container(service)).ID
}

// names are the names of the project's containers, sorted, without the project's own.
func (p *project) names() []string {
	p.t.Helper()
	names := strings.Fields(p.docker("ps", "-a", "--filter", "label=com.docker.compose.project="+p.name, "--format", "{{.Names}}"))
	for i := range names {
		names[i] = strings.TrimPrefix(names[i], p.name+"-")
	}
	slices.Sort(names)
	return names
}

// has wants exactly these containers, such as "web-1".
func (p *project) has(names ...string) {
	p.t.Helper()
	slices.Sort(names)
	if got := p.names(); !slices.Equal(got, names) {
		p.t.Errorf("containers %v, expected %v", got, names)
	}
}

// ps is what a person would look at first.
func (p *project) ps() string {
	out, _ := docker("ps", "-a", "--filter", "label=com.docker.compose.project="+p.name, "--format", "{{.Names}} {{.Image}} {{.Status}}")
	return out
}

// ids are the ids of all the project's containers, sorted.
func (p *project) ids() []string {
	p.t.Helper()
	ids := strings.Fields(p.docker("ps", "-aq", "--no-trunc", "--filter", "label=com.docker.compose.project="+p.name))
	slices.Sort(ids)
	return ids
}

// picture is everything the engine says of the project, but for what moves by itself.
func (p *project) picture() string {
	p.t.Helper()
	var text strings.Builder
	for _, id := range p.ids() {
		c := p.inspect(id)
		c.State.Health, c.ExecIDs = nil, nil // healthchecks go on
		data, err := json.Marshal(c)
		p.must(err)
		text.Write(data)
	}
	for _, kind := range []string{"network", "volume"} {
		text.WriteString(p.docker(kind, "ls", "--filter", "name=^"+p.name, "--format", "{{.Name}}"))
	}
	return text.String()
}

// until waits for a condition.
func (p *project) until(what string, reached func() bool) {
	p.t.Helper()
	deadline := time.Now().Add(rig.Patience)
	for !reached() {
		if time.Now().After(deadline) {
			p.t.Fatalf("%s passed without: %s\n%s", rig.Patience, what, p.ps())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// untilHealthy waits for a container's healthcheck.
func (p *project) untilHealth(name, status string) {
	p.t.Helper()
	p.until(name+" is "+status, func() bool {
		h := p.inspect(name).State.Health
		return h != nil && h.Status == status
	})
}

// sameAfterCompose runs docker compose, where it is built, and wants no container touched.
func (p *project) sameAfterCompose() {
	p.t.Helper()
	peer := built(p.t, "v5.6.0")
	if peer == "" {
		return
	}
	before := p.ids()
	p.compose(peer, "up", "-d", "--pull", "never", "-t", "0")
	if after := p.ids(); !slices.Equal(before, after) {
		p.t.Errorf("docker compose up recreated: before %v, after %v", before, after)
	}
}

// sub runs a subtest that works on the project.
func (p *project) sub(name string, test func()) {
	outer := p.t
	outer.Run(name, func(t *testing.T) {
		p.t = t
		defer func() { p.t = outer }()
		test()
	})
}

// rename puts a file in the place of another, as editors and configuration management do.
func rename(t *testing.T, dir, from, to string) {
	t.Helper()
	if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
		t.Fatal(err)
	}
}
