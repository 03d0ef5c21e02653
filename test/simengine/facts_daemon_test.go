//go:build linux

package simengine_test

import (
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
)

// daemonFacts are about the end, the halt and the return of the daemon.
var daemonFacts = []fact{
	{1, "SIGTERM without live-restore: the socket is gone at once, while open streams live on and tell kill, die and stop of every container", true, func(s *subject) {
		slow, quick := s.start("slow", stubborn, stops("", 10)), s.start("quick", sleeps)
		stream := s.follow(events.ContainerEventType)
		down := s.meanwhile(s.daemon.Term)
		s.eventually(func() bool { return !s.takesConnections() })
		s.want(!stream.over(), "an open stream outlives the socket")
		_, err := s.Containers(s.Context(), s.prefix)
		s.answer("on a connection that was open", err)
		<-stream.done
		<-down
		s.note("slow: %s", stream.of(slow))
		s.note("quick: %s", stream.of(quick))
		s.must(s.daemon.Up())
		s.state(slow)
		s.state(quick)
	}},
	{2, "kill -9 without live-restore: the stream breaks, the stale socket refuses, containers run on; then the daemon kills them, before anybody can listen, and only `always` comes back", true, func(s *subject) {
		names := []string{"always", "unless-stopped", "no"}
		ids := []string{s.start(names[0], sleeps, always), s.start(names[1], sleeps, unless), s.start(names[2], sleeps)}
		stream := s.follow(events.ContainerEventType)
		ran := []*container.InspectResponse{s.look(ids[0]), s.look(ids[1]), s.look(ids[2])}
		s.must(s.daemon.Kill9())
		s.eventually(func() bool { return !s.takesConnections() })
		_, err := s.Containers(s.Context(), s.prefix)
		s.answer("while it is down", err)
		<-stream.done
		for n := range names {
			s.want(s.alive(names[n], ran[n]), names[n]+" runs on")
		}
		s.must(s.daemon.Up())
		s.until(ids[0], running)
		s.settled()
		since := s.past(events.ContainerEventType)
		for _, id := range ids {
			s.state(id)
			s.note("  since: %s", actions(since, id))
		}
	}},
	{3, "a clean restart brings back `always` and `unless-stopped`; `no` and an on-failure that ended with 0 stay down without any event", true, func(s *subject) {
		back := []string{s.start("always", sleeps, always), s.start("unless", sleeps, unless)}
		down := []string{s.start("no", sleeps), s.start("failing", graceful, failing, stops("", 10)), s.start("by-hand", sleeps, unless)}
		// `always` comes back also after a stop by hand, and an on-failure that the end of the daemon has ended with 137.
		back = append(back, s.start("always-by-hand", sleeps, always), s.start("failing-killed", sleeps, failing))
		s.must(s.Stop(s.Context(), down[2], nil))
		s.must(s.Stop(s.Context(), back[2], nil))
		s.must(s.daemon.Term())
		s.must(s.daemon.Up())
		for _, id := range back {
			s.until(id, running)
		}
		s.settled()
		since := s.past(events.ContainerEventType)
		for _, id := range append(back, down...) {
			s.state(id)
			s.note("  since: %s", actions(since, id))
		}
	}},
	{4, "live-restore: containers survive; what ends meanwhile emits no die that anybody could hear, and inspect is right afterwards", true, func(s *subject) {
		s.must(s.daemon.LiveRestore(true))
		survives, ends, again := s.start("survives", sleeps), s.start("ends", sleeps), s.start("again", sleeps, always)
		ran := []*container.InspectResponse{s.look(survives), s.look(ends), s.look(again)}
		s.must(s.daemon.Kill9())
		s.strike("ends", ran[1])
		s.strike("again", ran[2])
		s.must(s.daemon.Up())
		stream := s.follow(events.ContainerEventType)
		s.until(again, running)
		s.want(s.look(survives).State.StartedAt == ran[0].State.StartedAt, "it was not started anew")
		for _, id := range []string{survives, ends, again} {
			s.state(id)
			s.want(!strings.Contains(stream.of(id), "die"), "nobody hears that it has ended")
		}
		s.must(s.daemon.LiveRestore(false))
	}},
	{5, "the history of events is in memory: a restart empties it", true, func(s *subject) {
		id := s.start("a", sleeps)
		s.note("before: %s", actions(s.past(events.ContainerEventType), id))
		s.must(s.daemon.Term())
		s.must(s.daemon.Up())
		s.note("after: %s", actions(s.past(events.ContainerEventType), id))
	}},
	{11, "a halted daemon accepts connections and hangs; when it goes on it executes every call that had timed out", true, func(s *subject) {
		named, restarts := s.create("named", sleeps), s.start("restarts", sleeps)
		before := s.look(restarts).State.StartedAt
		s.must(s.daemon.Stop())
		made := s.request("made", sleeps)
		for _, call := range []struct {
			path string
			body any
		}{
			{"/containers/create?name=" + s.prefix + "-made", struct {
				*container.Config
				HostConfig *container.HostConfig
			}{made.Config, made.Host}},
			{"/containers/" + named + "/rename?name=" + s.prefix + "-renamed", nil},
			{"/containers/" + restarts + "/restart", nil},
		} {
			s.want(s.leaves(call.path, call.body) == -1, "nothing is answered")
		}
		s.must(s.daemon.Cont())
		s.until(s.prefix+"-made", func(c *container.InspectResponse) bool { s.ids = append(s.ids, c.ID); return true })
		s.until(s.prefix+"-renamed", func(*container.InspectResponse) bool { return true })
		s.until(restarts, func(c *container.InspectResponse) bool { return running(c) && c.State.StartedAt != before })
		for _, id := range s.ids {
			s.state(id)
		}
	}},
	{18, "a container that was created and never started is not started by a restart of the daemon", true, func(s *subject) {
		id := s.create("a", sleeps, always)
		s.must(s.daemon.Term())
		s.must(s.daemon.Up())
		s.settled()
		s.state(id)
	}},
}

// meanwhile does something in the background; the channel is closed when it is done.
func (s *subject) meanwhile(do func() error) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := do(); err != nil {
			s.Errorf("%s: %v", s.where(), err)
		}
	}()
	return done
}

// takesConnections says whether somebody listens at the engine's socket.
func (s *subject) takesConnections() bool {
	conn, err := s.dial(s.Context(), "", "")
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}
