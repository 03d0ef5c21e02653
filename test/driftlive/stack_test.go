package driftlive

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/google/go-cmp/cmp"

	"composure/controller/drift"
	"composure/controller/observe"
	"composure/spec"
	"composure/test/rig"
)

// want fails the test unless the report has exactly these drifts.
func (f *fixture) want(expected ...string) {
	f.t.Helper()
	names := strings.NewReplacer("$P", f.project, "$DIR", f.dir)
	var want []string
	for _, line := range expected {
		want = append(want, names.Replace(line))
	}
	if diff := cmp.Diff(want, lines(f.report().Drifts)); diff != "" {
		f.t.Errorf("drift (-want +got):\n%s", diff)
	}
}

// until waits for a state of the engine.
func (f *fixture) until(what string, reached func() bool) {
	f.t.Helper()
	for deadline := time.Now().Add(rig.Patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if reached() {
			return
		}
	}
	f.t.Fatalf("%s passed without: %s", rig.Patience, what)
}

const one = `
services:
  web:
    image: composure-test/busybox:1
    command: [sleep, "1000"]
    restart: always
    stop_signal: SIGKILL
`

func TestImageMadeByHand(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "image", map[string]string{"compose.yaml": one})
	ids := strings.Fields(f.docker("image", "inspect", "-f", "{{.Id}}", "composure-test/busybox:1", "composure-test/busybox:2"))
	short := func(i int) string { return strings.TrimPrefix(ids[i], "sha256:")[:12] }
	f.recreate("web", func(c *spec.Container) { c.Config.Image = "composure-test/busybox:2" })
	f.want("image: composure-test/busybox:1 (" + short(0) + ") → composure-test/busybox:2 (" + short(1) + ") [recreate, live]")
}

// TestTagMoved: somebody pulled or built; that is pending, and nobody's manual change.
func TestTagMoved(t *testing.T) {
	t.Parallel()
	const tag = "cmpsr-drift-tag:moving"
	if out, err := docker("tag", "composure-test/busybox:1", tag); err != nil {
		t.Fatal(out)
	}
	t.Cleanup(func() { docker("rmi", tag) })
	f := newFixture(t, "tag", map[string]string{"compose.yaml": strings.Replace(one, "composure-test/busybox:1", tag, 1)})
	f.docker("tag", "composure-test/busybox:2", tag)
	got := f.report().Drifts
	if len(got) != 1 || got[0].Field != drift.FieldImage || got[0].Origin != drift.OriginFile || got[0].Remedy != drift.RemedyRecreate {
		t.Errorf("got %v", lines(got))
	}
}

func TestUnhealthy(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "health", map[string]string{"compose.yaml": one + "    healthcheck: {test: [CMD, test, -e, /tmp/well], interval: 1s, retries: 1}\n"})
	f.until("unhealthy", func() bool { return f.observe().Containers[0].Health() == "unhealthy" })
	f.want("health: healthy → unhealthy [restart, live]")
	f.docker("exec", f.project+"-web-1", "touch", "/tmp/well")
	f.until("healthy", func() bool { return f.observe().Containers[0].Health() == "healthy" })
	f.want()
}

// TestSharedNamespace: a container whose network another one shares is replaced; the other one then has none.
func TestSharedNamespace(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "shared", map[string]string{"compose.yaml": one + `
  a-vpn:
    image: composure-test/busybox:1
    command: [sleep, "1000"]
    restart: always
    stop_signal: SIGKILL
`})
	f.write(map[string]string{"compose.yaml": strings.Replace(one, "    restart: always\n", "    restart: always\n    network_mode: service:a-vpn\n", 1) + `
  a-vpn:
    image: composure-test/busybox:1
    command: [sleep, "1000"]
    restart: always
    stop_signal: SIGKILL
`})
	f.stack = f.load()
	f.reset("web")
	f.want()
	f.reset("a-vpn")
	got := f.report().Drifts
	if len(got) != 1 || got[0].Field != "network_mode" || got[0].Remedy != drift.RemedyRecreate || got[0].Origin != drift.OriginLive {
		t.Errorf("got %v", lines(got))
	}
}

func TestContainersTooFewTooManyAndStray(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "count", map[string]string{"compose.yaml": one + "    scale: 3\n  old:\n    image: composure-test/busybox:1\n    command: [sleep, '1000']\n    restart: always\n"})
	f.docker("rm", "-f", f.project+"-web-2")
	f.applied = f.stack
	f.want("replicas: 3 → 2 [in-place, live]")
	f.applied = nil
	f.write(map[string]string{"compose.yaml": one})
	f.stack = f.load()
	f.want("orphan: no such service → running [report, live]", "surplus: 1 replica → container 3 [report, live]")
}

func TestNetworkAndVolumeMadeAgainByHand(t *testing.T) {
	t.Parallel()
	const with = one + "    networks: [front]\n    volumes: ['data:/data']\nnetworks: {front: {}}\nvolumes: {data: {labels: {keep: 'yes'}}}\n"
	f := newFixture(t, "defs", map[string]string{"compose.yaml": with})
	label := func(kind, key string) []string {
		var args []string
		for _, l := range strings.Split(f.docker(kind, "inspect", "-f", "{{range $k, $v := .Labels}}{{$k}}={{$v}}\n{{end}}", f.project+"_"+key), "\n") {
			if l != "" && !strings.HasPrefix(l, "keep") {
				args = append(args, "--label", l)
			}
		}
		return args
	}
	network := append(append([]string{"network", "create", "--internal", "--opt", "com.docker.network.bridge.enable_icc=false"}, label("network", "front")...), f.project+"_front")
	volume := append(append([]string{"volume", "create", "--opt", "type=tmpfs", "--opt", "device=tmpfs"}, label("volume", "data")...), f.project+"_data")
	f.clear("web")
	f.docker("network", "rm", f.project+"_front")
	f.docker("volume", "rm", f.project+"_data")
	f.docker(network...)
	f.docker(volume...)
	f.up()
	f.want(
		"driver_opts.com.docker.network.bridge.enable_icc: unset → false [report, live]",
		"internal: false → true [report, live]",
		"driver_opts.device: unset → tmpfs [report, live]",
		"driver_opts.type: unset → tmpfs [report, live]",
		"labels.keep: yes → unset [report, live]",
	)
	f.clear("web")
	f.docker("network", "rm", f.project+"_front")
	f.docker("volume", "rm", f.project+"_data")
	f.applied = f.stack
	f.want("existence: exists → missing [in-place, live]", "existence: exists → missing [in-place, live]", "existence: exists → missing [in-place, live]")
}

// TestOrigins: what was edited in the file, what was changed by hand, and what was both.
func TestOrigins(t *testing.T) {
	t.Parallel()
	const limits = one + "    mem_limit: %M\n    environment: {A: '%A'}\n    pids_limit: 50\n"
	text := func(memory, a string) string { return strings.NewReplacer("%M", memory, "%A", a).Replace(limits) }
	f := newFixture(t, "origin", map[string]string{"compose.yaml": text("64m", "1")})
	f.applied = f.stack
	f.docker("update", "--memory", "48m", "--memory-swap", "96m", "--pids-limit", "20", f.project+"-web-1")
	f.write(map[string]string{"compose.yaml": text("128m", "2")})
	f.stack = f.load()
	f.want("environment.A: 2 → 1 [recreate, file]", "mem_limit: 128 MiB → 48 MiB [in-place, both]", "pids_limit: 50 → 20 [in-place, live]")
}

// TestFilesChangedUnderneath: content that docker compose does not see.
func TestFilesChangedUnderneath(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "files", map[string]string{
		"compose.yaml": one + "    secrets: [token]\n    configs: [inline]\n    volumes: ['./nginx.conf:/etc/nginx.conf:ro', './state:/state']\nsecrets: {token: {file: ./token}}\nconfigs: {inline: {content: a}}\n",
		"token":        "one", "nginx.conf": "one", "state/x": "one",
	})
	f.want()
	started := f.observe().Containers[0].StartedAt()
	for _, name := range []string{"token", "nginx.conf", "state/x"} {
		f.write(map[string]string{name: "two"})
		f.must(os.Chtimes(filepath.Join(f.dir, name), started.Add(time.Millisecond), started.Add(time.Millisecond))) // not in the future, which says nothing
	}
	compose, err := os.ReadFile(filepath.Join(f.dir, "compose.yaml"))
	f.must(err)
	f.write(map[string]string{"compose.yaml": strings.Replace(string(compose), "content: a", "content: b", 1)})
	f.stack = f.load()
	f.want(
		"configs.inline: the file's content → other content [recreate, file]",
		"secrets.token: the file's content → content from before the start [restart, file]",
		"volumes./etc/nginx.conf: the file's content → content from before the start [report, file]",
	)
}

func TestStates(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "state", map[string]string{"compose.yaml": `
services:
  completed:
    image: composure-test/busybox:1
    command: ["true"]
  failed:
    image: composure-test/busybox:1
    command: ["false"]
  looping:
    image: composure-test/busybox:1
    command: ["false"]
    restart: always
`})
	// The loop runs for a moment each time: it is looked at until it is caught between two runs.
	f.until("the one-shots have ended and the loop waits for its next run", func() bool {
		got := lines(f.report().Drifts)
		return cmp.Equal(got, []string{"state: completed → exited (1) [in-place, live]", "state: running → restarting, exited (1) [report, live]"})
	})
}

// TestCheckoutElsewhere: the same project from another directory, as a CI job has it.
func TestCheckoutElsewhere(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "ci", richFiles)
	f.dir = t.TempDir()
	f.write(richFiles)
	f.stack = f.load()
	f.want()
	f.write(map[string]string{"compose.yaml": strings.Replace(rich, "./conf:/conf:ro", "./other:/conf:ro", 1)})
	f.stack = f.load()
	f.want("volumes./conf: bind $DIR/other (read-only) → bind $DIR/conf (read-only) [recreate, file]")
}

// TestSecretsStayHidden: a secret that was changed by hand is a drift, and neither value is anywhere in the report.
func TestSecretsStayHidden(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "secret", map[string]string{"compose.yaml": one + "    environment: {DB_PASSWORD: '${DB_PASSWORD}'}\n"})
	f.recreate("web", func(c *spec.Container) { c.Config.Env = []string{"DB_PASSWORD=swordfish"} })
	report := f.report()
	if len(report.Drifts) != 1 || report.Drifts[0].Field != "environment.DB_PASSWORD" {
		t.Fatalf("got %v", lines(report.Drifts))
	}
	text, err := drift.Render("json", report, drift.RenderOptions{})
	f.must(err)
	if strings.Contains(text, "swordfish") || strings.Contains(text, "hunter2") {
		t.Errorf("a secret is in the report:\n%s", text)
	}
	if !strings.Contains(report.Drifts[0].Cause, "secret") {
		t.Errorf("nothing says that the values differ: %s", report.Drifts[0].Cause)
	}
}

// TestInPlaceIsInPlace: what is said to be repaired in place is repaired by one update with the desired limits and
// policy, and by connecting again; nothing is left, and the container is the same.
func TestInPlaceIsInPlace(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "inplace", richFiles)
	name := f.project + "-web-1"
	before := f.observe().Containers[0]
	f.docker("update", "--memory", "48m", "--memory-swap", "72m", "--memory-reservation", "16m", "--cpus", "1", "--pids-limit", "7", "--restart", "no", name)
	f.docker("network", "disconnect", f.project+"_back", name)
	for _, d := range f.report().Drifts {
		if d.Remedy != drift.RemedyInPlace {
			t.Errorf("not in place: %s", lines([]drift.Drift{d}))
		}
	}
	c := f.desired(f.stack.Services[0], observe.Slot{Number: 1, Container: &before})
	f.must(f.eng.Update(t.Context(), before.ID, container.UpdateConfig{Resources: c.Host.Resources, RestartPolicy: c.Host.RestartPolicy}))
	for _, e := range c.Networks {
		if e.Network == f.project+"_back" {
			f.must(f.eng.Connect(t.Context(), e.Network, before.ID, e.Settings))
		}
	}
	f.want()
	if after := f.observe().Containers[0]; after.ID != before.ID || after.StartedAt() != before.StartedAt() {
		t.Error("the container was replaced or restarted")
	}
}

// TestRestartPolicyAddedByHand: a service that sets no policy has the engine's default, and is brought back to it.
func TestRestartPolicyAddedByHand(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "policy", map[string]string{"compose.yaml": strings.Replace(one, "    restart: always\n", "", 1)})
	before := f.observe().Containers[0]
	f.docker("update", "--restart", "always", before.Name)
	f.want("restart: no → always [in-place, live]")
	f.must(f.eng.Update(t.Context(), before.ID, container.UpdateConfig{RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled}}))
	f.want()
}
