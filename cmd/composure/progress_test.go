package main

import (
	"fmt"
	"strings"
	"testing"
)

// TestProgressFitsTheTerminal: what is painted can be painted over, and what has something to do is shown first.
func TestProgressFitsTheTerminal(t *testing.T) {
	lines := map[string]string{}
	for i := range 30 {
		lines[fmt.Sprintf("s%02d 1", i)] = "done"
	}
	lines["s28 1"] = "healthcheck starting, " + strings.Repeat("long ", 40)
	if got := painted(lines, look{Width: 80}); len(got) != 30 {
		t.Errorf("%d lines on a terminal of unknown height", len(got))
	}
	for _, height := range []int{3, 10, 24} {
		got := painted(lines, look{Width: 80, Height: height})
		if len(got) != height-1 || !strings.HasPrefix(got[0], "s28 1") || got[len(got)-1] != fmt.Sprintf("… and %d more", 30-(height-2)) {
			t.Errorf("height %d:\n%s", height, strings.Join(got, "\n"))
		}
		for _, line := range got {
			if n := len([]rune(line)); n > 79 {
				t.Errorf("a line of %d columns: %s", n, line)
			}
		}
	}
	if got := painted(lines, look{Width: 80, Height: 31}); len(got) != 30 {
		t.Errorf("%d lines on a terminal of 31 rows", len(got))
	}
}

// TestProgressIsNeverWrapped: a line that the terminal wraps would be painted over in part only.
func TestProgressIsNeverWrapped(t *testing.T) {
	for text, want := range map[string]string{
		"healthcheck starting":                "web 1                healthc…",
		"differs in command (店/compose.yaml)": "web 1                differs…",
		"店店店店店店":                              "web 1                店店店…",
		"done":                                "web 1                done",
	} {
		got := painted(map[string]string{"web 1": text}, look{Width: narrowest, Columns: 30})
		if len(got) != 1 || got[0] != want {
			t.Errorf("%q, expected %q", got, want)
		}
	}
}
