package drift

import (
	"encoding/json"
	goflag "flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"composure/test/fixture"
)

var update = goflag.Bool("update", false, "write what Compute says into testdata/compute")

// TestCompute runs the cases of testdata/compute. A case has:
//
//	compose.yaml    the file now
//	made.yaml       the file that the containers were made from; none: compose.yaml
//	applied.yaml    the file as last applied; none: nothing is recorded
//	patch.json      what was done to the deployed stack since: a JSON merge patch (RFC 7396) on the snapshot, with the
//	                containers by name; a container that is null is gone, one more is a copy of app-web-1 with changes
//	overrides.json  recorded divergences
//	paused.json     why services are left alone, "" for the stack
//	report          what Compute says
func TestCompute(t *testing.T) {
	fixture.Golden(t, "testdata/compute/*.txtar", "report", *update, compute)
}

// compute runs one case.
func compute(t *testing.T, archive *txtar.Archive) string {
	t.Helper()
	dir := t.TempDir()
	has := map[string][]byte{}
	for _, f := range archive.Files {
		has[f.Name] = f.Data
		name := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in := Input{Stack: fixture.Load(t, dir, "compose.yaml")}
	from := in.Stack
	if has["made.yaml"] != nil {
		from = fixture.Load(t, dir, "made.yaml")
	}
	if has["applied.yaml"] != nil {
		in.Applied = fixture.Load(t, dir, "applied.yaml")
	}
	in.Snapshot = fixture.Made(t, from)
	for _, svc := range in.Stack.Services { // the file's images are here, too
		id := fixture.ImageID(svc.Image)
		in.Snapshot.Refs[svc.Image], in.Snapshot.Images[id] = id, fixture.Image(svc.Image)
	}
	if patch := has["patch.json"]; patch != nil {
		in.Snapshot = fixture.Patched(t, in.Snapshot, strings.ReplaceAll(string(patch), "$DIR", dir))
	}
	if data := has["overrides.json"]; data != nil {
		if err := json.Unmarshal(data, &in.Overrides); err != nil {
			t.Fatal(err)
		}
	}
	if data := has["paused.json"]; data != nil {
		if err := json.Unmarshal(data, &in.Paused); err != nil {
			t.Fatal(err)
		}
	}
	return strings.ReplaceAll(describe(Compute(in)), dir, "$DIR")
}

// describe writes everything of a report, one drift in two lines.
func describe(r Report) string {
	var b strings.Builder
	for _, d := range r.Drifts {
		about := strings.TrimSpace(d.Service + " " + d.Container + d.Subject)
		fmt.Fprintf(&b, "%s: %s: %s → %s [%s, %s] line %d\n\t%s\n", about, d.Field, d.Desired, d.Observed, d.Remedy, d.Origin, d.Pos.Line, d.Cause)
		if d.Override != nil {
			fmt.Fprintf(&b, "\toverridden by %s: %s\n", d.Override.Owner, d.Override.Reason)
		}
	}
	for _, i := range r.Impact {
		fmt.Fprintf(&b, "impact %s: %s\n", i.Service, i.Remedy)
		if i.Held != "" {
			fmt.Fprintf(&b, "\theld: %s\n", i.Held)
		}
		for _, risk := range i.DataAtRisk {
			fmt.Fprintf(&b, "\t%s\n", risk)
		}
	}
	for _, g := range r.Gaps {
		fmt.Fprintf(&b, "gap %s: %s\n", g.Subject, g.Why)
	}
	return b.String()
}
