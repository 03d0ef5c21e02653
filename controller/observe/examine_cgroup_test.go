package observe

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCount: a number is read from its line wherever that is, and only from a whole line of a file that is there.
func TestCount(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		text, prefix string
		want         int64
		fails        bool
	}{
		"alone":    {"123\n", "", 123, false},
		"prefixed": {"file 1\ninactive_file 2\ntotal_inactive_file 3\n", "inactive_file ", 2, false},
		"far":      {strings.Repeat("something 1\n", 1000) + "wanted 4\n", "wanted ", 4, false},
		"no line":  {"file 1\n", "wanted ", 0, true},
		"no limit": {"max\n", "", 0, true},
		"empty":    {"", "", 0, true},
		"cut off":  {"12", "", 0, true},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := count(dir, name, c.prefix); got != c.want || (err != nil) != c.fails {
			t.Errorf("%s: %d, %v", name, got, err)
		}
	}
	if _, err := count(dir, "missing", ""); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}
