package spec

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"composure/test/corpus"
)

var update = flag.Bool("update", false, "write the golden files of this package")

// engines of the golden create requests: the newest that Composure knows, and one that lacks much.
const (
	newestAPI = "1.51"
	oldAPI    = "1.41"
)

// golden is what one service gives: its create request, without what is zero, and what engines cannot honour.
type golden struct {
	Container any
	Unable    []string `json:",omitempty"` // by the newest engine
	UnableOld []string `json:",omitempty"` // by the old one
}

// TestCreateRequests holds the create request of every service of the corpus, and of what no engine of the tests can
// run, to a golden file.
func TestCreateRequests(t *testing.T) {
	if err := corpus.Install(); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, name := range corpus.Names() {
		files["corpus-"+name] = corpus.File(name)
	}
	for _, file := range glob(t, "testdata/create/*.yaml") {
		files[strings.TrimSuffix(filepath.Base(file), ".yaml")] = file
	}
	for name, file := range files {
		t.Run(name, func(t *testing.T) {
			stack, err := Load(t.Context(), Options{Files: []string{file}, ProjectName: "app", Environ: corpus.Environ})
			if err != nil {
				t.Fatal(err)
			}
			compareGolden(t, filepath.Join("testdata/create", name+".json"), requests(t, stack))
		})
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files, %v", pattern, len(files), err)
	}
	return files
}

// requests renders the create requests of a stack as JSON, the directory of its files as $DIR.
func requests(t *testing.T, stack *Stack) []byte {
	t.Helper()
	services := map[string]golden{}
	for _, svc := range stack.Services {
		c, err := stack.Container(svc, 1, Facts{APIVersion: newestAPI, ImageID: "sha256:1"})
		if err != nil {
			t.Fatal(err)
		}
		old, err := stack.Container(svc, 1, Facts{APIVersion: oldAPI})
		if err != nil {
			t.Fatal(err)
		}
		for _, label := range []string{LabelConfigHash, LabelWorkingDir, LabelConfigFiles, LabelVersion} {
			delete(c.Config.Labels, label)
		}
		g := golden{Unable: unableLines(c), UnableOld: unableLines(old)}
		c.Hashes, c.Hash, c.Unable = nil, "", nil
		g.Container = withoutZero(t, c)
		services[svc.Name] = g
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "\t")
	if err := encoder.Encode(services); err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(out.Bytes(), []byte(stack.WorkingDir), []byte("$DIR"))
}

func unableLines(c Container) []string {
	var lines []string
	for _, u := range c.Unable {
		line := u.Key + ": " + u.Why
		if u.Ignored {
			line += " (ignored)"
		}
		lines = append(lines, line)
	}
	return lines
}

// withoutZero drops what says nothing. Empty lists stay: an empty command is not the image's command.
func withoutZero(t *testing.T, v any) any {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(raw, &tree); err != nil {
		t.Fatal(err)
	}
	return prune(tree)
}

func prune(v any) any {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "ConsoleSize")
		kept := map[string]any{}
		for key, value := range v {
			if _, leaf := value.(map[string]any); leaf && (strings.Contains(key, "/") || key == "DriverConfig") {
				kept[key] = value // a port
				continue
			}
			if value = prune(value); value != nil {
				kept[key] = value
			}
		}
		if len(kept) == 0 {
			return nil
		}
		return kept
	case []any:
		for i := range v {
			v[i] = prune(v[i])
		}
		return v
	case string, float64, bool:
		if v == "" || v == 0.0 || v == false {
			return nil
		}
	}
	return v
}

func compareGolden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}
