package interop

import (
	"maps"
	"slices"
	"testing"

	"composure/controller/drift"
	"composure/controller/observe"
	"composure/spec"
	"composure/test/corpus"

	"github.com/docker/docker/api/types/versions"
)

// TestNoFalseDrift: what docker compose has just made has no drift, for every file and both generations. Where docker
// compose has not been built, recorded observations stand for it.
func TestNoFalseDrift(t *testing.T) {
	built := peers()
	records := &recorder{made: map[string][]recording{}}
	t.Run("corpus", func(t *testing.T) {
		for _, generation := range generations {
			if built[generation] == "" {
				againstRecorded(t, generation)
			}
		}
		if len(built) > 0 {
			againstEngine(t, built, records)
		}
	})
	if *record && !t.Failed() {
		records.write(t)
	}
}

// againstEngine has every generation that is there make every stack: the first creates it, the second recreates it.
func againstEngine(t *testing.T, built map[string]string, records *recorder) {
	t.Logf("docker compose %v on a real engine", slices.Sorted(maps.Keys(built)))
	e := connect(t)
	for _, file := range corpus.Names() {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			s := newStack(t, file)
			t.Cleanup(s.down)
			desired := load(t, s)
			for _, generation := range generations {
				if built[generation] == "" {
					continue
				}
				s.compose(generation, "up", startOrNot(file), "--pull", "never", "--force-recreate", "-t", "0")
				snapshot, err := observe.Collect(t.Context(), e, desired)
				if err != nil {
					t.Fatal(err)
				}
				if *record {
					records.add(t, generation, file, snapshot)
				}
				noDrift(t, generation, file, desired, snapshot)
			}
		})
	}
}

// againstRecorded compares with what was observed when docker compose made the stacks.
func againstRecorded(t *testing.T, generation string) {
	t.Logf("docker compose %s is not built (hack/peers.sh): recorded observations stand for it", generation)
	recorded := readRecordings(t, generation)
	for _, file := range corpus.Names() {
		t.Run(generation+"/"+file, func(t *testing.T) {
			snapshot := recorded[file]
			if snapshot == nil {
				t.Fatal("never recorded; run this test with -record where docker compose is built")
			}
			noDrift(t, generation, file, load(t, newStack(t, file)), snapshot)
		})
	}
}

func load(t *testing.T, s *stack) *spec.Stack {
	t.Helper()
	desired, err := spec.Load(t.Context(), spec.Options{
		Files: []string{s.path}, ProjectName: s.project(), Environ: corpus.Environ,
	})
	if err != nil {
		t.Fatal(err)
	}
	return desired
}

// noDrift accepts no drift but what docker compose itself leaves behind, and no gap but what the engine cannot do.
func noDrift(t *testing.T, generation, file string, desired *spec.Stack, snapshot *observe.Snapshot) {
	t.Helper()
	if len(snapshot.Containers) == 0 {
		t.Errorf("docker compose %s made no container", generation)
	}
	report := drift.Compute(drift.Input{Stack: desired, Snapshot: snapshot})
	for _, d := range report.Drifts {
		if !lost(generation, file, d, snapshot) && !(d.Field == drift.FieldState && slices.Contains(notStarted, file)) {
			t.Errorf("docker compose %s: %s %s: desired %s, observed %s (%s)", generation, d.Container+d.Subject, d.Field, d.Desired, d.Observed, d.Cause)
		}
	}
	for _, g := range report.Gaps {
		if !unable(desired, snapshot, g) {
			t.Errorf("docker compose %s: not compared: %s: %s", generation, g.Subject, g.Why)
		}
	}
}

// notStarted are files whose containers are created only: whether they start depends on the machine (capabilities of
// the engine itself, shared mounts).
var notStarted = []string{"bind-propagation-short", "privileged"}

func startOrNot(file string) string {
	if slices.Contains(notStarted, file) {
		return "--no-start"
	}
	return "-d"
}

// lost is true drift that a generation makes: below API 1.44, docker compose v5 gives no container its mac_address.
func lost(generation, file string, d drift.Drift, snapshot *observe.Snapshot) bool {
	return generation == "v5.6.0" && versions.LessThan(snapshot.Engine.APIVersion, "1.44") &&
		file == "mac-address" && d.Field == "mac_address"
}

// unable says that a gap is a key that the engine cannot honour, which the corpus has on purpose.
func unable(desired *spec.Stack, snapshot *observe.Snapshot, g drift.Gap) bool {
	for _, svc := range desired.Services {
		c, err := desired.Container(svc, 1, spec.Facts{APIVersion: snapshot.Engine.APIVersion})
		if err == nil && slices.ContainsFunc(c.Unable, func(u spec.Unable) bool { return u.Key == g.Subject && !u.Ignored }) {
			return true
		}
	}
	return false
}
