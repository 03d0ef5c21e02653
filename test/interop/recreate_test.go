package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"composure/spec"
	"composure/test/corpus"
)

// TestComposeRecreatesNothing: `docker compose up -d` leaves every container of a stack alone that `composure
// reconcile --once` has made, whole or in parts.
func TestComposeRecreatesNothing(t *testing.T) {
	built := peers()
	if len(built) == 0 {
		t.Log("docker compose is not built (hack/peers.sh): this proof runs where it is; hashes and labels are held by the recorded observations")
		return
	}
	binary := buildComposure(t)
	t.Run("whole", func(t *testing.T) {
		for _, file := range corpus.Names() {
			if !slices.Contains(refused, file) && !slices.Contains(notStarted, file) {
				t.Run(file, func(t *testing.T) { madeByComposure(t, binary, file) })
			}
		}
	})
	for _, generation := range generations {
		if built[generation] == "" {
			continue
		}
		t.Run("parts "+generation, func(t *testing.T) {
			for _, file := range mixed {
				t.Run(file, func(t *testing.T) { madeByBoth(t, binary, generation, file) })
			}
		})
	}
}

// refused are files with a key that the engine of the tests cannot honour: docker compose drops it in silence,
// Composure touches nothing.
var refused = []string{"annotations"}

// endless are files with services that are not meant to run for ever and do: --once waits for them.
var endless = []string{"restart", "deploy-restart"}

// mixed are files whose hashes and requests differ most between the generations and between create and recreate.
var mixed = []string{"bind-short", "bind-long", "volumes-anonymous", "network-mode-service", "secrets-environment", "stack"}

// madeByComposure: Composure makes the stack, every docker compose of the current generation accepts it.
func madeByComposure(t *testing.T, binary, file string) {
	t.Parallel()
	s := newStack(t, file)
	s.keepRunning()
	t.Cleanup(s.down)
	s.reconcile(binary)
	before := s.containers()
	if len(before) == 0 {
		t.Fatal("composure made no container")
	}
	s.compose(generations[1], "up", "-d", "--pull", "never", "-t", "0")
	s.unchanged("docker compose "+generations[1], before)
}

// madeByBoth: docker compose makes the stack, somebody removes its containers, Composure makes them again in the form
// of that generation, and docker compose accepts them as its own.
func madeByBoth(t *testing.T, binary, generation, file string) {
	t.Parallel()
	s := newStack(t, file)
	s.keepRunning()
	t.Cleanup(s.down)
	s.compose(generation, "up", "-d", "--pull", "never", "-t", "0")
	made := s.containers()
	s.run("docker", "rm", "-f", made[len(made)-1])
	s.reconcile(binary)
	before := s.containers()
	if len(before) != len(made) {
		t.Fatalf("composure left %d of %d containers", len(before), len(made))
	}
	s.compose(generation, "up", "-d", "--pull", "never", "-t", "0")
	s.unchanged("docker compose "+generation, before)
}

// keepRunning adds an override file in which services are meant to run that have nothing else that says so, and
// count as started at once.
func (s *stack) keepRunning() {
	s.t.Helper()
	var text strings.Builder
	text.WriteString("x-composure: {min_healthy: 100ms}\nservices:\n")
	for _, svc := range load(s.t, s).Services {
		fmt.Fprintf(&text, "  %s: {", svc.Name)
		if endsByItself := svc.Name == "job" || svc.Name == "migrate"; !endsByItself && svc.Restart == "no" && !slices.Contains(endless, s.file) {
			text.WriteString("restart: unless-stopped")
		}
		text.WriteString("}\n")
	}
	s.override = filepath.Join(s.t.TempDir(), "override.yaml")
	if err := os.WriteFile(s.override, []byte(text.String()), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// reconcile makes the stack what its files say.
func (s *stack) reconcile(binary string) {
	s.t.Helper()
	timeout, accepted := "5m", 0
	if slices.Contains(endless, s.file) {
		timeout, accepted = "20s", 1
	}
	ctx, cancel := context.WithTimeout(context.Background(), 6*time.Minute)
	defer cancel()
	args := append([]string{"reconcile", "--once", "--timeout", timeout, "--state-dir", s.t.TempDir()}, s.selection()...)
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = s.env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == accepted {
		err = nil
	}
	if err != nil {
		s.t.Fatalf("composure %s: %v\n%s", strings.Join(args, " "), err, out.String())
	}
}

// containers are the ids of the stack's containers in whatever state, sorted by name.
func (s *stack) containers() []string {
	s.t.Helper()
	out := s.run("docker", "ps", "-a", "--no-trunc", "--filter", "label="+spec.LabelProject+"="+s.project(), "--format", "{{.Names}} {{.ID}}")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	slices.Sort(lines)
	var ids []string
	for _, line := range lines {
		if _, id, ok := strings.Cut(line, " "); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

func (s *stack) unchanged(who string, before []string) {
	s.t.Helper()
	if after := s.containers(); !slices.Equal(before, after) {
		s.t.Errorf("%s recreated containers: before %v, after %v", who, before, after)
	}
}
