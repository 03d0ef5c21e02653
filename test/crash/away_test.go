//go:build linux

package crash

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"composure/test/dockerd"
	"composure/test/proxy"
	"composure/test/rig"
)

// TestBackAtOnce: a daemon that crashes and is started again while its socket stays, as systemd's does, refuses nobody: only the stream
// of events breaks. What it leaves down is started, also where the policy holds what a person stops.
func TestBackAtOnce(t *testing.T) {
	t.Parallel()
	d := dockerd.Start(t, dockerd.Options{Images: []string{rig.Image}})
	file := strings.Replace(web, "x-composure: {", "x-composure: {manual_stop: hold, ", 1)
	l := newLab(t, d, "away", strings.Replace(file, "restart: always", "restart: unless-stopped", 1))
	l.Through = proxy.New(t, patient(d)).Host
	run := l.Start("reconcile")
	l.Until("it watches", func() bool { return strings.Contains(run.Said(), "watching") })
	time.Sleep(2 * time.Second) // a stream that ends within its first second was not accepted
	before := l.Inspect("web").State.StartedAt
	l.Must(d.Kill9())
	l.Must(d.Up())
	l.Until("the service is started", func() bool {
		s := l.Inspect("web").State
		return s.Running && s.StartedAt != before
	})
	l.Must(run.Term())
	run.Wait()
	l.Through = ""
	l.Intact("web")
}

// patient waits for a daemon that does not take connections, as its socket does.
func patient(d *dockerd.Engine) proxy.Dial {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		for {
			conn, err := d.Dial(ctx, network, address)
			if err == nil || ctx.Err() != nil {
				return conn, err
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}
