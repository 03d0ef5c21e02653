package plan_test

import (
	"encoding/json"
	goflag "flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"composure/controller/drift"
	"composure/controller/plan"
	"composure/controller/verify"
	"composure/test/fixture"
)

var update = goflag.Bool("update", false, "write what Compute says into testdata/plan")

// situation is situation.json: what the plan knows beside the stack and the snapshot.
type situation struct {
	Heal      bool // continuous mode; else the deployment verb
	OnRecord  bool // compose.yaml is on record as applied: what differs from it was done since
	Prune     bool
	TakeOver  bool
	Tries     int
	Services  []string
	Busy      map[string]string
	History   []attempt
	Ill       map[string]plan.Illness
	Sick      []string // names of containers; absent: all of an ill service
	Stable    map[string]plan.Stable
	Paused    map[string]string
	Pinned    map[string]string
	Commits   map[string]string
	Brake     string
	Asked     map[string]plan.Asked
	Raised    map[string]string // how long ago
	Returned  map[string]string // how long ago
	Written   map[string]int64  // by the container's name
	Restoring bool
	Patient   bool
	After     string // how long after the start of the containers the plan is made; one hour when empty
}

// attempt is a plan.Attempt with its age instead of its time.
type attempt struct {
	plan.Attempt
	Ago string
}

// TestCompute runs the cases of testdata/plan. A case has compose.yaml, made.yaml (the file that the containers were
// made from; none: compose.yaml; empty: nothing exists), patch.json (what was done since), situation.json, and plan:
// what Compute says, as people read it.
func TestCompute(t *testing.T) {
	fixture.Golden(t, "testdata/plan/*.txtar", "plan", *update, compute)
}

// TestHolder: each new name is planned with whoever was seen to have it.
func TestHolder(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/plan/edited.txtar")
	if err != nil {
		t.Fatal(err)
	}
	in := input(t, t.TempDir(), archive)
	var got [][2]string
	for _, j := range plan.Compute(in).Jobs {
		for _, s := range j.Steps {
			switch s.Op {
			case plan.Create, plan.Rename:
				got = append(got, [2]string{s.String(), s.Holder})
			}
		}
	}
	old := in.Snapshot.Containers[0]
	want := [][2]string{
		{"create app-web-1.9e271789 (with the volumes of app-web-1)", ""},
		{"rename app-web-1 to app-web-1.old-591757e1063f", ""},
		{"rename app-web-1.9e271789 to app-web-1", old.ID},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestDroppedForLong: people are called when a try is dropped again and again for minutes, and not at once.
func TestDroppedForLong(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/plan/ladder-stale.txtar")
	if err != nil {
		t.Fatal(err)
	}
	in := input(t, t.TempDir(), archive)
	for n := len(in.History); n < 12; n++ {
		last := in.History[n-1]
		last.At = in.Now.Add(-time.Duration(12-n) * time.Millisecond)
		in.History = append(in.History, last)
		held := plan.Compute(in).Held
		if len(held) != 1 || held[0].Exhausted != (n+1 >= 9) || held[0].Until.Before(in.Now) {
			t.Errorf("dropped %d times: %+v", n+1, held)
		}
	}
}

// compute runs one case, twice: the same input gives the same plan.
func compute(t *testing.T, archive *txtar.Archive) string {
	t.Helper()
	dir := t.TempDir()
	in := input(t, dir, archive)
	text := plan.Compute(in).String()
	if again := plan.Compute(in).String(); again != text {
		t.Errorf("the same input gave another plan:\n%s", cmp.Diff(text, again))
	}
	return strings.ReplaceAll(text, dir, "$DIR")
}

func input(t *testing.T, dir string, archive *txtar.Archive) plan.Input {
	t.Helper()
	has := map[string]string{}
	for _, f := range archive.Files {
		has[f.Name] = string(f.Data)
		if err := os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stack := fixture.Load(t, dir, "compose.yaml")
	from := stack
	if strings.TrimSpace(has["made.yaml"]) != "" {
		from = fixture.Load(t, dir, "made.yaml")
	}
	snapshot := fixture.Made(t, from)
	if made, given := has["made.yaml"]; given && strings.TrimSpace(made) == "" {
		snapshot.Containers, snapshot.Networks, snapshot.Volumes = nil, nil, nil
	}
	for _, svc := range stack.Services {
		id := fixture.ImageID(svc.Image)
		snapshot.Refs[svc.Image], snapshot.Images[id] = id, fixture.Image(svc.Image)
	}
	var s situation
	if text := has["situation.json"]; text != "" {
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatal("situation.json: ", err)
		}
	}
	applied := stack
	if !s.OnRecord {
		applied = nil
	}
	if s.After != "" {
		snapshot.At = fixture.Started.Add(duration(t, s.After))
	}
	if patch := has["patch.json"]; patch != "" {
		snapshot = fixture.Patched(t, snapshot, strings.ReplaceAll(patch, "$DIR", dir))
	}
	in := plan.Input{
		Now: snapshot.At, Stack: stack, Snapshot: snapshot, Judge: verify.All(stack, snapshot), Busy: s.Busy, Deploy: !s.Heal, Prune: s.Prune,
		TakeOver: s.TakeOver, Tries: max(s.Tries, 1), Ill: s.Ill, Stable: s.Stable, Paused: s.Paused, Pinned: s.Pinned, Commits: s.Commits, Brake: s.Brake, Restoring: s.Restoring, Patient: s.Patient, Asked: s.Asked,
		Drift: drift.Compute(drift.Input{Stack: stack, Applied: applied, Snapshot: snapshot}),
	}
	in.Written = map[string]int64{}
	if s.Sick != nil {
		in.Sick = map[string]bool{}
	}
	for _, c := range snapshot.Containers {
		if slices.Contains(s.Sick, c.Name) {
			in.Sick[c.ID] = true
		}
		in.Written[c.ID] = s.Written[c.Name]
	}
	in.Returned = map[string]time.Time{}
	for service, ago := range s.Returned {
		in.Returned[service] = in.Now.Add(-duration(t, ago))
	}
	in.Raised = map[string]time.Time{}
	for service, ago := range s.Raised {
		in.Raised[service] = in.Now.Add(-duration(t, ago))
	}
	if s.Services != nil {
		in.Services = map[string]bool{}
		for _, name := range s.Services {
			in.Services[name] = true
		}
	}
	for _, a := range s.History {
		a.Attempt.At = in.Now.Add(-duration(t, a.Ago))
		in.History = append(in.History, a.Attempt)
	}
	return in
}

func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
