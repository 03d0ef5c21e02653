package interop

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/versions"

	"composure/controller/observe"
	"composure/spec"
)

// TestNewerEngine: what needs a newer engine is made there without drift, and named, with its line, before anything is
// touched on an older one.
func TestNewerEngine(t *testing.T) {
	built := peers()
	if len(built) == 0 {
		t.Log("docker compose is not built (hack/peers.sh): held by the golden create requests alone")
		return
	}
	e := connect(t)
	about, err := e.Engine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := newStack(t, "newer")
	s.path = "testdata/newer.yaml"
	t.Cleanup(s.down)
	if versions.LessThan(about.APIVersion, "1.49") {
		refuses(t, s, about)
		return
	}
	t.Logf("engine %s (API %s) has it all", about.Version, about.APIVersion)
	desired := load(t, s)
	for _, generation := range generations {
		if built[generation] == "" {
			continue
		}
		s.compose(generation, "up", "-d", "--pull", "never", "--force-recreate", "-t", "0")
		snapshot, err := observe.Collect(t.Context(), e, desired)
		if err != nil {
			t.Fatal(err)
		}
		noDrift(t, generation, s.file, desired, snapshot)
	}
}

// refuses: exit status 1, each key named with its place, no container.
func refuses(t *testing.T, s *stack, about observe.Engine) {
	t.Logf("engine %s (API %s) lacks them: refused", about.Version, about.APIVersion)
	cmd := exec.Command(buildComposure(t), append([]string{"reconcile", "--once", "--timeout", "5m", "--state-dir", t.TempDir()}, s.selection()...)...)
	cmd.Env = s.env
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("exit status: %v, want 1", err)
	}
	for _, want := range []string{"newer.yaml:9: services.web.healthcheck.start_interval", "Docker Engine 25.0"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
	if made := s.containers(); len(made) > 0 {
		t.Errorf("%d containers were made", len(made))
	}
	c, err := load(t, s).Container(load(t, s).Service("attached"), 1, spec.Facts{APIVersion: about.APIVersion})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Unable) == 0 {
		t.Error("nothing of the service `attached` is named")
	}
}
