package simengine

import (
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
)

// Daemon is the engine's own process: what can be done to it, on the real engine too, without a container being asked.
type Daemon struct{ e *Engine }

// Daemon returns the engine's own process.
func (e *Engine) Daemon() Daemon { return Daemon{e} }

// LiveRestore says whether containers survive the daemon from now on.
func (d Daemon) LiveRestore(on bool) error {
	d.e.mu.Lock()
	defer d.e.mu.Unlock()
	d.e.liveRestore = on
	return nil
}

// Term is SIGTERM: no connection is taken any more. Without live-restore all containers are stopped, which streams that are
// open see (engine fact 1). It returns when the daemon has ended.
func (d Daemon) Term() error {
	<-d.e.terminate()
	return nil
}

// Kill9 is kill -9: connections break, and the processes go on (engine facts 2 and 4).
func (d Daemon) Kill9() error {
	d.e.mu.Lock()
	defer d.e.mu.Unlock()
	d.e.leave()
	return nil
}

// Up starts the daemon again.
func (d Daemon) Up() error {
	d.e.mu.Lock()
	defer d.e.mu.Unlock()
	return d.e.comeBack()
}

// Stop is SIGSTOP: connections are accepted, by the kernel, and nothing is answered (engine fact 11).
func (d Daemon) Stop() error {
	d.e.mu.Lock()
	defer d.e.mu.Unlock()
	d.e.asleep = make(chan struct{})
	return nil
}

// Cont is SIGCONT: all that was asked for is done.
func (d Daemon) Cont() error {
	d.e.mu.Lock()
	defer d.e.mu.Unlock()
	close(d.e.asleep)
	d.e.asleep = nil
	return nil
}

// DaemonDies is kill -9 without live-restore, and a start after a while.
func (e *Engine) DaemonDies(away time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.liveRestore = false
	e.leave()
	e.comesBackAfter(away)
}

// DaemonRestarts is SIGTERM without live-restore, and a start a while after the end.
func (e *Engine) DaemonRestarts(away time.Duration) {
	_ = e.Daemon().LiveRestore(false)
	ended := e.terminate()
	go func() {
		<-ended
		e.comesBackAfter(away)
	}()
}

// DaemonRestoresLive is a restart with live-restore.
func (e *Engine) DaemonRestoresLive(away time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.liveRestore = true
	e.leave()
	e.comesBackAfter(away)
}

func (e *Engine) comesBackAfter(away time.Duration) {
	time.AfterFunc(away, func() { _ = e.Daemon().Up() })
}

// DaemonSleeps halts the daemon for a while.
func (e *Engine) DaemonSleeps(d time.Duration) {
	_ = e.Daemon().Stop()
	time.AfterFunc(d, func() { _ = e.Daemon().Cont() })
}

// terminate is SIGTERM; the channel is closed when the daemon has ended. Connections that are open are served until then.
func (e *Engine) terminate() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	ended := make(chan struct{})
	e.refuse()
	var stopping sync.WaitGroup
	for _, i := range e.ordered() {
		switch {
		case e.liveRestore || !i.state.Running:
		case i.does.StopTakes == 0 || i.state.Restarting:
			e.stopsFor(i)
		default:
			stopping.Go(func() {
				e.mu.Lock()
				defer e.mu.Unlock()
				if i.state.Running {
					e.stopsFor(i)
				}
			})
		}
	}
	go func() {
		stopping.Wait()
		e.mu.Lock()
		defer e.mu.Unlock()
		e.leave()
		close(ended)
	}()
	return ended
}

// stopsFor stops a container because the daemon ends: its restart policy is not off for that.
func (e *Engine) stopsFor(i *instance) {
	i.terminate(i.ownGrace())
	e.publish(i, events.ActionStop, nil)
}

// refuse takes no new connections. The lock is held.
func (e *Engine) refuse() {
	e.refusing = true
	e.socket.close()
}

// leave is the daemon's end: connections break, new ones are refused, nobody watches the processes. The lock is held.
func (e *Engine) leave() {
	e.refuse()
	e.down = true
	e.hub.close()
	for _, l := range e.lines {
		l.hangUp()
	}
	for _, i := range e.containers {
		i.missed = nil
	}
}

// comeBack is the daemon's start, whose events only its history has. What has ended meanwhile is found ended, without an
// event (engine fact 4); without live-restore what still runs is killed, which marks an `unless-stopped` as stopped by hand
// (engine fact 2). Then policies decide what is started, also of what was down before. One that runs is not started again, as
// when two restarts overlap. The lock is held.
func (e *Engine) comeBack() error {
	if !e.down {
		return nil
	}
	e.down, e.refusing = false, false
	e.hub.open()
	for _, i := range e.ordered() {
		switch {
		case i.missed != nil:
			i.end(*i.missed, true)
		case i.state.Restarting:
			i.end(i.state.ExitCode, true)
		case i.state.Running && !e.liveRestore:
			i.signalled("9")
			i.end(137, false)
			e.publish(i, events.ActionStop, nil)
			i.manual = i.policy() == container.RestartPolicyUnlessStopped
		}
		i.missed = nil
		if !i.state.Running && i.returns() {
			i.restarts, i.delay = 0, 0
			_ = i.start()
		}
	}
	return e.socket.open()
}

// returns says whether a start of the daemon starts a container: `always` also when it was stopped by hand, and none that
// has never run (engine facts 3 and 18).
func (i *instance) returns() bool {
	switch {
	case i.state.StartedAt == never:
		return false
	case i.policy() == container.RestartPolicyAlways:
		return true
	}
	return !i.manual && i.comesBack(i.state.ExitCode)
}
