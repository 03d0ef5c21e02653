package incident

import (
	"strings"
	"testing"
)

// noUnsafe fails when a text, quoted by %q, holds the canary or a control character: %q writes those as \x1b and \n,
// and an escape that is text already as \\x1b.
func noUnsafe(t *testing.T, quoted string) {
	t.Helper()
	plain := strings.ReplaceAll(quoted, `\\`, "")
	for _, bad := range []string{"hunter2-canary", `\x1b`, `\n`, `\u202e`} {
		if strings.Contains(plain, bad) {
			t.Errorf("found %q in %s", bad, quoted)
		}
	}
}
