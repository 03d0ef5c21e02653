//go:build linux

// Package limits holds Composure against sizes that no test of a single package has.
package limits

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"composure/test/dockerd"
	"composure/test/results"
	"composure/test/rig"
)

func TestMain(m *testing.M) { os.Exit(rig.Main(m, nil)) }

// stack has a service for each size of log; each has failed, and its log is its evidence.
const stack = `x-composure: {min_healthy: 100ms}
services:
  small: &failing
    image: composure-test/busybox:1
    command: [sh, -c, "echo psycopg2.OperationalError: could not connect to server; exit 3"]
    healthcheck: {test: [CMD, "true"], interval: 1h}
  huge: *failing
  endless:
    image: composure-test/busybox:1
    command: [sh, -c, "head -c 104857600 /dev/zero | tr '\\0' x; exit 3"]
    healthcheck: {test: [CMD, "true"], interval: 1h}
`

// size of the huge log, and what reading it may take beyond a small one.
const (
	size    = 4 << 30
	surplus = 50 << 10 // kB of resident memory
)

// TestLogs: a log of 4 GB, and a line of 100 MB without an end, are evidence like any other: its end is read, at once, and
// no more than that is kept.
func TestLogs(t *testing.T) {
	d := dockerd.Start(t, dockerd.Options{Images: []string{"composure-test/busybox:1"}})
	s := rig.New(t, rig.Private(d), "cmpsr-limits", stack)
	s.Composure(rig.Once()...) // does not converge
	s.Until("all have failed", func() bool {
		for _, service := range []string{"small", "huge", "endless"} {
			if c := s.Look(s.Container(service)); c == nil || c.State.Status != "exited" {
				return false
			}
		}
		return true
	})
	grow(t, s.Inspect("huge").LogPath)
	small, _, text := diagnose(s, "small")
	figures := []results.Figure{{Name: "small log", Value: fmt.Sprintf("%d MB", small>>10)}}
	if !strings.Contains(text, "OperationalError") {
		t.Fatalf("the log is not evidence:\n%s", text)
	}
	for _, service := range []string{"huge", "endless"} {
		kb, took, text := diagnose(s, service)
		figures = append(figures, results.Figure{Name: service, Value: fmt.Sprintf("%d MB, whole process %s", kb>>10, took)})
		if kb > small+surplus {
			t.Errorf("%s: %d kB of memory, %d kB for a small log", service, kb, small)
		}
		if service == "huge" && !strings.Contains(text, "OperationalError") {
			t.Errorf("%s: the end of the log is not evidence:\n%s", service, text)
		}
	}
	verdict := "at most 50 MB more"
	if t.Failed() {
		verdict = "FAILED"
	}
	s.Must(results.Add("Evidence from a log of 4 GB (huge) and a line of 100 MB (endless)", "make limits", append(figures, results.Figure{Name: "result", Value: verdict})...))
}

// diagnose runs the command on one service and returns the memory that it took at most, in kB, how long, and what it says.
func diagnose(s *rig.Stack, service string) (kb int64, took time.Duration, text string) {
	s.T.Helper()
	began := time.Now()
	r := s.Wants(1, "diagnose", service, "-o", "json")
	took = time.Since(began).Round(time.Millisecond)
	s.T.Logf("%s: %s, %d MB", service, took, r.Memory>>10)
	return r.Memory, took, r.Out
}

// grow puts 4 GB of other lines before the last ones of a log.
func grow(t *testing.T, path string) {
	t.Helper()
	last, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	line := fmt.Sprintf("{\"log\":\"%s\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:00Z\"}\n", strings.Repeat("nothing of note ", 8))
	block := bytes.Repeat([]byte(line), (1<<20)/len(line))
	for written := 0; written < size; written += len(block) {
		if _, err := f.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Write(last); err != nil {
		t.Fatal(err)
	}
	if info, err := f.Stat(); err != nil || info.Size() < size {
		t.Fatalf("the log has %v, %v", info.Size(), err)
	}
}
