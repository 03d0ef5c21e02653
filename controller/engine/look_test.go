package engine_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/google/go-cmp/cmp"

	"composure/controller/engine"
	"composure/controller/observe"
	"composure/spec"
)

func TestLogs(t *testing.T) {
	s := open(t)
	for _, tty := range []bool{false, true} {
		c := s.desired("log", "sh", "-c", "for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; done; sleep 600")
		c.Name, c.Config.Tty = s.name("log-"+strconv.FormatBool(tty)), tty
		id := s.start(t, c)
		read := func(tail, bytes int) string {
			text, err := s.Logs(t.Context(), id, tail, bytes)
			if err != nil {
				t.Fatal(err)
			}
			return strings.ReplaceAll(text, "\r", "")
		}
		eventually(t, "all is written", func() bool { return strings.Count(read(100, 1000), "\n") == 10 })
		if tty { // the streams of a terminal are one
			if got := read(2, 1000); got != "out 5\nerr 5\n" {
				t.Errorf("tail 2: %q", got)
			}
		}
		if got := read(3, 1000); strings.Count(got, "\n") != 3 || !strings.HasSuffix(read(100, 1000), got) {
			t.Errorf("tail 3: %q", got)
		}
		if got, err := s.Logs(t.Context(), id, 100, 4); err != nil || len(got) != 4 {
			t.Errorf("4 bytes: %q, %v", got, err)
		}
		later, err := s.LogsSince(t.Context(), id, time.Now().Add(time.Hour), 10, 1000)
		if err != nil || later != "" {
			t.Errorf("since later: %q, %v", later, err)
		}
	}
}

func TestExec(t *testing.T) {
	s := open(t)
	id := s.start(t, s.desired("web", "sleep", "600"))
	tests := []struct {
		argv []string
		want engine.ExecResult
	}{
		{[]string{"echo", "$HOME; ls"}, engine.ExecResult{Output: "$HOME; ls\n"}},
		{[]string{"sh", "-c", "echo err >&2; exit 7"}, engine.ExecResult{ExitCode: 7, Output: "err\n"}},
	}
	for _, test := range tests {
		got, err := s.Exec(t.Context(), id, test.argv)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.argv, diff)
		}
	}
	big, err := s.Exec(t.Context(), id, []string{"sh", "-c", "yes | head -c 1000000; printf end"})
	if err != nil || !big.Truncated || !strings.HasSuffix(big.Output, "end") || len(big.Output) != 256<<10 {
		t.Errorf("got %d bytes, truncated %v, %v", len(big.Output), big.Truncated, err)
	}
	missing, err := s.Exec(t.Context(), id, []string{"no-such-command"})
	if err == nil && missing.ExitCode != 126 && missing.ExitCode != 127 || err != nil && !errors.Is(err, observe.ErrBadCommand) {
		t.Errorf("got %+v, %v", missing, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := s.Exec(ctx, id, []string{"sleep", "30"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestTopAndStats(t *testing.T) {
	s := open(t)
	id := s.start(t, s.desired("web", "sleep", "600"))
	top, err := s.Top(t.Context(), id)
	if err != nil || len(top.Processes) != 1 || !strings.Contains(strings.Join(top.Processes[0], " "), "sleep 600") {
		t.Errorf("got %+v, %v", top, err)
	}
	stats, err := s.Stats(t.Context(), id)
	if err != nil || stats.MemoryStats.Usage == 0 || stats.CPUStats.CPUUsage.TotalUsage == 0 {
		t.Errorf("got %+v, %v", stats, err)
	}
}

// TestEvents looks at what arrives for one container's life, beside that of another project.
func TestEvents(t *testing.T) {
	s, other := open(t), open(t)
	ctx, cancel := context.WithCancel(t.Context())
	messages, ended := s.Events(ctx, s.prefix)
	n := s.network(t, "front", network.CreateOptions{})
	c := s.desired("web", "true")
	c.Networks = []spec.Endpoint{endpoint(n)}
	c.Config.Healthcheck = &container.HealthConfig{Test: []string{"CMD", "true"}, Interval: time.Second}
	other.start(t, other.desired("noise", "sleep", "600"))
	id := s.start(t, c)

	var seen []string
	for !strings.Contains(strings.Join(seen, " "), "container die") {
		select {
		case m := <-messages:
			if m.Actor.Attributes[spec.LabelProject] == other.prefix || strings.HasPrefix(string(m.Action), "exec") {
				t.Errorf("not asked for: %+v", m)
			}
			if m.Actor.ID == id || m.Actor.Attributes["container"] == id || m.Actor.Attributes["name"] == n.Name {
				seen = append(seen, string(m.Type)+" "+string(m.Action))
			}
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(30 * time.Second):
			t.Fatalf("only saw %q", seen)
		}
	}
	for _, want := range []string{"network create", "container create", "network connect", "container start"} {
		if !strings.Contains(strings.Join(seen, "\n"), want) {
			t.Errorf("no %q in %q", want, seen)
		}
	}
	cancel()
	for {
		select {
		case <-messages:
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			return
		}
	}
}
