//go:build linux

package crash

import (
	"fmt"
	"strings"
	"testing"

	"composure/test/dockerd"
	"composure/test/rig"
)

// TestLostProcess: an engine that was killed has forgotten a process. Nothing is started beside it, by no verb and not by
// healing, which calls people and says what to end; once they have ended it, the service is started.
func TestLostProcess(t *testing.T) {
	t.Parallel()
	d := dockerd.Start(t, dockerd.Options{Images: []string{rig.Image}})
	l := newLab(t, d, "lost", strings.Replace(web, "restart: always", `restart: "no"`, 1))
	pid := l.Inspect("web").State.Pid
	l.Must(d.Lose())
	if s := l.Inspect("web").State; s.Running {
		t.Fatalf("the engine has not lost it: %+v", s)
	}
	said := fmt.Sprintf("its process %d (", pid)
	for _, args := range [][]string{rig.Once(), {"restart", "--hard", "--force", "web"}, {"diagnose", "web"}} {
		if r := l.Composure(args...); r.Code != 1 || !strings.Contains(r.Out+r.Err, said) {
			t.Errorf("it is not said what still runs, process %d: %s", pid, r)
		}
	}
	run := l.Start("reconcile")
	l.Until("people are called", func() bool {
		for _, i := range l.Incidents() {
			if i.Cause == "lost_process" && len(i.Escalated) > 0 {
				return true
			}
		}
		return false
	})
	if s := l.Inspect("web").State; s.Running {
		t.Error("a second one was started beside the process that the engine has lost")
	}
	l.Must(d.Command("kill", "-9", fmt.Sprint(pid)).Run())
	l.Until("the service is started", func() bool { return l.Inspect("web").State.Running })
	l.Must(run.Term())
	run.Wait()
	l.Converge()
	l.Intact("web")
}
