package spec

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
	"golang.org/x/tools/txtar"
)

// FuzzLoad loads any text as a compose file: it gives a stack that survives a round trip, or Errors with a text.
func FuzzLoad(f *testing.F) {
	for _, file := range seeds(f) {
		f.Add(file)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, file string) {
		if strings.Contains(file, "/dev/") || strings.Contains(file, "/proc") { // reading those may never end
			return
		}
		stack, err := Load(context.Background(), Options{
			Files: []string{"-"}, Stdin: strings.NewReader(file), WorkingDir: dir, ProjectName: "app", Environ: []string{"A=1"},
		})
		if err != nil {
			checkErrors(t, err)
			return
		}
		data, err := stack.Canonical()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := FromCanonical(data, edited(stack)); err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
	})
}

// FuzzPolicy decodes any YAML as x-composure.
func FuzzPolicy(f *testing.F) {
	for _, file := range seeds(f) {
		_, policy, _ := strings.Cut(file, "x-composure:")
		f.Add(policy)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var in any
		if yaml.Unmarshal([]byte(text), &in) != nil {
			return
		}
		var policy StackPolicy
		d := &decoder{}
		setDefaults(reflect.ValueOf(&policy).Elem())
		d.decode(reflect.ValueOf(&policy).Elem(), in, []string{extension})
		for _, e := range d.errs {
			checkErrors(t, e)
		}
		if len(d.errs) == 0 && (policy.Defaults.MinHealthy < 0 || policy.Defaults.Remediation.Attempts < 1) {
			t.Errorf("accepted: %+v", policy)
		}
	})
}

// checkErrors expects Errors that say something, and no panic behind them.
func checkErrors(t *testing.T, err error) {
	t.Helper()
	for _, one := range each(err) {
		var e *Error
		if !errors.As(one, &e) || e.Problem == "" || e.Fix == "" {
			t.Errorf("%T without problem or fix: %v", one, one)
		} else if strings.Contains(e.Problem, "the compose library failed") && strings.Contains(e.Err.Error(), "panic.go") && ours(e.Err.Error()) {
			t.Errorf("%v\n%v", e, e.Err)
		}
	}
}

// ours says whether a panic came from this package: its frame stands before any of compose-go's.
func ours(stack string) bool {
	_, after, _ := strings.Cut(stack, "panic.go")
	own, theirs := strings.Index(after, "composure/spec."), strings.Index(after, "compose-go/")
	return theirs < 0 || own < theirs
}

// seeds are the compose files of testdata.
func seeds(f *testing.F) []string {
	f.Helper()
	archives, err := filepath.Glob("testdata/*/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	var files []string
	for _, path := range archives {
		content, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range txtar.Parse(content).Files {
			if strings.HasSuffix(file.Name, ".yaml") {
				files = append(files, string(file.Data))
			}
		}
	}
	return files
}
