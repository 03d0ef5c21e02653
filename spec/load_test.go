package spec

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sirupsen/logrus"
)

// simple is a compose file of n services.
func simple(n int) string {
	var b strings.Builder
	b.WriteString("x-composure:\n  mode: heal\nvolumes:\n  data:\nservices:\n")
	for i := range n {
		fmt.Fprintf(&b, `  svc%d:
    image: busybox
    command: ["sleep", "1000"]
    environment:
      FOO: bar
      N: "%d"
    ports: ["%d:80"]
    volumes: ["data:/data"]
    healthcheck:
      test: ["CMD", "true"]
      interval: 5s
    mem_limit: 64m
    restart: always
    x-composure:
      remediation: {attempts: 4}
      probes:
        - http: http://localhost:80/
`, i, i, 20000+i)
	}
	return b.String()
}

// TestLoadIsQuiet: compose-go's warnings end up in the stack, and its logger is as it was before.
func TestLoadIsQuiet(t *testing.T) {
	var printed strings.Builder
	logrus.SetOutput(&printed)
	defer logrus.SetOutput(os.Stderr)
	stack := loadText(t, "version: '3'\nservices:\n  web:\n    image: app${NOT_SET}\n    privileged: yes\n")
	if printed.Len() > 0 {
		t.Errorf("printed: %s", printed.String())
	}
	if len(stack.Unset) != 1 || stack.Unset[0].Name != "NOT_SET" || stack.Unset[0].Pos.Line != 4 {
		t.Errorf("unset: %+v", stack.Unset)
	}
	if len(stack.Warnings) == 0 {
		t.Error("no warning about version")
	}
	logrus.Warn("after")
	if !strings.Contains(printed.String(), "after") {
		t.Error("the logger was not restored")
	}
}

// TestLoadsMayRunTogether loads from several goroutines.
func TestLoadsMayRunTogether(t *testing.T) {
	file := filepath.Join(t.TempDir(), "compose.yaml")
	if err := os.WriteFile(file, []byte(simple(3)), 0o644); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			stack, err := Load(context.Background(), Options{Files: []string{file}, Environ: []string{}})
			if err != nil || len(stack.Services) != 3 {
				t.Errorf("load: %v", err)
			}
		})
	}
	wg.Wait()
}

// TestLoadLeavesOptionsAlone: the caller's slices are not written to.
func TestLoadLeavesOptionsAlone(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"compose.yaml": simple(1), "a.env": "A=1\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	o := Options{WorkingDir: dir, Files: []string{"compose.yaml"}, EnvFiles: []string{"a.env"}, Environ: []string{}}
	if _, err := Load(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	if o.EnvFiles[0] != "a.env" || o.Files[0] != "compose.yaml" {
		t.Errorf("options after the load: %+v", o)
	}
}

func BenchmarkLoad(b *testing.B) {
	o := benchOptions(b)
	for b.Loop() {
		if _, err := Load(context.Background(), o); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkComposeGo is compose-go's share of BenchmarkLoad.
func BenchmarkComposeGo(b *testing.B) {
	sel, err := choose(benchOptions(b))
	if err != nil {
		b.Fatal(err)
	}
	positions, err := newPositions(sel)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		loaded, err := sel.compose(context.Background(), positions, false)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := loaded.WithoutUnnecessaryResources().WithServicesEnvironmentResolved(true); err != nil {
			b.Fatal(err)
		}
	}
}

func benchOptions(b *testing.B) Options {
	b.Helper()
	file := filepath.Join(b.TempDir(), "compose.yaml")
	if err := os.WriteFile(file, []byte(simple(100)), 0o644); err != nil {
		b.Fatal(err)
	}
	return Options{Files: []string{file}, Environ: []string{}}
}
