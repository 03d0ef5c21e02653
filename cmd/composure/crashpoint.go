package main

import (
	"os"
	"strings"
	"syscall"

	"composure/controller/plan"
)

// crashPoint ends the process with SIGKILL before a step, when COMPOSURE_TEST_KILL_BEFORE names its operation and, after
// a colon, its target, or the beginning of it and a star. It is how the tests prove that a job survives being cut short
// anywhere.
func crashPoint(s plan.Step) {
	want := os.Getenv("COMPOSURE_TEST_KILL_BEFORE")
	if want == "" {
		return
	}
	step := string(s.Op) + ":" + s.Target
	if prefix, open := strings.CutSuffix(want, "*"); step == want || open && strings.HasPrefix(step, prefix) {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
}
