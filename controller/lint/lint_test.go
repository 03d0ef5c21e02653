package lint_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"composure/controller/lint"
	"composure/spec"
)

// TestRules holds each file in testdata to the rules that its comments name, line by line: what is not named there must
// not be found.
func TestRules(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			var got []string
			for _, f := range check(t, file) {
				shown[f.Rule] = true
				got = append(got, fmt.Sprintf("%d: %s", f.Pos.Line, f.Rule))
			}
			want := expected(t, file)
			slices.Sort(got)
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	for _, r := range lint.Rules() {
		if !shown[r.Code] {
			t.Errorf("no case shows %s", r.Code)
		}
		if r.Text == "" || r.Fix == "" || !slices.Contains(lint.Severities(), r.Severity) {
			t.Errorf("%s is incomplete", r.Code)
		}
	}
}

func check(t *testing.T, file string) []lint.Finding {
	t.Helper()
	stack, err := spec.Load(context.Background(), spec.Options{Files: []string{file}, ProjectName: "app", Environ: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	found, err := lint.Check(stack, nil)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// expected reads the comments behind the keys.
func expected(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for i, line := range strings.Split(string(text), "\n") {
		if _, comment, ok := strings.Cut(line, " # "); ok {
			for _, code := range strings.Fields(comment) {
				want = append(want, fmt.Sprintf("%d: %s", i+1, code))
			}
		}
	}
	return want
}

// TestSecretsStayUnsaid: a finding about a secret does not repeat it.
func TestSecretsStayUnsaid(t *testing.T) {
	for _, f := range check(t, "testdata/exposure.yaml") {
		if strings.Contains(f.Text+f.Fix, "abcdef") || strings.Contains(f.Text+f.Fix, "hunter2") {
			t.Errorf("%s says the secret: %s", f.Rule, f.Text)
		}
	}
}

func TestSkippedRulesFindNothing(t *testing.T) {
	stack, err := spec.Load(context.Background(), spec.Options{Files: []string{"testdata/database.yaml"}, ProjectName: "app", Environ: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	found, err := lint.Check(stack, map[string]bool{"port-database": true})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if f.Rule == "port-database" {
			t.Errorf("found although it is skipped: %s", f.Text)
		}
	}
}
