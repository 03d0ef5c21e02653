package cli

import "testing"

// TestDump: a stack dump is asked for by a signal inside the container, shown, and only where the policy names the signal.
func TestDump(t *testing.T) {
	t.Parallel()
	p := newProject(t, "dump", `services:
  web:
    image: composure-test/busybox:1
    command: [sh, -c, "trap 'echo stacks of all threads' USR1; while :; do sleep 1; done"]
    stop_signal: SIGKILL
    restart: always
    x-composure: {min_healthy: 1s, remediation: {stack_dump: USR1}}
  mute:
    image: composure-test/busybox:1
    command: [sleep, "1000"]
    stop_signal: SIGKILL
    x-composure: {min_healthy: 1s}
`)
	p.wants(0, "reconcile", "--once")
	run := p.container("web", ".State.StartedAt")
	p.says(2, []string{"diagnose", "--dump"}, "name the services")
	p.says(2, []string{"diagnose", "mute", "--dump"}, "stack_dump is not set")
	p.says(0, []string{"diagnose", "web", "--dump"}, "after SIGUSR1", "stacks of all threads", "container running? → yes")
	if again := p.container("web", ".State.StartedAt"); again != run {
		t.Errorf("it was started again: %s, then %s", run, again)
	}
}
