//go:build linux

package simengine_test

import (
	"net/http"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/volume"

	"composure/test/simengine"
)

// volumeFacts are about what containers leave: volumes and logs.
var volumeFacts = []fact{
	{26, "`DELETE ?v=1` removes an anonymous volume of one user; without it, or with another user, it stays", false, func(s *subject) {
		for _, c := range []struct{ name, query string }{{"with", "?v=1"}, {"without", ""}, {"shared", "?v=1"}} {
			id := s.create(c.name, sleeps, anonymous)
			name := s.volumeOf(id)
			if c.name == "shared" {
				s.create("other", sleeps, func(_ *container.Config, h *container.HostConfig) { h.Binds = []string{name + ":/elsewhere"} })
			}
			s.call(http.MethodDelete, "/containers/"+id+c.query, nil)
			s.note("%s: the volume is there: %t", c.name, s.hasVolume(name))
		}
	}},
	{26, "stopping a --rm container deletes its anonymous volumes", false, func(s *subject) {
		id := s.start("a", sleeps, anonymous, func(_ *container.Config, h *container.HostConfig) { h.AutoRemove = true })
		name := s.volumeOf(id)
		s.answer("stop", s.Stop(s.Context(), id, nil))
		s.eventually(func() bool { return !s.hasVolume(name) })
		s.state(id)
	}},
	{26, "a volume's CreatedAt moves when a restarted user writes to it: it is no identity", false, func(s *subject) {
		id := s.start("a", process{argv: []string{"sh", "-c", "date > /data/pid; rm /data/pid; exec sleep 1000"}}, anonymous)
		name := s.volumeOf(id)
		before, second := s.volume(name).CreatedAt, time.Now().Truncate(time.Second)
		s.eventually(func() bool { return time.Now().Truncate(time.Second).After(second) })
		s.answer("restart", s.Restart(s.Context(), id, nil))
		s.eventually(func() bool { return s.volume(name).CreatedAt != before })
	}},
	// That `since` alone takes 37 s on 4 GB, where tail takes 1 ms, is seen by `make limits` on a real log of that size: the
	// simulated engine's logs cost nothing. What is common to both engines is which lines are answered.
	{27, "a log is asked for its last lines, also with since", false, func(s *subject) {
		says := process{argv: []string{"sh", "-c", "for n in 1 2 3 4 5; do echo line $n; done; exec sleep 1000"}, does: simengine.Behaviour{Log: "line 1\nline 2\nline 3\nline 4\nline 5"}}
		id := s.start("a", says)
		s.eventually(func() bool {
			text, err := s.Logs(s.Context(), id, 10, 1<<10)
			return err == nil && strings.Count(text, "\n") == 5
		})
		for _, tail := range []int{1, 3, 10} {
			text, err := s.Logs(s.Context(), id, tail, 1<<10)
			s.note("the last %d: %q %v", tail, text, err)
		}
		text, err := s.LogsSince(s.Context(), id, time.Now().Add(-time.Hour), 2, 1<<10)
		s.note("the last 2 since an hour ago: %q %v", text, err)
		text, err = s.LogsSince(s.Context(), id, time.Now().Add(time.Second), 10, 1<<10)
		s.note("since a time to come: %q %v", text, err)
		text, err = s.LogsTimed(s.Context(), id, 1, 1<<10)
		stamp, line, _ := strings.Cut(text, " ")
		_, wrong := time.Parse(time.RFC3339Nano, stamp)
		s.note("with its time: %v %q %v", wrong, line, err)
	}},
}

// anonymous mounts a volume that the engine names.
func anonymous(c *container.Config, _ *container.HostConfig) {
	c.Volumes = map[string]struct{}{"/data": {}}
}

// volumeOf is the name of a container's only volume, which is removed afterwards.
func (s *subject) volumeOf(id string) string {
	s.Helper()
	mounts := s.look(id).Mounts
	if len(mounts) != 1 {
		s.Fatalf("%s: mounts: %+v", s.where(), mounts)
	}
	s.leftovers = append(s.leftovers, "/volumes/"+mounts[0].Name)
	return mounts[0].Name
}

func (s *subject) volume(name string) volume.Volume {
	s.Helper()
	v, err := s.Volume(s.Context(), name)
	s.must(err)
	return v
}

func (s *subject) hasVolume(name string) bool {
	status, _ := s.ask(s.Context(), http.MethodGet, "/volumes/"+name, nil)
	return status == http.StatusOK
}
