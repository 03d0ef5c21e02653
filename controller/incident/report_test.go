package incident

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"composure/controller/diagnose"
	"composure/controller/plan"
	"composure/spec"
)

// sick is the incident of a service that ran out of memory, was restarted, and is well again.
func sick(t *testing.T) Incident {
	t.Helper()
	d := diagnosis("api", "memory_exhaustion")
	d.Finding.Summary = "Memory ran out: the kernel killed it for memory at 09:59:50 UTC"
	d.Finding.Proof = []string{"the kernel killed it for memory at 09:59:50 UTC", "256 MiB of 256 MiB used"}
	d.Steps = append(d.Steps, diagnose.Step{Depth: 1, Question: "did it end well?", Answer: diagnose.No, Seen: "exited with 137 (killed, SIGKILL), killed for memory"})
	o := Observation{
		Now: start, Stack: "shop", Policy: policy, Diagnoses: []diagnose.Diagnosis{d}, Began: map[string]time.Time{"api": start.Add(-10 * time.Second)},
		StableAfter: map[string]time.Duration{"api": 10 * time.Minute}, Endpoints: map[string][]string{"api": {"http://localhost:8000/health"}},
	}
	one := func(c Change) []Incident {
		if len(c.Changed) != 1 {
			t.Fatalf("%d incidents changed", len(c.Changed))
		}
		return c.Changed
	}
	open := one(Advance(nil, nil, o))
	o.Now = start.Add(30 * time.Second)
	o.Attempts = []plan.Attempt{{Key: "service/api/1", Service: "api", Kind: "graceful", Cause: "memory_exhaustion", Counts: true, Outcome: plan.Done, At: start.Add(20 * time.Second)}}
	open = one(Advance(open, nil, o))
	o.Diagnoses, o.Well = nil, map[string]time.Time{"api": start.Add(20 * time.Second)}
	o.DataChecks = map[string]string{"api": DataVerified}
	o.Now = start.Add(15 * time.Minute)
	return one(Advance(open, nil, o))[0]
}

const composeFile = `name: shop
services:
  api:
    image: shop/api:1
    deploy:
      resources:
        limits:
          memory: 256m
    ports: ["8000:8000"]
`

// TestReport compares the whole document with testdata/report.md: what a person reads at night.
func TestReport(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "compose.yaml")
	if err := os.WriteFile(file, []byte(composeFile), 0o600); err != nil {
		t.Fatal(err)
	}
	stack, err := spec.Load(context.Background(), spec.Options{Files: []string{file}})
	if err != nil {
		t.Fatal(err)
	}
	i := sick(t)
	got := Report(i, Extras{
		Now: start.Add(time.Hour), Hints: Hints(i.Cause, stack.Service("api")),
		Evidence: []Evidence{{Name: "logs.txt", Kind: "logs", At: start, Size: 2048}},
	})
	got = strings.ReplaceAll(got, dir+"/", "")
	const golden = "testdata/report.md"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestReportIsSafe: whatever stands in an incident, the document keeps its structure, shows no secret, and every foreign
// text stands in a code span or a code block.
func TestReportIsSafe(t *testing.T) {
	evil := []string{
		"`` ` ``` [x](http://evil) <img src=x onerror=alert(1)>",
		"\n## Injected\n- [ ] done\n", "```\n# Injected\n```", "<!-- ", "@everyone #1", "\x1b[2J\x07\u202e", "password=hunter2-canary", "`", "  ", "a | b",
	}
	for _, text := range evil {
		i := sick(t)
		clean := Report(i, Extras{Now: start})
		i.Summary, i.Service, i.Severity, i.Recurrence, i.AckBy, i.ExplainedBy = text, text, text, text, text, text
		i.Proof, i.Impact.Endpoints, i.Impact.Services, i.Evidence = []string{text}, []string{text}, []string{text}, []string{text}
		i.Steps = []string{text, "  " + text}
		for n := range i.Timeline {
			i.Timeline[n].Text = text
		}
		for n := range i.Tried {
			i.Tried[n].Kind, i.Tried[n].Cause, i.Tried[n].Reason, i.Tried[n].Key = text, text, text, text
		}
		got := Report(i, Extras{Now: start, Prevention: []string{text}, Evidence: []Evidence{{Name: text, Kind: text}}, Hints: []Hint{{At: text, YAML: text}}})
		noUnsafe(t, fmt.Sprintf("%q", strings.ReplaceAll(got, "\n", " ")))
		if want, is := headings(clean), headings(got); want+"## Evidence\n" != is {
			t.Errorf("%q changes the headings: %s", text, cmp.Diff(want, is))
		}
		if outside := outsideCode(got); strings.ContainsAny(outside, "<>[@|") {
			t.Errorf("%q gets out of the code: %s", text, outside)
		}
	}
}

// headings are the section titles of a document, without the code in them.
func headings(document string) string {
	var b strings.Builder
	for line := range strings.Lines(document) {
		if strings.HasPrefix(line, "## ") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// outsideCode drops code blocks, checkboxes of ours, and code spans as CommonMark reads them: a run of backticks opens a
// span when a run of the same length follows.
func outsideCode(document string) string {
	var b strings.Builder
	for line := range strings.Lines(document) {
		if strings.HasPrefix(line, "    ") {
			continue
		}
		line = strings.TrimPrefix(line, "- [ ] ")
		for line != "" {
			at := strings.IndexByte(line, '`')
			if at < 0 {
				b.WriteString(line)
				break
			}
			b.WriteString(line[:at])
			run := len(line[at:]) - len(strings.TrimLeft(line[at:], "`"))
			rest := line[at+run:]
			line = rest[closing(rest, run):]
		}
	}
	return b.String()
}

// closing is where a span that was opened by a run of backticks ends in a text, or 0: it is none.
func closing(text string, run int) int {
	for at := 0; at < len(text); {
		if text[at] != '`' {
			at++
			continue
		}
		n := len(text[at:]) - len(strings.TrimLeft(text[at:], "`"))
		if at += n; n == run {
			return at
		}
	}
	return 0
}
