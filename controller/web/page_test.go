package web

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var updatePage = flag.Bool("update-page", false, "write the generated tables into API.md")

// TestPage holds the tables of API.md to the tables that the server works with.
func TestPage(t *testing.T) {
	text := string(readFile(t, "API.md"))
	for name, table := range map[string]string{"operations": operationTable(), "actions": actionTable(), "metrics": metricTable(scrape(t))} {
		begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
		before, rest, ok := strings.Cut(text, begin)
		have, after, closed := strings.Cut(rest, end)
		if !ok || !closed {
			t.Fatalf("API.md has no %s…%s", begin, end)
		}
		if diff := cmp.Diff(have, table); diff != "" && !*updatePage {
			t.Errorf("%s (-page +program); go test ./controller/web -run TestPage -update-page:\n%s", name, diff)
		}
		text = before + begin + table + end + after
	}
	if *updatePage {
		if err := os.WriteFile("API.md", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func operationTable() string {
	var b strings.Builder
	b.WriteString("| operation | |\n|---|---|\n")
	for _, r := range routes {
		fmt.Fprintf(&b, "| `%s %s%s` | %s |\n", r.method, root, r.path, r.summary)
	}
	return b.String()
}

func actionTable() string {
	var b strings.Builder
	b.WriteString("| kind | of | |\n|---|---|---|\n")
	for _, k := range kinds {
		of := map[string]string{"stack": "the stack or a service", "service": "a service", "incident": "an incident"}[k.of]
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.name, of, k.about)
	}
	return b.String()
}

// metricTable lists what a scrape says of itself.
func metricTable(scraped string) string {
	var rows []string
	for _, m := range regexp.MustCompile(`(?m)^# HELP (composure_\w+) (.*)\n# TYPE \w+ (\w+)`).FindAllStringSubmatch(scraped, -1) {
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s |\n", m[1], m[3], m[2]))
	}
	slices.Sort(rows)
	return "| metric | kind | |\n|---|---|---|\n" + strings.Join(rows, "")
}
