package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestUnsetVariable: what nobody wrote is not deployed.
func TestUnsetVariable(t *testing.T) {
	t.Parallel()
	p := newStack(t, "unset", web+"    environment: {LEVEL: '${LEVEL}'}\n")
	p.wants(1, once(), "NOT converged", "compose.yaml:9", "variable LEVEL is not set", "${LEVEL:-}")
	p.has()
	p.env = append(p.env, "LEVEL=info")
	p.converge()
	p.env = p.env[:len(p.env)-1]
	p.docker("stop", p.container("web"))
	p.wants(1, once(), "variable LEVEL is not set")
	if p.inspect(p.container("web")).State.Running {
		t.Error("something was done")
	}
	p.docker("start", p.container("web"))
	p.write(map[string]string{".env": "LEVEL=info\n"})
	p.converge()
}

// TestOtherDirectory: the same project name from elsewhere may be another stack.
func TestOtherDirectory(t *testing.T) {
	t.Parallel()
	p := newStack(t, "moved", web)
	p.converge()
	id, from := p.id("web"), p.dir
	text, err := os.ReadFile(filepath.Join(p.dir, "compose.yaml"))
	p.must(err)
	override, err := os.ReadFile(filepath.Join(p.dir, "compose.override.yaml"))
	p.must(err)
	p.dir = t.TempDir()
	p.write(map[string]string{"compose.yaml": string(text), "compose.override.yaml": string(override)})
	p.edit(`"1000"`, `"2000"`)
	p.wants(1, once(), "was deployed from "+from, "--take-over")
	if p.id("web") != id {
		t.Error("the stack of another directory was touched")
	}
	p.converge("--take-over")
	p.has("web-1")
	if got := p.inspect(p.container("web")).Config.Labels["com.docker.compose.project.working_dir"]; got != p.dir {
		t.Errorf("working_dir %s, expected %s", got, p.dir)
	}
	p.converge()
}

// TestExternal: a network and a volume belong to somebody else and are waited for by nobody.
func TestExternal(t *testing.T) {
	t.Parallel()
	p := newProject(t, "external", map[string]string{"compose.yaml": short + web + "    networks: [there]\n    volumes: ['kept:/kept']\n" + `  alone:
    image: composure-test/busybox:1
    command: [sleep, "1000"]
    restart: always
    stop_signal: SIGKILL
    network_mode: none
networks: {there: {external: true, name: cmpsr-e2e-external_there}}
volumes: {kept: {external: true, name: cmpsr-e2e-external_kept}}
`})
	p.wants(1, once(), "network cmpsr-e2e-external_there", "volume cmpsr-e2e-external_kept", "is external and does not exist")
	p.has("alone-1")
	p.docker("network", "create", "--subnet", addresses(), "cmpsr-e2e-external_there")
	p.docker("volume", "create", "cmpsr-e2e-external_kept")
	p.converge()
	p.has("alone-1", "web-1")
	p.clean()
}

// TestMissingImage: with pull_policy never nothing is fetched, and the policy's line is named.
func TestMissingImage(t *testing.T) {
	t.Parallel()
	p := newStack(t, "never", strings.Replace(web, "composure-test/busybox:1", "cmpsr-e2e-nowhere:1\n    pull_policy: never", 1))
	p.wants(1, once(), "cmpsr-e2e-nowhere:1", "pull_policy is never", "compose.yaml:6")
	p.has()
}

// TestDefinitions: a network or volume whose definition changed is never made anew: what a human must do is said.
func TestDefinitions(t *testing.T) {
	t.Parallel()
	p := newStack(t, "defs", web+"    volumes: ['data:/data']\nvolumes: {data: {labels: {keep: 'yes'}}}\n")
	p.converge()
	id, network := p.id("web"), p.docker("network", "inspect", "-f", "{{.Id}}", p.name+"_default")
	p.docker("exec", p.container("web"), "sh", "-c", "echo kept > /data/row")
	p.edit("keep: 'yes'", "keep: 'no'")
	p.write(map[string]string{"compose.override.yaml": "networks: {default: {internal: true}}\n"})
	if got := p.drift().fields(); !slices.Contains(got, "internal report") || !slices.Contains(got, "labels.keep report") {
		t.Errorf("drift in %v", got)
	}
	r := p.composure(once()...)
	if !strings.Contains(r.stdout, p.name+"_default") || !strings.Contains(r.stdout, p.name+"_data") {
		t.Errorf("nothing is said about the definitions: %s", r)
	}
	if p.id("web") != id || p.docker("network", "inspect", "-f", "{{.Id}}", p.name+"_default") != network {
		t.Error("made anew")
	}
	if got := p.docker("exec", p.container("web"), "cat", "/data/row"); got != "kept" {
		t.Errorf("the data is gone: %q", got)
	}
}

// TestEngineUnreachable is an error, and no drift.
func TestEngineUnreachable(t *testing.T) {
	t.Parallel()
	p := newStack(t, "away", web)
	p.flags = []string{"-H", "unix://" + filepath.Join(p.dir, "none.sock")}
	p.wants(2, []string{"drift"}, "none.sock")
	p.wants(2, once(), "none.sock")
	p.wants(2, once("--dry-run"), "none.sock")
}

// TestSymbolicLink: the same directory by another path is the same stack, and nothing differs.
func TestSymbolicLink(t *testing.T) {
	t.Parallel()
	p := newStack(t, "link", web+"    volumes: ['./conf:/conf:ro']\n")
	p.write(map[string]string{"conf/a": "a"})
	p.converge()
	id := p.id("web")
	link := filepath.Join(t.TempDir(), "current")
	p.must(os.Symlink(p.dir, link))
	p.flags = []string{"-f", filepath.Join(link, "compose.yaml"), "-f", filepath.Join(link, "compose.override.yaml")}
	p.clean()
	p.converge()
	if p.id("web") != id {
		t.Error("recreated")
	}
	p.docker("stop", p.container("web"))
	p.converge()
}

// TestUnable: what the engine cannot honour is said, with the line, before anything is touched.
func TestUnable(t *testing.T) {
	t.Parallel()
	p := newStack(t, "unable", web+"  mask:\n    image: composure-test/busybox:1\n    umask: '0077'\n")
	p.wants(1, once(), "NOT converged", "compose.yaml:11: services.mask.umask")
	if got := p.picture(); got != "" {
		t.Errorf("something was made: %s", got)
	}
	p.wants(2, []string{"drift"}, "services.mask.umask")
}
