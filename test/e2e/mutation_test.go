package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"composure/controller/engine"
	"composure/controller/observe"
	"composure/spec"
	"composure/test/mutation"
	"composure/test/ports"
)

const secret = "hunter2hunter2"

// TestEveryMutationIsRepaired makes each change of the list by hand, with all labels of docker compose kept. Drift
// says exactly what differs, in which words, `reconcile --once` repairs it, drift is clean, and the data is where it was. Some stacks are
// worked on at a time: most of the time is spent waiting for the engine.
func TestEveryMutationIsRepaired(t *testing.T) {
	t.Parallel()
	const stacks = 3
	pool := make(chan *project, stacks)
	for i := range stacks {
		pool <- richStack(t, fmt.Sprintf("mut%d", i))
	}
	t.Run("each", func(t *testing.T) {
		for _, m := range mutation.All() {
			t.Run(m.Name, func(t *testing.T) {
				t.Parallel()
				p := <-pool
				defer func() { pool <- p }()
				p.t = t
				repairs(p, m)
			})
		}
	})
	close(pool)
	for p := range pool {
		p.t = t
		p.sameAfterCompose()
	}
}

// richStack brings a stack of mutation.Rich up.
func richStack(t *testing.T, name string) *project {
	t.Helper()
	files := maps.Clone(mutation.Files)
	files["compose.yaml"] = short + mutation.Rich
	files["compose.override.yaml"] = "networks: {front: " + subnet() + ", back: " + subnet() + "}\n"
	p := newProject(t, name, files)
	p.env = append(p.env, "DB_PASSWORD="+secret)
	p.docker("volume", "create", p.name+"_other")
	p.docker("network", "create", "--subnet", addresses(), p.name+"_foreign")
	p.converge()
	p.docker("exec", "--user", "0", p.container("web"), "sh", "-c", "echo kept > /data/row; echo kept > /scratch/row")
	return p
}

func repairs(p *project, m mutation.Mutation) {
	p.t.Helper()
	names := p.Names() // before: the container may have another one after it
	m.Do(p)
	var want, got []string
	for _, line := range m.Want {
		want = append(want, names.Replace(line))
	}
	for _, d := range p.drift().Drifts {
		got = append(got, d.Field+": "+d.Desired+" → "+d.Observed+" ["+d.Remedy+"]")
		if d.Origin != "live" {
			p.t.Errorf("%s: origin %s, but nobody edited the file", d.Field, d.Origin)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		p.t.Errorf("drift (-want +got):\n%s", diff)
	}
	p.converge()
	p.has("web-1")
	if got := p.docker("exec", p.container("web"), "cat", "/data/row"); got != "kept" {
		p.t.Errorf("the volume's data is gone: %q", got)
	}
}

// Recreate, Docker and Names make a project a mutation.Stack.
func (p *project) Recreate(service string, change func(*spec.Container)) {
	p.t.Helper()
	stack, err := spec.Load(p.t.Context(), spec.Options{WorkingDir: p.dir, ProjectName: p.name, Environ: p.env})
	p.must(err)
	eng, err := engine.Connect(p.t.Context(), engine.Options{ConfigDir: p.t.TempDir()})
	p.must(err)
	defer eng.Close()
	snapshot, err := observe.Collect(p.t.Context(), eng, stack)
	p.must(err)
	svc := stack.Service(service)
	slot := observe.Slots(svc, snapshot)[0]
	c, err := stack.Container(svc, slot.Number, observe.Facts(stack, svc, slot, snapshot))
	p.must(err)
	config, host := *c.Config, *c.Host
	config.Labels = maps.Clone(c.Config.Labels)
	c.Config, c.Host = &config, &host
	change(&c)
	p.docker("rm", "-f", p.container(service)) // without -v: anonymous volumes are carried over
	id, err := eng.CreateContainer(p.t.Context(), c.Name, c)
	p.must(err)
	p.must(eng.Start(p.t.Context(), id))
}

func (p *project) Docker(args ...string) string { return p.docker(args...) }
func (p *project) Names() *strings.Replacer {
	return strings.NewReplacer("$P", p.name, "$C", p.container("web"), "$DIR", p.dir)
}

// web is the plainest service that is meant to run.
const web = `
services:
  web:
    image: composure-test/busybox:1
    command: [sleep, "1000"]
    restart: always
    stop_signal: SIGKILL
`

// TestStates puts a container into each state that it must not be in.
func TestStates(t *testing.T) {
	t.Parallel()
	p := newStack(t, "states", strings.Replace(web, "restart: always", "restart: unless-stopped", 1))
	p.converge()
	tests := []struct {
		name  string
		do    func(c string)
		field string
		same  bool // the container is not recreated
	}{
		{"stopped", func(c string) { p.docker("stop", c) }, "state in-place", true},
		{"killed", func(c string) { p.docker("kill", c) }, "state in-place", true},
		{"paused", func(c string) { p.docker("pause", c) }, "state in-place", true},
		{"created only", func(c string) {
			p.Recreate("web", func(*spec.Container) {})
			p.docker("rm", "-f", c)
			p.docker("create", "--name", c, "--label", "com.docker.compose.project="+p.name, "--label", "com.docker.compose.service=web",
				"--label", "com.docker.compose.oneoff=False", "--label", "com.docker.compose.container-number=1",
				"--label", "com.docker.compose.config-hash=x", "composure-test/busybox:1", "sleep", "1000")
		}, "state in-place", false},
		{"renamed", func(c string) { p.docker("rename", c, p.name+"-other") }, "name in-place", true},
		{"removed", func(c string) { p.docker("rm", "-f", c) }, "existence in-place", false},
		{"network removed", func(c string) {
			p.docker("network", "disconnect", p.name+"_default", c)
			p.docker("network", "rm", p.name+"_default")
		}, "existence in-place", true},
	}
	for _, test := range tests {
		p.sub(test.name, func() {
			before := p.id("web")
			test.do(p.container("web"))
			if got := p.drift().fields(); !slices.Contains(got, test.field) {
				p.t.Errorf("drift in %v, expected %s", got, test.field)
			}
			p.converge()
			p.has("web-1")
			if after := p.id("web"); test.same != (before == after) {
				p.t.Errorf("container %.12s is now %.12s", before, after)
			}
		})
	}
}

// TestCounts: replicas that are missing, that are too many, and a service that the file has no more.
func TestCounts(t *testing.T) {
	t.Parallel()
	const old = "  old:\n    image: composure-test/busybox:1\n    command: [sleep, '1000']\n    restart: always\n    stop_signal: SIGKILL\n    volumes: ['data:/data']\n"
	p := newStack(t, "counts", web+"    scale: 3\n"+old+"volumes: {data: {}}\n")
	p.converge()
	p.has("old-1", "web-1", "web-2", "web-3")
	first, third := p.id("web"), p.inspect(p.name+"-web-3").ID
	p.docker("rm", "-f", p.name+"-web-2")
	if got := p.drift().fields(); !slices.Equal(got, []string{"replicas in-place"}) {
		t.Errorf("drift in %v", got)
	}
	p.converge()
	p.has("old-1", "web-1", "web-2", "web-3")
	if p.id("web") != first || p.inspect(p.name+"-web-3").ID != third {
		t.Error("the other replicas were touched")
	}

	p.edit("    scale: 3\n"+old, "")
	if got := p.drift().fields(); !slices.Contains(got, "orphan report") || !slices.Contains(got, "surplus report") {
		t.Errorf("drift in %v", got)
	}
	p.wants(0, once(), "prune")
	p.has("old-1", "web-1", "web-2", "web-3")
	p.wants(0, once("--prune"))
	p.has("web-1")
	p.clean()
	p.docker("volume", "inspect", p.name+"_data")
	if p.id("web") != first {
		t.Error("the first replica was touched")
	}
}

// TestTagMoved: the image of the tag is another one than the container was made of.
func TestTagMoved(t *testing.T) {
	t.Parallel()
	tag := prefix + "tag:moving"
	p := newStack(t, "tag", strings.Replace(web, "composure-test/busybox:1", tag, 1))
	p.docker("tag", "composure-test/busybox:1", tag)
	t.Cleanup(func() { _, _ = docker("rmi", tag) })
	p.converge()
	p.docker("tag", "composure-test/busybox:2", tag)
	if got := p.drift(); !slices.Equal(got.fields(), []string{"image recreate"}) || got.Drifts[0].Origin != "file" {
		t.Errorf("drift %+v", got.Drifts)
	}
	p.converge()
	if got := p.docker("exec", p.container("web"), "cat", "/etc/version"); got != "2" {
		t.Errorf("version %s runs", got)
	}
	p.sameAfterCompose()
}

// TestTakenOut: what was taken out of the file is no default of the daemon, though the engine shows both alike.
func TestTakenOut(t *testing.T) {
	t.Parallel()
	const taken = "    ipc: shareable\n    logging: {driver: json-file, options: {max-size: 5m}}\n    environment: {HTTP_PROXY: 'http://proxy.invalid:3128'}\n"
	p := newStack(t, "taken", web+taken)
	p.converge()
	p.clean()
	p.edit(taken, "")
	if got, want := p.drift().fields(), []string{"environment.HTTP_PROXY recreate", "ipc recreate", "logging.options.max-size recreate"}; !slices.Equal(got, want) {
		t.Errorf("drift %q, not %q", got, want)
	}
	p.converge()
	if host := p.inspect(p.container("web")).HostConfig; host.IpcMode.IsShareable() || host.LogConfig.Config["max-size"] == "5m" {
		t.Errorf("it still has %s, %v", host.IpcMode, host.LogConfig.Config)
	}
	p.sameAfterCompose()
}

// TestFilesChanged: content that docker compose does not see.
func TestFilesChanged(t *testing.T) {
	t.Parallel()
	p := newStack(t, "files", web+`    configs: [inline, file]
    secrets: [token, variable]
configs: {inline: {content: level=1}, file: {file: ./a.conf}}
secrets: {token: {file: ./token}, variable: {environment: TOKEN}}
`)
	p.write(map[string]string{"a.conf": "one", "token": "first-token-value"})
	p.env = append(p.env, "TOKEN=first-variable-value")
	p.converge()
	content := func(path string) string { return p.docker("exec", p.container("web"), "cat", path) }

	p.edit("level=1", "level=2")
	if got := p.drift().fields(); !slices.Equal(got, []string{"configs.inline recreate"}) {
		t.Errorf("drift in %v", got)
	}
	p.converge()
	if got := content("/inline"); got != "level=2" {
		t.Errorf("the container reads %s", got)
	}

	p.env[len(p.env)-1] = "TOKEN=second-variable-value"
	seen := p.drift()
	if got := seen.fields(); !slices.Equal(got, []string{"secrets.variable recreate"}) {
		t.Errorf("drift in %v", got)
	}
	p.converge()
	if got := content("/run/secrets/variable"); got != "second-variable-value" {
		t.Errorf("the container reads %s", got)
	}

	// The engine mounts the file itself: a new one in its place is not seen by the container that runs.
	before := p.id("web")
	p.write(map[string]string{"new.conf": "two", "new.token": "second-token-value"})
	rename(t, p.dir, "new.conf", "a.conf")
	rename(t, p.dir, "new.token", "token")
	text := p.wants(1, []string{"drift"}, "configs.file", "secrets.token")
	for _, value := range []string{"first-token-value", "second-token-value"} {
		if strings.Contains(text.stdout, value) {
			t.Errorf("a secret is in the report: %s", text)
		}
	}
	p.converge()
	if got := content("/file") + " " + content("/run/secrets/token"); got != "two second-token-value" {
		t.Errorf("the container reads %s (recreated: %v)", got, p.id("web") != before)
	}
	p.sameAfterCompose()
}

// TestLeftovers: what recreations leave that were cut short, docker compose's and ours.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	p := newStack(t, "left", web)
	p.converge()

	// docker compose was killed after it had renamed the old container: its replacement is there, or is not.
	id := p.id("web")
	p.docker("rename", p.container("web"), id[:12]+"_"+p.container("web"))
	if got := p.drift().fields(); len(got) == 0 {
		t.Error("no drift")
	}
	p.converge()
	p.has("web-1")

	old := p.inspect(p.container("web"))
	args := []string{"create", "--name", id[:12] + "_" + p.container("web")}
	for k, v := range old.Config.Labels {
		args = append(args, "--label", k+"="+v)
	}
	p.docker(append(args, "composure-test/busybox:1", "sleep", "1000")...)
	if got := p.drift().fields(); len(got) == 0 {
		t.Error("no drift")
	}
	p.wants(0, once("--prune"))
	p.has("web-1")
	if p.id("web") != old.ID {
		t.Error("the container that ran was not kept")
	}
	p.clean()
}

// TestSecretsStayHidden: neither the value of the file nor the one that somebody put in its place is shown anywhere.
func TestSecretsStayHidden(t *testing.T) {
	t.Parallel()
	p := newStack(t, "secret", strings.Replace(web, `[sleep, "1000"]`, `[sh, -c, "sleep 1000", "${DB_PASSWORD}"]`, 1)+"    environment: {DB_PASSWORD: '${DB_PASSWORD}'}\n    labels: {login: 'app:${DB_PASSWORD}'}\n    healthcheck: {test: 'true || login -p$DB_PASSWORD', interval: 1s}\n")
	p.env = append(p.env, "DB_PASSWORD="+secret)
	p.converge()
	p.Recreate("web", func(c *spec.Container) {
		c.Config.Env, c.Config.Labels["login"] = []string{"DB_PASSWORD=swordfish99"}, "app:swordfish99"
		c.Config.Cmd = []string{"sh", "-c", "sleep 1000", "swordfish99"}
	})
	runs := []result{p.wants(1, once("--dry-run")), p.composure("--log-level", "debug", "drift")}
	for _, format := range []string{"text", "json", "markdown", "github", "junit", "sarif"} {
		runs = append(runs, p.wants(1, []string{"drift", "-o", format}, "environment.DB", "command", "labels.login"))
	}
	p.env[len(p.env)-1] = "DB_PASSWORD=newer-secret"
	runs = append(runs, p.wants(1, []string{"drift"}, "healthcheck.test"))
	p.write(map[string]string{"broken.yaml": "services: {web: {ports: ['${DB_PASSWORD}']}}\n"})
	runs = append(runs, p.wants(2, []string{"-f", "compose.yaml", "-f", "broken.yaml", "drift"}, "is not a port"))
	p.env[len(p.env)-1] = "DB_PASSWORD=" + secret
	runs = append(runs, p.wants(0, append([]string{"--log-level", "debug"}, once()...)))
	for _, r := range runs {
		if text := r.stdout + r.stderr; strings.Contains(text, "swordfish99") || strings.Contains(text, secret) || strings.Contains(text, "newer-secret") {
			t.Errorf("a secret is shown: %s", r)
		}
	}
	p.clean()
}

// TestRenamedService: with --prune the new name takes over the port and the volume of the old one, which runs until then.
// Without it, a second database is not started on the volume of the first.
func TestRenamedService(t *testing.T) {
	t.Parallel()
	port := ports.Text(t)
	p := newStack(t, "renamed", web+"    container_name: cmpsr-e2e-renamed_front\n    ports: ['127.0.0.1:"+port+":80']\n    volumes: ['data:/data']\n    x-composure: {stateful: true}\nvolumes: {data: {}}\n")
	p.converge()
	p.docker("exec", "cmpsr-e2e-renamed_front", "sh", "-c", "echo kept > /data/row")
	p.edit("  web:\n", "  site:\n")
	p.wants(1, once(), "site 1", "runs on its volume "+p.name+"_data", "--prune")
	if running := p.docker("ps", "--filter", "label="+spec.LabelProject+"="+p.name, "--format", `{{.Label "com.docker.compose.service"}}`); running != "web" {
		t.Errorf("%q runs", running)
	}
	p.wants(0, once("--prune"), "waits for cmpsr-e2e-renamed_front to be removed")
	p.clean()
	if got := p.docker("exec", "cmpsr-e2e-renamed_front", "cat", "/data/row"); got != "kept" {
		t.Errorf("the data is gone: %q", got)
	}
}
