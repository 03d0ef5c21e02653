// Package driftlive changes real containers on a real engine and asserts what drift says about it.
package driftlive

import (
	"maps"
	"strings"
	"testing"

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
