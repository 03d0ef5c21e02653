package e2e

import "testing"

// TestPausedIsNotDeployed: what somebody has paused to work on it by hand is not touched by a deployment, such as cron's. It
// says so, and goes on with the rest.
func TestPausedIsNotDeployed(t *testing.T) {
	t.Parallel()
	p := newStack(t, "hands-off", web+`  other:
    image: composure-test/busybox:1
    command: [sleep, "1000"]
    restart: always
    stop_signal: SIGKILL
`)
	p.converge()
	p.wants(0, []string{"pause", "web", "--reason", "a migration"})
	p.wants(0, once(), "converged") // it is as it should be
	p.docker("stop", p.container("web"))
	p.docker("rm", "-f", p.container("other"))
	p.wants(1, []string{"reconcile", "--once", "--dry-run"}, "a migration")
	p.wants(1, []string{"drift"}, "but not now: paused by", "`composure resume web` ends that")
	p.wants(1, once(), "NOT converged", "web 1: paused by", "a migration", "`composure resume web` ends that")
	if state := p.inspect(p.container("web")).State; state.Running {
		t.Error("a paused service was started")
	}
	if !p.inspect(p.container("other")).State.Running {
		t.Error("another service was not started")
	}
	p.wants(0, []string{"resume", "web"})
	p.converge()
}
