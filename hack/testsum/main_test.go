package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// Each case is a module with one package; what a developer would see is compared
// by its essential lines, because messages of the Go tools change.
func TestRun(t *testing.T) {
	cases := map[string]struct {
		source  string
		args    []string
		want    []string // lines that must be there
		unwant  string   // text that must not be there
		closing string
	}{
		"all pass": {
			source: `func TestA(t *testing.T) { t.Log("quiet"); t.Run("x", func(t *testing.T) {}) }`,
			want:   []string{"ok    example/p"}, unwant: "quiet",
			closing: "2 passed, 0 failed",
		},
		"failure shows its own output only": {
			source: `func TestA(t *testing.T) { t.Log("from A") }
func TestB(t *testing.T) { t.Run("sub", func(t *testing.T) { t.Error("from sub") }) }`,
			want: []string{"FAIL example/p.TestB/sub", "from sub", "FAIL  example/p"}, unwant: "from A",
			closing: "1 passed, 2 failed",
		},
		"skip is a failure": {
			source:  `func TestA(t *testing.T) { t.Skip("no engine") }`,
			want:    []string{"FAIL (skipped: not allowed) example/p.TestA", "no engine"},
			closing: "0 passed, 1 failed",
		},
		"does not build": {
			source:  `func TestA(t *testing.T) { undefinedName() }`,
			want:    []string{"FAIL (package) example/p", "undefined: undefinedName"},
			closing: "0 passed, 1 failed",
		},
		"panic": {
			source:  `func TestA(t *testing.T) {}; func TestB(t *testing.T) { panic("boom") }`,
			want:    []string{"FAIL example/p.TestB", "panic: boom"},
			closing: "1 passed, 1 failed",
		},
		"killed by the timeout": {
			source:  `func TestA(t *testing.T) { t.Run("stuck", func(t *testing.T) { select {} }) }`,
			args:    []string{"-timeout", "5s"}, // on a busy machine the test must have begun by then
			want:    []string{"panic: test timed out", "example/p.TestA"},
			closing: "0 passed, 2 failed",
		},
		"exit in the middle": {
			source:  `func TestA(t *testing.T) { println("last words"); os.Exit(7) }`,
			want:    []string{"FAIL", "example/p.TestA", "last words"},
			closing: "0 passed, 1 failed",
		},
		"fails outside any test": {
			source:  `func TestA(t *testing.T) {}; func TestMain(m *testing.M) { m.Run(); println("left open"); os.Exit(1) }`,
			want:    []string{"FAIL (package) example/p", "left open"},
			closing: "1 passed, 1 failed",
		},
		"bad argument": {
			source:  `func TestA(t *testing.T) {}`,
			args:    []string{"-timeout", "soon"},
			want:    []string{"FAIL go test ended without a verdict"},
			closing: "0 passed, 1 failed",
		},
		"huge output is cut, its end is kept": {
			source: `func TestA(t *testing.T) {
	for range 40 { println(strings.Repeat("x", 64<<10)) }
	t.Error("the reason")
}`,
			want:    []string{"bytes before this are left out]", "the reason"},
			closing: "0 passed, 1 failed",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := module(t, c.source)
			command := exec.Command("go", append(append([]string{"test", "-json"}, c.args...), "./...")...)
			command.Dir = dir
			command.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")

			var out bytes.Buffer
			ok, err := run(command, &out)
			if err != nil {
				t.Fatalf("run: %v", err)
			}
			if want := strings.HasSuffix(c.closing, " 0 failed"); ok != want {
				t.Errorf("ok = %v, want %v", ok, want)
			}
			text := out.String()
			if len(text) > 4*keep {
				t.Fatalf("%d bytes of output", len(text))
			}
			for _, want := range c.want {
				if !strings.Contains(text, want) {
					t.Errorf("%q is missing", want)
				}
			}
			if c.unwant != "" && strings.Contains(text, c.unwant) {
				t.Errorf("%q should not be shown", c.unwant)
			}
			lines := strings.Split(strings.TrimSpace(text), "\n")
			if closing := lines[len(lines)-1]; closing != c.closing {
				t.Errorf("closing line %q, want %q", closing, c.closing)
			}
			if t.Failed() {
				t.Logf("output:\n%s", text)
			}
		})
	}
}

// module writes a module of one test package with the given functions.
func module(t *testing.T, source string) string {
	t.Helper()
	files := txtar.Parse([]byte(`
-- go.mod --
module example
go 1.26
-- p/p_test.go --
package p
import ("os"; "strings"; "testing")
var _, _ = os.Exit, strings.Repeat
` + source + "\n"))
	dir := t.TempDir()
	for _, file := range files.Files {
		path := filepath.Join(dir, file.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, file.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
