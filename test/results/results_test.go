package results

import (
	"strconv"
	"strings"
	"testing"
)

// TestAdded: a run is put on top of its own section, other sections stay as they are, and old runs go.
func TestAdded(t *testing.T) {
	text := added("", "Chaos", "make chaos", []Figure{{"date", "d1"}, {"violations", "0"}})
	text = added(text, "Crash", "make crash", []Figure{{"date", "d2"}, {"faults", "900"}})
	text = added(text, "Chaos", "make chaos", []Figure{{"date", "d3"}, {"violations", "a|b\nc"}})
	want := introduction + `
## Chaos

` + "`make chaos`" + `

| date | violations |
| --- | --- |
| d3 | a\|b c |
| d1 | 0 |

## Crash

` + "`make crash`" + `

| date | faults |
| --- | --- |
| d2 | 900 |
`
	if text != want {
		t.Errorf("got:\n%s\nexpected:\n%s", text, want)
	}
	for i := range 20 {
		text = added(text, "Chaos", "make chaos", []Figure{{"date", "e" + strconv.Itoa(i)}, {"violations", "0"}})
	}
	if strings.Count(text, "| e") != kept || strings.Contains(text, "d1") || !strings.Contains(text, "| d2 | 900 |") {
		t.Errorf("old runs stay, or too many went:\n%s", text)
	}
	text = added(text, "Chaos", "make chaos", []Figure{{"date", "f"}, {"seed", "1"}})
	if strings.Contains(text, "| e") || !strings.Contains(text, "| f | 1 |") {
		t.Errorf("another table is a new one:\n%s", text)
	}
}
