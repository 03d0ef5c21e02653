package crash

import (
	"strings"
	"testing"

	"composure/test/dockerd"
	"composure/test/rig"
)

// recheck makes the engine check the containers again that it has forgotten: before version 23 it forgets the healthchecks of all
// that outlive its restart, as Composure then says.
func (l *lab) recheck() {
	l.T.Helper()
	for _, id := range strings.Fields(l.Docker("ps", "-q", "--filter", "label=com.docker.compose.project="+l.Name, "--filter", "status=running")) {
		if l.Docker("inspect", "--format", "{{if .State.Health}}checked{{end}}", id) == "checked" {
			l.Docker("pause", id)
			l.Docker("unpause", id)
		}
	}
}

// TestForgottenChecks: after a restart of an engine with live-restore what it says of a container's health may be only what it
// last was. That counts as not known, with what to do, until the engine checks again.
func TestForgottenChecks(t *testing.T) {
	t.Parallel()
	d := dockerd.Start(t, dockerd.Options{Images: []string{rig.Image}, LiveRestore: true})
	l := newLab(t, d, "forgotten", with(`    healthcheck: {test: [CMD, "true"], interval: 1s, timeout: 5s, retries: 2}
`))
	l.Must(d.Kill9())
	l.Must(d.Up())
	frozen := l.Inspect("web").State.Health.Log
	forgets := true
	l.Until("the engine checks again, or Composure says that it does not", func() bool {
		now := l.Inspect("web").State.Health.Log
		forgets = len(now) == len(frozen) && now[len(now)-1].End.Equal(frozen[len(frozen)-1].End)
		return !forgets || l.Composure("drift").Code == 2
	})
	if !forgets { // version 23 and later
		l.Wants(0, "drift")
		return
	}
	once := rig.Once("--timeout", "20s") // it waits so long for a check that never comes
	for _, c := range []struct {
		args []string
		code int
	}{{[]string{"drift"}, 2}, {[]string{"status"}, 0}, {once, 1}} {
		if r := l.Composure(c.args...); r.Code != c.code || !strings.Contains(r.Out+r.Err, "the engine has not run its healthcheck since") {
			t.Errorf("nothing is said of it: %s", r)
		}
	}
	l.recheck()
	l.Converge()
	l.Wants(0, "drift")
}
