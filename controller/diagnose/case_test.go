package diagnose

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"composure/controller/drift"
	"composure/controller/observe"
	"composure/spec"
)

var update = flag.Bool("update", false, "write what came out into testdata")

// noon is now in every case.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// span is a duration, written as in a compose file.
type span time.Duration

func (s *span) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	*s = span(d)
	return err
}

func (s span) before(t time.Time) time.Time { return t.Add(-time.Duration(s)) }

// observed is one container in short. Times are how long before noon.
type observed struct {
	Service, Image, State, Error, Health, Policy string
	Number, Exit, Restarts, Streak               int
	Started, Finished, StartPeriod, Interval     span
	OOMKilled                                    bool
	Env, Test, Networks                          []string
	Checks                                       []check
	Memory                                       int64
	Lost                                         []observe.Process
}

// check is one entry of the health log; they lie an interval apart, the last one at noon.
type check struct {
	Exit   int
	Output string
	Took   span
}

// collected is evidence in short.
type collected struct {
	observe.Evidence
	Quiet  span // since the last line of the log
	OOMAgo span
	Age    span
}

// scene is a case's own part of an Input.
type scene struct {
	Ill        map[string]string
	Ask        map[string]bool
	Containers []observed
	Unread     map[string]string // service → why its container could not be read
	Missing    []string          // images that the engine does not have
	Arch       string            // of the images; empty: the engine's
	Drifts     []drift.Drift
	Probes     []observe.ProbeResult
	Evidence   map[string][]collected
	Samples    map[string]observe.Stats
	Began      map[string]span
	Deployed   map[string]span
	Stable     map[string]string
	Returned   map[string]span
	Undone     map[string]span
	Repaired   map[string]span
	Baseline   map[string]map[string]float64
	Measured   map[string]map[string]float64
	Broken     map[string]map[string]string
	Clusters   map[string]string
	Systems    map[string]string
	Gone       []string // keys of volumes that are not there any more
}

// TestCases runs the files of testdata: a compose file and what was observed in, the trees and findings out. The
// section "needs" is the first look at the same scene, without evidence.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			in := load(t, archive)
			got := map[string]string{"want": Render(Diagnose(in))}
			if f := MassFailure(in, Diagnose(in)); f != nil {
				got["want"] += fmt.Sprintf("\nmass failure: %s\n%s\n", f.Summary, strings.Join(f.Proof, "\n"))
			}
			first := in
			first.Evidence = nil
			got["needs"] = firstLook(Diagnose(first))
			compare(t, file, archive, got)
		})
	}
}

// firstLook tells what the first look asks for and what it knows already.
func firstLook(found []Diagnosis) string {
	var b strings.Builder
	for _, d := range found {
		fmt.Fprintf(&b, "%s: needs %v", d.Service, d.Needs)
		if d.Finding != nil {
			fmt.Fprintf(&b, ", already %s", d.Finding.Cause)
		}
		if d.MaskedBy != "" {
			fmt.Fprintf(&b, ", explained by %s", d.MaskedBy)
		}
		if d.Urgent {
			b.WriteString(", urgent")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func compare(t *testing.T, file string, archive *txtar.Archive, got map[string]string) {
	t.Helper()
	if *update {
		for name, text := range got {
			i := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == name })
			if i < 0 {
				archive.Files = append(archive.Files, txtar.File{Name: name})
				i = len(archive.Files) - 1
			}
			archive.Files[i].Data = []byte(text)
		}
		slices.SortStableFunc(archive.Files, func(a, b txtar.File) int { return order(a.Name) - order(b.Name) })
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for name, text := range got {
		if diff := cmp.Diff(section(archive, name), text); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func order(name string) int {
	return slices.Index([]string{"compose.yaml", "scene.json", "needs", "want"}, name)
}

func section(archive *txtar.Archive, name string) string {
	for _, f := range archive.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

// load builds the input of a case.
func load(t *testing.T, archive *txtar.Archive) Input {
	t.Helper()
	var s scene
	decoder := json.NewDecoder(bytes.NewReader([]byte(section(archive, "scene.json"))))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&s); err != nil {
		t.Fatalf("scene.json: %v", err)
	}
	return s.input(loadStack(t, section(archive, "compose.yaml")))
}

func loadStack(t testing.TB, compose string) *spec.Stack {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "compose.yaml")
	if err := os.WriteFile(file, []byte(compose), 0o644); err != nil {
		t.Fatal(err)
	}
	stack, err := spec.Load(t.Context(), spec.Options{Files: []string{file}, ProjectName: "app", WorkingDir: dir, Environ: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	return stack
}

func (s scene) input(stack *spec.Stack) Input {
	in := Input{
		Now: noon, Stack: stack, Ill: s.Ill, Ask: s.Ask, Drift: drift.Report{Drifts: s.Drifts}, Probes: s.Probes, Samples: s.Samples,
		Stable: s.Stable, Baseline: s.Baseline, Measured: s.Measured, Broken: s.Broken, Clusters: s.Clusters, Systems: s.Systems, Volumes: true,
		Began: times(s.Began), Deployed: times(s.Deployed), Returned: times(s.Returned), Undone: times(s.Undone), Repaired: times(s.Repaired), Evidence: map[string][]observe.Evidence{},
		Snapshot: &observe.Snapshot{
			At: noon, Engine: observe.Engine{Arch: "x86_64"}, Refs: map[string]string{}, Images: map[string]image.InspectResponse{},
			Networks: map[string]network.Inspect{}, Volumes: map[string]volume.Volume{},
		},
	}
	for _, v := range stack.Volumes {
		if !slices.Contains(s.Gone, v.Key) {
			in.Snapshot.Volumes[v.Name] = volume.Volume{Name: v.Name}
		}
	}
	for _, svc := range stack.Services {
		in.Snapshot.Refs[svc.Image] = "sha256:" + svc.Name
		in.Snapshot.Images["sha256:"+svc.Name] = image.InspectResponse{ID: "sha256:" + svc.Name, Architecture: either(s.Arch, "amd64")}
	}
	for _, ref := range s.Missing {
		in.Snapshot.Refs[ref] = ""
	}
	for _, service := range slices.Sorted(maps.Keys(s.Unread)) {
		in.Snapshot.Gaps = append(in.Snapshot.Gaps, observe.Gap{Subject: "container app-" + service + "-1", Service: service, Err: s.Unread[service]})
	}
	for _, c := range s.Containers {
		in.Snapshot.Containers = append(in.Snapshot.Containers, c.container(stack))
	}
	for i, r := range in.Probes {
		in.Probes[i].Container = either(r.Container, r.Service+"-1")
	}
	for service, all := range s.Evidence {
		for _, c := range all {
			in.Evidence[service] = append(in.Evidence[service], c.evidence(service))
		}
	}
	return in
}

func times(before map[string]span) map[string]time.Time {
	found := map[string]time.Time{}
	for key, s := range before {
		found[key] = s.before(noon)
	}
	return found
}

func (c collected) evidence(service string) observe.Evidence {
	e := c.Evidence
	e.Service, e.ID, e.At = service, either(e.ID, service+"-1"), c.Age.before(noon)
	if c.OOMAgo > 0 {
		e.OOM = c.OOMAgo.before(noon)
	}
	if c.Quiet > 0 {
		e.LastLog = c.Quiet.before(e.At)
	}
	for i, r := range e.Probes {
		e.Probes[i].Service, e.Probes[i].Container = service, either(r.Container, e.ID)
	}
	return e
}

// container makes what the engine would say.
func (c observed) container(stack *spec.Stack) observe.Container {
	number := max(c.Number, 1)
	id := fmt.Sprintf("%s-%d", c.Service, number)
	state := &container.State{
		Status: c.State, Running: c.State == "running" || c.State == "paused" || c.State == "restarting",
		Paused: c.State == "paused", Restarting: c.State == "restarting", OOMKilled: c.OOMKilled, ExitCode: c.Exit, Error: c.Error,
		StartedAt: c.Started.before(noon).Format(time.RFC3339Nano), FinishedAt: "0001-01-01T00:00:00Z",
	}
	if c.Finished > 0 {
		state.FinishedAt = c.Finished.before(noon).Format(time.RFC3339Nano)
	}
	config := &container.Config{Env: c.Env, Labels: map[string]string{}}
	if c.Health != "" {
		config.Healthcheck = &container.HealthConfig{Test: c.Test, StartPeriod: time.Duration(c.StartPeriod), Interval: time.Duration(c.Interval), Timeout: time.Second, Retries: 3}
		state.Health = &container.Health{Status: c.Health, FailingStreak: c.Streak}
		for i, check := range c.Checks {
			end := noon.Add(-time.Duration(len(c.Checks)-1-i) * time.Duration(c.Interval))
			state.Health.Log = append(state.Health.Log, &container.HealthcheckResult{Start: check.Took.before(end), End: end, ExitCode: check.Exit, Output: check.Output})
		}
	}
	settings := &container.NetworkSettings{Networks: map[string]*network.EndpointSettings{}}
	if c.Networks == nil {
		for _, key := range stack.Service(c.Service).NetworkKeys {
			c.Networks = append(c.Networks, "app_"+key)
		}
	}
	for _, name := range c.Networks {
		settings.Networks[name] = &network.EndpointSettings{}
	}
	host := &container.HostConfig{}
	host.Memory, host.RestartPolicy.Name = c.Memory, container.RestartPolicyMode(c.Policy)
	name := fmt.Sprintf("app-%s-%d", c.Service, number)
	return observe.Container{ID: id, Name: name, Service: c.Service, Number: number, Lost: c.Lost, Inspect: &container.InspectResponse{
		ContainerJSONBase: &container.ContainerJSONBase{ID: id, Name: "/" + name, State: state, Image: "sha256:" + c.Service, Created: state.StartedAt, RestartCount: c.Restarts, HostConfig: host},
		Config:            config, NetworkSettings: settings,
	}}
}
