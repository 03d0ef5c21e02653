package driftlive

import (
	"bytes"
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"composure/controller/drift"
	"composure/controller/engine"
	"composure/controller/observe"
	"composure/spec"
)

// fixture is one stack on the real engine, made the way Composure makes one.
type fixture struct {
	t       *testing.T
	eng     *engine.Engine
	dir     string
	project string
	stack   *spec.Stack
	applied *spec.Stack // as drift.Input has it; nil: nothing is recorded
}

// newFixture loads the files (name → content; compose.yaml is the stack) and brings the stack up. Everything is
// removed when the test ends.
func newFixture(t *testing.T, project string, files map[string]string) *fixture {
	t.Helper()
	eng, err := engine.Connect(t.Context(), engine.Options{ConfigDir: t.TempDir()})
	if err != nil {
		t.Fatalf("this test needs a Docker engine (hack/engine.sh): %v", err)
	}
	t.Cleanup(func() { eng.Close() })
	f := &fixture{t: t, eng: eng, dir: t.TempDir(), project: "cmpsr-drift-" + project}
	f.sweep()
	t.Cleanup(f.sweep)
	f.write(files)
	f.stack = f.load()
	f.up()
	return f
}

func (f *fixture) write(files map[string]string) {
	f.t.Helper()
	for name, content := range files {
		path := filepath.Join(f.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			f.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			f.t.Fatal(err)
		}
	}
}

// load reads the compose file as it is now.
func (f *fixture) load() *spec.Stack {
	f.t.Helper()
	stack, err := spec.Load(f.t.Context(), spec.Options{
		Files: []string{filepath.Join(f.dir, "compose.yaml")}, ProjectName: f.project, Environ: []string{"DB_PASSWORD=hunter2hunter2"},
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return stack
}

// up creates what is missing, in the order of the file's dependencies as far as the fixtures need it: by name.
func (f *fixture) up() {
	f.t.Helper()
	snapshot := f.observe()
	for _, n := range f.stack.Networks {
		if _, there := snapshot.Networks[n.Name]; !there && !n.External {
			f.must(f.eng.CreateNetwork(f.t.Context(), n))
		}
	}
	for _, v := range f.stack.Volumes {
		if _, there := snapshot.Volumes[v.Name]; !there && !v.External {
			f.must(f.eng.CreateVolume(f.t.Context(), v))
		}
	}
	for _, svc := range f.stack.Services {
		for _, slot := range observe.Slots(svc, f.observe()) {
			if slot.Container == nil {
				c := f.desired(svc, slot)
				f.create(c.Name, c)
			}
		}
	}
}

func (f *fixture) desired(svc *spec.Service, slot observe.Slot) spec.Container {
	f.t.Helper()
	c, err := f.stack.Container(svc, slot.Number, observe.Facts(f.stack, svc, slot, f.observe()))
	f.must(err)
	return c
}

// create creates and starts a container and returns its id.
func (f *fixture) create(name string, c spec.Container) string {
	f.t.Helper()
	id, err := f.eng.CreateContainer(f.t.Context(), name, c)
	f.must(err)
	f.must(f.eng.Start(f.t.Context(), id))
	return id
}

func (f *fixture) observe() *observe.Snapshot {
	f.t.Helper()
	snapshot, err := observe.Collect(f.t.Context(), f.eng, f.stack)
	f.must(err)
	return snapshot
}

// report is what drift says now.
func (f *fixture) report() drift.Report {
	f.t.Helper()
	return drift.Compute(drift.Input{Stack: f.stack, Applied: f.applied, Snapshot: f.observe()})
}

// recreate replaces the container of a service by hand: another request, with every label that docker compose and
// Composure give.
func (f *fixture) recreate(service string, change func(*spec.Container)) {
	f.t.Helper()
	svc := f.stack.Service(service)
	slot := observe.Slots(svc, f.observe())[0]
	c := f.desired(svc, slot)
	config, host := *c.Config, *c.Host
	config.Labels = maps.Clone(c.Config.Labels)
	c.Config, c.Host = &config, &host
	change(&c)
	f.clear(service)
	f.create(c.Name, c)
}

// reset brings a service back to what the file says.
func (f *fixture) reset(service string) {
	f.t.Helper()
	f.clear(service)
	f.up()
}

// clear removes a service's containers.
func (f *fixture) clear(service string) {
	f.t.Helper()
	for _, c := range f.observe().Of(service) {
		f.must(f.eng.Remove(f.t.Context(), c.ID, true))
	}
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// docker runs the docker command line and returns what it prints.
func (f *fixture) docker(args ...string) string {
	f.t.Helper()
	out, err := docker(args...)
	if err != nil {
		f.t.Fatalf("docker %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(out)
}

func docker(args ...string) (string, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(context.Background(), "docker", args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// sweep removes everything of the fixture's project, whatever state a test left it in. Its names start with the
// project's, so nothing else is touched.
func (f *fixture) sweep() {
	remove := func(list, rm []string) {
		out, err := docker(list...)
		if err != nil {
			return
		}
		for _, name := range strings.Fields(out) {
			if strings.Contains(name, f.project) {
				docker(append(rm, name)...)
			}
		}
	}
	remove([]string{"ps", "-a", "--filter", "name=" + f.project, "--format", "{{.Names}}"}, []string{"rm", "-f", "-v"})
	remove([]string{"network", "ls", "--filter", "name=" + f.project, "--format", "{{.Name}}"}, []string{"network", "rm"})
	remove([]string{"volume", "ls", "--filter", "name=" + f.project, "--format", "{{.Name}}"}, []string{"volume", "rm"})
}

// lines renders drifts as "field: desired → observed [remedy, origin]".
func lines(drifts []drift.Drift) []string {
	var out []string
	for _, d := range drifts {
		out = append(out, d.Field+": "+d.Desired+" → "+d.Observed+" ["+string(d.Remedy)+", "+string(d.Origin)+"]")
	}
	return out
}
