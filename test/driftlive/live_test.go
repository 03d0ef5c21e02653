// Package driftlive changes real containers on a real engine and asserts what drift says about it.
package driftlive

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"composure/test/mutation"
)

const rich = mutation.Rich

var richFiles = withFiles(rich)

// withFiles adds the files that rich needs to a compose file.
func withFiles(compose string) map[string]string {
	files := maps.Clone(mutation.Files)
	files["compose.yaml"] = compose
	return files
}

func TestNoDriftOnWhatWasJustMade(t *testing.T) {
	f := newFixture(t, "clean", richFiles)
	if got := f.report(); got.Differs() || len(got.Gaps) > 0 {
		t.Errorf("drift on a stack that was just made:\n%s\ngaps %v", strings.Join(lines(got.Drifts), "\n"), got.Gaps)
	}
}

// TestEveryMutationIsFound changes one thing at a time on a container that keeps all of docker compose's labels, so that
// the config hash lies, and wants exactly that thing reported. In what is wanted $P is the project, $C the container and
// $DIR the project directory. Some stacks are worked on at a time: most of the time is spent waiting for the engine.
func TestEveryMutationIsFound(t *testing.T) {
	const stacks = 4
	pool := make(chan *fixture, stacks)
	for i := range stacks {
		f := newFixture(t, fmt.Sprintf("mut%d", i), richFiles)
		f.docker("volume", "create", f.project+"_other")
		f.docker("network", "create", f.project+"_foreign")
		pool <- f
	}
	t.Run("all", func(t *testing.T) {
		for _, m := range mutation.All() {
			t.Run(m.Name, func(t *testing.T) {
				t.Parallel()
				f := <-pool
				defer func() { pool <- f }()
				f.t = t
				m.Do(f)
				names := f.Names()
				var want []string
				for _, line := range m.Want {
					want = append(want, names.Replace(line))
				}
				if diff := cmp.Diff(want, lines(f.report().Drifts)); diff != "" {
					t.Errorf("drift (-want +got):\n%s", diff)
				}
			})
		}
	})
}
