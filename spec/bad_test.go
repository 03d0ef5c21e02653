package spec

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

// TestBadFiles loads malformed and contradictory files: one case a folder of an archive in testdata/bad, with the
// exact text of the error in `want`. `env` holds variables, `args` the options when they are not one compose.yaml.
// -update writes the texts anew.
func TestBadFiles(t *testing.T) {
	archives, err := filepath.Glob("testdata/bad/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for _, path := range archives {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range caseNames(archive) {
			cases++
			t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar")+"/"+name, func(t *testing.T) {
				dir := t.TempDir()
				extract(t, archive, name, dir)
				got := loadError(t, dir)
				if *update {
					setFile(archive, name+"/want", got)
					return
				}
				if diff := cmp.Diff(getFile(archive, name+"/want"), got); diff != "" {
					t.Errorf("error (-want +got):\n%s", diff)
				}
			})
		}
		if *update {
			if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if cases < 100 {
		t.Errorf("%d bad files, expected at least 100", cases)
	}
}

// loadError loads the case in dir and returns the error's text with paths relative to it.
func loadError(t *testing.T, dir string) string {
	t.Helper()
	stack, err := Load(context.Background(), caseOptions(t, dir))
	if err == nil {
		t.Errorf("loaded %d services, expected an error", len(stack.Services))
		return ""
	}
	for _, one := range each(err) {
		var e *Error
		if !errors.As(one, &e) {
			t.Errorf("%T is not an Error: %v", one, one)
		}
	}
	return strings.NewReplacer(dir+"/", "", dir, ".").Replace(err.Error()) + "\n"
}

// each splits joined errors.
func each(err error) []error {
	if list, ok := err.(interface{ Unwrap() []error }); ok {
		return list.Unwrap()
	}
	return []error{err}
}

// caseOptions reads the options of a case: the files env and args beside compose.yaml.
func caseOptions(t *testing.T, dir string) Options {
	t.Helper()
	o := Options{WorkingDir: dir, Environ: []string{}}
	for line := range strings.Lines(readOptional(t, dir, "env")) {
		o.Environ = append(o.Environ, strings.TrimSpace(line))
	}
	for line := range strings.Lines(readOptional(t, dir, "args")) {
		flag, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch flag {
		case "-f":
			o.Files = append(o.Files, value)
		case "-p":
			o.ProjectName = value
		case "--profile":
			o.Profiles = append(o.Profiles, value)
		case "--env-file":
			o.EnvFiles = append(o.EnvFiles, value)
		case "--project-directory":
			o.ProjectDir = value
		default:
			t.Fatalf("unknown argument %q", flag)
		}
	}
	o.Stdin = strings.NewReader(readOptional(t, dir, "stdin"))
	return o
}

func readOptional(t *testing.T, dir, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(content)
}

// caseNames returns the first folders of an archive, in order.
func caseNames(archive *txtar.Archive) []string {
	var names []string
	for _, f := range archive.Files {
		if name, _, ok := strings.Cut(f.Name, "/"); ok && (len(names) == 0 || names[len(names)-1] != name) {
			names = append(names, name)
		}
	}
	return names
}

// extract writes the files of a case.
func extract(t *testing.T, archive *txtar.Archive, name, dir string) {
	t.Helper()
	for _, f := range archive.Files {
		rest, ok := strings.CutPrefix(f.Name, name+"/")
		if !ok || rest == "want" {
			continue
		}
		path := filepath.Join(dir, rest)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func getFile(archive *txtar.Archive, name string) string {
	for _, f := range archive.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

// setFile replaces a file, or adds it behind the others of its case.
func setFile(archive *txtar.Archive, name, data string) {
	folder, _, _ := strings.Cut(name, "/")
	last := len(archive.Files)
	for i, f := range archive.Files {
		if f.Name == name {
			archive.Files[i].Data = []byte(data)
			return
		}
		if strings.HasPrefix(f.Name, folder+"/") {
			last = i + 1
		}
	}
	added := txtar.File{Name: name, Data: []byte(data)}
	archive.Files = append(archive.Files[:last], append([]txtar.File{added}, archive.Files[last:]...)...)
}

// TestDeep: a document of thousands of levels is refused at once, also when aliases make the depth.
func TestDeep(t *testing.T) {
	const levels = 600
	stairs := "x-0: &a0 {b: 1}\n"
	for i := 1; i < levels; i++ {
		stairs += fmt.Sprintf("x-%d: &a%d {b: *a%d}\n", i, i, i-1)
	}
	for name, text := range map[string]string{
		"nested":  "x-deep: " + strings.Repeat("{a: ", 5000) + "1" + strings.Repeat("}", 5000) + "\n",
		"aliases": stairs,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "compose.yaml"), []byte(text+"services: {a: {image: x}}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := loadError(t, dir); !strings.HasPrefix(got, "compose.yaml:") || !strings.Contains(got, "more than 500 levels deep") {
			t.Errorf("%s: %s", name, got)
		}
	}
}
