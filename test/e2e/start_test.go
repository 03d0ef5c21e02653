package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDryRunTouchesNothing: it prints the plan that a run begins with, and the engine says the same before and after.
func TestDryRunTouchesNothing(t *testing.T) {
	t.Parallel()
	p := newStack(t, "dry", web+"    volumes: ['data:/data']\nvolumes: {data: {}}\n")
	p.wants(1, once("--dry-run"), "create network "+p.name+"_default", "create volume "+p.name+"_data", "create "+p.container("web"), "start "+p.container("web"))
	if got := p.picture(); got != "" {
		t.Errorf("a dry run made %s", got)
	}
	p.converge()
	p.wants(0, once("--dry-run"), "nothing to do")

	p.docker("update", "--memory", "64m", "--memory-swap", "128m", p.container("web"))
	p.edit(`"1000"`, `"2000"`)
	before := p.picture()
	first, second := p.wants(1, once("--dry-run")), p.wants(1, []string{"reconcile", "--dry-run"})
	if first.stdout != second.stdout {
		t.Errorf("two plans of one state:\n%s\n%s", first, second)
	}
	p.wants(1, []string{"drift"})
	if after := p.picture(); before != after {
		t.Error("the engine was touched")
	}
	if entries, _ := os.ReadDir(filepath.Join(p.state, "captured")); len(entries) > 0 {
		t.Error("logs were captured")
	}
	p.converge()
}

// TestDependsOn: services start when what they depend on is so, and not before.
func TestDependsOn(t *testing.T) {
	t.Parallel()
	p := newStack(t, "order", `
x-service: &service
  image: composure-test/busybox:1
  command: [sleep, "1000"]
  restart: always
  stop_signal: SIGKILL
services:
  db:
    <<: *service
    command: [sh, -c, "sleep 1; touch /tmp/well; exec sleep 1000"]
    healthcheck: {test: [CMD, test, -e, /tmp/well], interval: 1s, retries: 50}
  migrate:
    <<: *service
    restart: "no"
    command: [sh, -c, "sleep 1; echo migrated"]
    depends_on: {db: {condition: service_healthy}}
  app:
    <<: *service
    depends_on: {migrate: {condition: service_completed_successfully}}
  side:
    <<: *service
    depends_on: [app]
`)
	p.converge()
	started := func(service string) time.Time { return p.when(p.inspect(p.container(service)).State.StartedAt) }
	if !started("migrate").After(started("db").Add(time.Second)) {
		t.Error("migrate did not wait for db to be healthy")
	}
	if !started("app").After(p.when(p.inspect(p.container("migrate")).State.FinishedAt)) {
		t.Error("app did not wait for migrate to complete")
	}
	if !started("side").After(started("app")) {
		t.Error("side did not wait for app")
	}

	// A second run finds nothing to do: the one-shot has done its work.
	before := p.picture()
	p.wants(0, once(), "converged")
	if p.picture() != before {
		t.Error("a run with nothing to do touched the stack")
	}
	if log := p.docker("logs", p.container("migrate")); log != "migrated" {
		t.Errorf("the one-shot ran again: %q", log)
	}
}

// TestOneShot runs once for what the file says: again when that changes, and what fails is put back.
func TestOneShot(t *testing.T) {
	t.Parallel()
	p := newStack(t, "oneshot", "services:\n  job:\n    image: composure-test/busybox:1\n    command: [sh, -c, 'echo first >> /data/log']\n"+
		"    restart: on-failure:1\n    x-composure: {min_healthy: 10s} # a machine that is busy takes its time to run it\n    volumes: ['data:/data']\n"+strings.TrimPrefix(web, "\nservices:\n")+"    volumes: ['data:/data']\nvolumes: {data: {}}\n")
	runs := func(want string) {
		t.Helper()
		if got := p.docker("exec", p.container("web"), "cat", "/data/log"); got != want {
			t.Errorf("the job left %q, expected %q", got, want)
		}
	}
	p.converge()
	p.converge()
	runs("first")
	p.edit("echo first", "echo second")
	p.wants(1, []string{"drift"}, "command")
	p.converge()
	p.converge()
	runs("first\nsecond")
	before := p.id("job")
	p.edit("echo second >> /data/log", "echo third >> /data/log; exit 7")
	p.wants(1, once(), "job 1", "exited with 7")
	if p.id("job") != before {
		t.Error("the job that had completed is not back")
	}
	p.has("job-1", "web-1")
}

func (p *project) when(text string) time.Time {
	p.t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	p.must(err)
	return at
}

// TestFailingDependency: what depends on a failed service is never started, and each service says why.
func TestFailingDependency(t *testing.T) {
	t.Parallel()
	p := newStack(t, "depfail", `
x-service: &service
  image: composure-test/busybox:1
  command: [sleep, "1000"]
  restart: always
  stop_signal: SIGKILL
services:
  migrate:
    <<: *service
    restart: "no"
    command: [sh, -c, "echo schema is broken; exit 4"]
  app:
    <<: *service
    depends_on: {migrate: {condition: service_completed_successfully}}
  side:
    <<: *service
    depends_on: [app]
  alone:
    <<: *service
`)
	r := p.wants(1, once("-o", "json"))
	var c conclusion
	p.must(json.Unmarshal([]byte(r.stdout), &c))
	if c.Schema != "composure.reconcile/v1" || c.Stack != p.name || c.Converged {
		t.Errorf("%+v", c)
	}
	p.held(c, "migrate", "exited with 4")
	p.held(c, "app", "migrate to complete")
	p.held(c, "side", "app to run")
	for _, h := range c.Held {
		if h.Service == "migrate" && strings.Join(h.Log, "\n") != "schema is broken" {
			t.Errorf("log tail %q", h.Log)
		}
	}
	for _, name := range p.names() {
		if name == "app-1" || name == "side-1" {
			if status := p.inspect(p.name + "-" + name).State.Status; status != "created" {
				t.Errorf("%s is %s", name, status)
			}
		}
	}
	if !p.inspect(p.container("alone")).State.Running {
		t.Error("a service that depends on nothing was not started")
	}

	p.edit("exit 4", "exit 0")
	p.converge()
}

// conclusion is `reconcile --once -o json`.
type conclusion struct {
	Schema, Stack, Reason string
	Converged             bool
	Held                  []struct {
		Subject, Service, Reason string
		Log                      []string
	}
}

// held wants a service to be held for a reason.
func (p *project) held(c conclusion, service, reason string) {
	p.t.Helper()
	for _, h := range c.Held {
		if h.Service == service && strings.Contains(h.Reason, reason) {
			return
		}
	}
	p.t.Errorf("%s is not held for %q: %+v", service, reason, c.Held)
}

// TestCrashLoop is never converged; the end of the log is shown without its secrets.
func TestCrashLoop(t *testing.T) {
	t.Parallel()
	p := newProject(t, "loop", map[string]string{"compose.yaml": "networks: {default: " + subnet() + "}" + strings.Replace(web, `[sleep, "1000"]`,
		"[sh, -c, 'echo cannot log in with $$DB_PASSWORD; exit 3']\n    environment: {DB_PASSWORD: '${DB_PASSWORD}'}", 1)})
	p.env = append(p.env, "DB_PASSWORD="+secret)
	r := p.wants(1, once(), "NOT converged", "crash loop", "exited with 3", "cannot log in with")
	if strings.Contains(r.stdout+r.stderr, secret) {
		t.Errorf("the secret is shown: %s", r)
	}
}

// TestUnhealthy is not converged, and says so with the answer of the last check.
func TestUnhealthy(t *testing.T) {
	t.Parallel()
	p := newStack(t, "ill", web+"    healthcheck: {test: [CMD, 'false'], interval: 1s, retries: 2}\n")
	p.wants(1, once(), "NOT converged", "web 1: unhealthy")
	p.edit("'false'", "'true'")
	p.converge()
}

// TestTimeout: a run that is over time says what it still waited for; a later one goes on.
func TestTimeout(t *testing.T) {
	t.Parallel()
	p := newStack(t, "late", web+"    healthcheck: {test: [CMD, test, -e, /tmp/well], interval: 1s, retries: 100000}\n")
	p.wants(1, []string{"reconcile", "--once", "--timeout", "20s"}, "NOT converged", "--timeout 20s", "web 1: healthcheck starting")
	p.docker("exec", p.container("web"), "touch", "/tmp/well")
	p.converge()
}

// TestSelection: named services with what they depend on, or without.
func TestSelection(t *testing.T) {
	t.Parallel()
	p := newStack(t, "select", web+`    depends_on: [db]
  db: &db
    image: composure-test/busybox:1
    command: [sleep, "1000"]
    restart: always
    stop_signal: SIGKILL
  other: *db
`)
	p.wants(0, once("web"))
	p.has("db-1", "web-1")
	db := p.id("db")
	p.edit("    command: [sleep, \"1000\"]\n    restart: always\n    stop_signal: SIGKILL\n  other", "    command: [sleep, \"3000\"]\n    restart: always\n    stop_signal: SIGKILL\n  other")
	p.docker("rm", "-f", p.container("web"))
	p.wants(0, once("--no-deps", "web"))
	p.has("db-1", "web-1")
	if p.id("db") != db {
		t.Error("--no-deps touched a dependency")
	}
	p.wants(2, once("wbe"), "no such service: wbe", "db, other, web")
	p.wants(0, []string{"drift", "web"})
	p.wants(1, []string{"drift", "db"}, "command")
	p.converge()
}

// TestPlainService: without restart policy, healthcheck and port it is not known whether it is meant to end; it counts
// when it has run for the minimum time, and when it has completed.
func TestPlainService(t *testing.T) {
	t.Parallel()
	p := newStack(t, "plain", strings.Replace(web, "    restart: always\n", "", 1))
	p.converge()
	p.docker("kill", p.container("web"))
	p.wants(1, []string{"drift"}, "state")
	p.converge()
}

// TestFormats: every format of drift is printed with the same exit status, and JSON says its version.
func TestFormats(t *testing.T) {
	t.Parallel()
	p := newStack(t, "formats", web)
	p.converge()
	for _, want := range []int{0, 1} {
		for _, format := range []string{"text", "json", "markdown", "github", "junit", "sarif"} {
			r := p.wants(want, []string{"drift", "-o", format})
			if format == "json" || format == "sarif" {
				var any map[string]any
				p.must(json.Unmarshal([]byte(r.stdout), &any))
				if schema, _ := any["schema"].(string); format == "json" && !strings.HasPrefix(schema, "composure.drift/v") {
					t.Errorf("schema %q", schema)
				}
			}
			if want == 1 && format == "github" && !strings.Contains(r.stdout, "::") {
				t.Errorf("no annotation: %s", r)
			}
		}
		p.docker("update", "--restart", "no", p.container("web"))
	}
	p.wants(2, []string{"drift", "-o", "xml"}, "xml")
	r := p.wants(0, once("-o", "json"))
	var c conclusion
	p.must(json.Unmarshal([]byte(r.stdout), &c))
	if !c.Converged || len(c.Held) != 0 {
		t.Errorf("%+v", c)
	}
}
