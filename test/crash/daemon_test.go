//go:build linux

package crash

import (
	"fmt"
	"testing"
	"time"

	"composure/test/dockerd"
	"composure/test/rig"
)

// down is how long a daemon is away.
const down = time.Second

// ends are what becomes of the daemon when a call reaches it.
var ends = []struct {
	name   string
	strike func(c *call) // after it nothing answers
	back   func(d *dockerd.Engine) error
}{
	{"terminated", func(c *call) { _ = c.daemon.Term() }, (*dockerd.Engine).Up},
	{"killed", func(c *call) { _ = c.daemon.Kill9() }, (*dockerd.Engine).Up},
	{"halted", func(c *call) { _ = c.daemon.Stop() }, (*dockerd.Engine).Cont},
}

// daemonFaults are the ends of a daemon before and after it has executed a call. A halted one is sent the call, and
// executes it when it goes on; Composure is killed meanwhile and run again, so that both meet.
func daemonFaults(end int, failed func(error)) []fault {
	e := ends[end]
	return []fault{
		{name: e.name + " before", late: true, strike: func(c *call) {
			e.strike(c)
			if e.name == "halted" {
				c.late(0)
				time.Sleep(100 * time.Millisecond) // until it is in the socket
				c.kill()
			}
			c.later(func() { time.Sleep(down); failed(e.back(c.daemon)) })
			c.abort()
		}},
		{name: e.name + " after", late: true, strike: func(c *call) {
			c.run()
			e.strike(c)
			c.later(func() { time.Sleep(down); failed(e.back(c.daemon)) })
			c.abort()
		}},
	}
}

// daemons end and halt the daemon itself, one of the test's own, at each call of a deployment, of its way back, and of
// remedies.
func daemons() (cells []cell) {
	for end, e := range ends {
		for _, liveRestore := range []bool{false, true} {
			if !liveRestore || e.name != "halted" { // that one does not end
				cells = append(cells, cell{fmt.Sprintf("daemon %s, live-restore %v", e.name, liveRestore), false, func(t *testing.T) { daemon(t, end, liveRestore) }})
			}
		}
	}
	return cells
}

func daemon(t *testing.T, end int, liveRestore bool) {
	d := dockerd.Start(t, dockerd.Options{Images: []string{rig.Image}, LiveRestore: liveRestore})
	failed := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	for _, f := range daemonFaults(end, failed) {
		for _, sc := range scenarios {
			if sc.name == "recreate" || sc.name == "undo" {
				t.Run(sc.name+", "+f.name, func(t *testing.T) { deploying(t, d, sc, &f) })
			}
		}
		for _, h := range healings {
			if h.name == "hard" || h.name == "repair" {
				t.Run("heal, "+h.name+", "+f.name, func(t *testing.T) { remedying(t, d, h, &f) })
			}
		}
	}
}
