package cli

import (
	"strings"
	"testing"
)

const stack = `x-composure: {min_healthy: 100ms, remediation: {stable: 2s}}
services:
  web:
    image: composure-test/busybox:1
    command: [httpd, -f, -p, "8080"]
    stop_signal: SIGKILL
    restart: unless-stopped
    environment: {V: "1"}
  db:
    image: composure-test/busybox:1
    command: [sleep, "1000000"]
    stop_signal: SIGKILL
    restart: unless-stopped
    volumes: ["data:/data"]
    x-composure: {integrity: [{name: rows, command: [test, -s, /data/rows]}]}
volumes: {data: {}}
`

func TestRestart(t *testing.T) {
	t.Parallel()
	p := newProject(t, "restart", stack)
	p.says(0, []string{"history"}, "nothing is on record yet")
	p.says(0, []string{"incidents", "list", "web"}, "no incidents")
	p.says(2, []string{"incidents", "list", "wbe"}, "no such service: wbe") // it would read as if all were well
	p.says(2, []string{"incidents", "list", "--limit", "0"}, "--limit: 0 is too few")
	p.wants(0, "reconcile", "--once")

	id, started := p.container("web", ".Id"), p.container("web", ".State.StartedAt")
	p.says(0, []string{"restart", "web", "--dry-run"}, "restart "+p.name+"-web-1")
	if p.container("web", ".State.StartedAt") != started {
		t.Fatal("a dry run restarted it")
	}
	p.says(0, []string{"restart", "web", "--reason", "stuck"}, "web: restarted (graceful) and well")
	if p.container("web", ".Id") != id || p.container("web", ".State.StartedAt") == started {
		t.Error("a graceful restart keeps the container and starts it anew")
	}
	p.wants(0, "restart", "web", "--hard")
	if p.container("web", ".Id") == id || p.container("web", ".State.Status") != "running" {
		t.Error("a hard restart makes the container anew")
	}
	p.says(2, []string{"restart", "db", "--hard"}, "db keeps data", "--force")
	p.docker("exec", p.name+"-web-1", "dd", "if=/dev/zero", "of=/scratch", "bs=1M", "count=65")
	p.says(2, []string{"restart", "web", "--hard"}, "65MiB outside its volumes", "--force")

	if left := read[stackStatus](p, "status").of("web").BudgetLeft; left != 1 {
		t.Errorf("%d attempts are left of 3 after two", left)
	}
	h := read[history](p, "history", "web")
	var rungs []string
	for _, a := range h.Attempts {
		if a.Counts {
			rungs = append(rungs, a.Kind+" "+a.Outcome+" "+a.Verdict)
		}
	}
	if got := strings.Join(rungs, ", "); got != "hard done recovered, graceful done recovered" {
		t.Errorf("the history has %s", got)
	}
	if len(read[history](p, "history", "--limit", "1").Attempts) != 1 {
		t.Error("--limit 1 shows more")
	}
}

// TestFailedHardRestart: the new container never gets healthy, so the old one is put back and the answer is 1.
func TestFailedHardRestart(t *testing.T) {
	t.Parallel()
	p := newProject(t, "failed", `x-composure: {min_healthy: 100ms}
services:
  web:
    image: composure-test/busybox:1
    command: [sh, -c, "touch /tmp/first; exec sleep 1000000"]
    stop_signal: SIGKILL
    restart: unless-stopped
    healthcheck: {test: [CMD, test, "!", -e, /shared/broken], interval: 1s, retries: 1, timeout: 30s}
    volumes: ["./shared:/shared"]
`)
	p.docker("run", "--rm", "--name", p.name+"-prepare", "-v", p.dir+":/dir", "composure-test/busybox:1", "mkdir", "/dir/shared")
	p.wants(0, "reconcile", "--once")
	id := p.container("web", ".Id")
	p.docker("run", "--rm", "--name", p.name+"-break", "-v", p.dir+":/dir", "composure-test/busybox:1", "touch", "/dir/shared/broken")
	p.says(1, []string{"restart", "web", "--hard"}, "NOT converged")
	if p.container("web", ".Id") != id {
		t.Error("the old container was not put back")
	}
	p.docker("run", "--rm", "--name", p.name+"-clean", "-v", p.dir+":/dir", "composure-test/busybox:1", "rm", "-r", "/dir/shared")
}

func TestRollback(t *testing.T) {
	t.Parallel()
	p := newProject(t, "rollback", stack)
	p.says(2, []string{"rollback", "web"}, "nothing that was applied", "reconcile --once")
	p.wants(0, "reconcile", "--once")
	first := read[history](p, "history").Revisions[0].ID
	p.says(2, []string{"rollback", "web"}, "no other revision of web was proven stable")
	p.says(2, []string{"rollback", "web", "--to", first}, "there is nothing to go back to")
	p.says(2, []string{"rollback", "db", "--to", first}, "db keeps data", "--force")

	p.write(strings.Replace(stack, `V: "1"`, `V: "2"`, 1))
	p.wants(0, "reconcile", "--once")
	p.says(0, []string{"rollback", "web", "--to", first[:8], "--dry-run"}, "back to revision "+first, "create "+p.name+"-web-1")
	p.runs("2")
	p.says(0, []string{"rollback", "web", "--to", first[:8], "--reason", "slow"}, "rolled back and well", "composure release web")
	p.runs("1")
	p.says(2, []string{"rollback", "web"}, "rolled back already")

	s := read[stackStatus](p, "status")
	if len(s.Decisions) != 1 || s.Decisions[0].Kind != "rollback" || s.Decisions[0].Reason != "slow" || s.Decisions[0].Owner == "" {
		t.Errorf("the status has the decisions %+v", s.Decisions)
	}
	p.wants(0, "reconcile", "--once")
	p.runs("1") // no pass fights it

	p.wants(0, "release", "web")
	p.wants(0, "reconcile", "--once")
	p.runs("2")
	if d := read[history](p, "history").Decisions; len(d) != 1 || d[0].Value != first || d[0].Ended == nil {
		t.Errorf("the history has the decisions %+v", d)
	}
}

// runs wants the web container of one version of the file.
func (p *project) runs(version string) {
	p.t.Helper()
	if env := p.container("web", ".Config.Env"); !strings.Contains(env, "V="+version) {
		p.t.Errorf("it runs with %s, expected V=%s", env, version)
	}
}

func TestBaseline(t *testing.T) {
	t.Parallel()
	p := newProject(t, "baseline", stack)
	p.wants(0, "reconcile", "--once")
	p.docker("exec", p.name+"-db-1", "sh", "-c", "echo row > /data/rows")
	p.says(2, []string{"baseline", "verify"}, "no baseline")
	p.says(2, []string{"baseline", "verify", "web"}, "has integrity checks")
	p.says(0, []string{"baseline", "capture"}, "rows", "captured")
	p.wants(0, "baseline", "verify", "db")
	p.docker("exec", p.name+"-db-1", "rm", "/data/rows")
	p.says(1, []string{"baseline", "verify"}, "fell", "was 1")
	p.docker("stop", p.name+"-db-1")
	p.says(2, []string{"baseline", "verify"}, "unknown")
}
