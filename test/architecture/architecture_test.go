// Package architecture holds the import rules that keep the decisions pure and the effects at the edges.
package architecture

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pkg is what `go list` says of a package.
type pkg struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
}

// may lists what each package may import of this module. A package that is not here may not exist: adding one is a
// decision, with its line in the README's table.
var may = map[string][]string{
	"composure/spec":                nil,
	"composure/controller/observe":  {"composure/spec"},
	"composure/controller/engine":   {"composure/spec", "composure/controller/observe"},
	"composure/controller/drift":    {"composure/spec", "composure/controller/observe"},
	"composure/controller/diagnose": {"composure/spec", "composure/controller/observe", "composure/controller/drift"},
	"composure/controller/plan":     {"composure/spec", "composure/controller/observe", "composure/controller/drift", "composure/controller/diagnose"},
	"composure/controller/act":      {"composure/spec", "composure/controller/observe", "composure/controller/plan"},
	"composure/controller/verify":   {"composure/spec", "composure/controller/observe", "composure/controller/drift", "composure/controller/plan"},
	"composure/controller/incident": {"composure/spec", "composure/controller/observe", "composure/controller/drift", "composure/controller/diagnose", "composure/controller/plan", "composure/controller/verify"},
	"composure/controller/lint":     {"composure/spec", "composure/controller/plan"},
	"composure/controller/notify":   {"composure/spec", "composure/controller/incident"},
	"composure/controller/store":    {"composure/spec", "composure/controller/incident", "composure/controller/plan"},
	"composure/controller/web":      {"composure/controller/observe", "composure/controller/view", "composure/controller/drift", "composure/controller/incident", "composure/controller/plan"},
	"composure/controller/view":     {"composure/spec", "composure/controller/observe", "composure/controller/drift", "composure/controller/diagnose", "composure/controller/plan", "composure/controller/incident", "composure/controller/store"},
}

// pure packages are functions of their input. What does I/O, reads the clock or randomness, logs, or takes a context has
// no place in them.
var pure = []string{"drift", "diagnose", "plan", "verify", "incident", "lint", "view"}

// impure is what a pure package must not import.
var impure = []string{
	"context", "crypto/rand", "database/sql", "io/ioutil", "log", "log/slog", "math/rand", "math/rand/v2", "net", "net/http", "os", "os/exec",
	"os/signal", "sync", "sync/atomic", "syscall", "testing",
}

// only says who may import a library: one package, so that it can be replaced or audited in one place.
var only = map[string][]string{
	"github.com/compose-spec/compose-go/v2": {"composure/spec"},
	"github.com/docker/docker/client":       {"composure/controller/engine"},
	"github.com/docker/cli/cli":             {"composure/controller/engine"},
	"modernc.org/sqlite":                    {"composure/controller/store"},
	"database/sql":                          {"composure/controller/store"},
	"github.com/jackc/pgx/v5":               {"composure/controller/store", "composure/controller/observe"}, // the probe is about PostgreSQL itself
}

func TestImportsOfThisModule(t *testing.T) {
	for _, p := range product(t) {
		if p.ImportPath == "composure/controller" || strings.HasPrefix(p.ImportPath, "composure/cmd/") {
			continue
		}
		allowed, known := may[p.ImportPath]
		if !known {
			t.Errorf("%s is not in the table of packages", p.ImportPath)
		}
		for _, i := range p.Imports {
			if strings.HasPrefix(i, "composure/") && !slices.Contains(allowed, i) {
				t.Errorf("%s imports %s", p.ImportPath, i)
			}
		}
	}
}

func TestPurePackagesDoNothing(t *testing.T) {
	for _, p := range product(t) {
		if !slices.Contains(pure, strings.TrimPrefix(p.ImportPath, "composure/controller/")) {
			continue
		}
		for _, i := range p.Imports {
			if slices.Contains(impure, i) {
				t.Errorf("%s is pure and imports %s", p.ImportPath, i)
			}
		}
		for _, call := range clockCalls(t, p) {
			t.Errorf("%s is pure and reads the clock: %s", p.ImportPath, call)
		}
	}
}

func TestLibrariesStandInOnePlace(t *testing.T) {
	for _, p := range product(t) {
		for _, i := range p.Imports {
			for library, who := range only {
				if (i == library || strings.HasPrefix(i, library+"/")) && !slices.Contains(who, p.ImportPath) {
					t.Errorf("%s imports %s; only %s may", p.ImportPath, i, strings.Join(who, " and "))
				}
			}
		}
	}
}

// clockCalls finds calls of time.Now, Since, Until, After, Sleep, Tick and timers.
func clockCalls(t *testing.T, p pkg) []string {
	t.Helper()
	banned := []string{"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "Tick", "NewTimer", "NewTicker"}
	var found []string
	for _, name := range p.GoFiles {
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, filepath.Join(p.Dir, name), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(banned, s.Sel.Name) {
					found = append(found, set.Position(s.Pos()).String())
				}
			}
			return true
		})
	}
	return found
}

// product lists the packages of the program, without its tests and tools.
func product(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,Imports", "composure/spec/...", "composure/controller/...", "composure/cmd/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var found []pkg
	for decoder := json.NewDecoder(strings.NewReader(string(out))); decoder.More(); {
		var p pkg
		if err := decoder.Decode(&p); err != nil {
			t.Fatal(err)
		}
		found = append(found, p)
	}
	if len(found) < len(may) {
		t.Fatalf("only %d packages found", len(found))
	}
	return found
}
