//go:build linux

package simengine_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
)

// eventFacts are about what the engine tells, and what it does not.
var eventFacts = []fact{
	{6, "the history holds exactly 256 events of all types; one healthcheck makes three of them", true, func(s *subject) {
		s.volumes(150)
		s.want(len(s.past("")) == 256, "256 of 300 events are kept")
		id := s.start("checked", sleeps, checked(200*time.Millisecond, 10*time.Second, 3, "CMD", "true"))
		s.until(id, func(c *container.InspectResponse) bool { return len(c.State.Health.Log) >= 2 })
		var execs []string
		for _, m := range s.past(events.ContainerEventType) {
			if action, _, _ := strings.Cut(string(m.Action), ":"); m.Actor.ID == id && strings.HasPrefix(action, "exec") {
				execs = append(execs, action)
			}
		}
		s.note("the first check: %v", execs[:3])
		s.note("the second: %v", execs[3:6])
	}},
	{7, "a slow reader silently loses events", true, func(s *subject) {
		read := s.subscribe(ofType(events.VolumeEventType))
		const pairs = 1000
		s.volumes(pairs)
		slow := read()
		s.volumes(1)
		s.eventually(func() bool { // what comes after the loss arrives again
			s.volumes(1)
			all := slow.all()
			return len(all) > 0 && strings.Contains(all[len(all)-1].Actor.ID, s.prefix+"-0-of-1-")
		})
		got := slices.DeleteFunc(slow.all(), func(m events.Message) bool { return strings.Contains(m.Actor.ID, "-of-1-") })
		s.want(len(got) < 2*pairs, "some are lost")
		s.want(len(got) > 256, "more arrive than the history holds")
		s.want(!slow.over() && slow.err == nil, "without an error")
	}},
	{8, "`since` is inclusive, to the nanosecond", true, func(s *subject) {
		s.volumes(2)
		all := s.past(events.VolumeEventType)
		last, before := all[len(all)-1], all[len(all)-2]
		since := func(ns int64) int {
			query := ofType(events.VolumeEventType)
			query.Set("since", nanoseconds(ns))
			query.Set("until", nanoseconds(time.Now().UnixNano()))
			f := s.subscribe(query)()
			<-f.done
			return len(f.all())
		}
		s.want(before.TimeNano < last.TimeNano, "each has a time of its own")
		s.note("since the last: %d; 1 ns later: %d; since the one before: %d", since(last.TimeNano), since(last.TimeNano+1), since(before.TimeNano))
	}},
	{9, "labels overwrite the attributes of events, and exec actions carry the whole command", false, func(s *subject) {
		stream := s.follow(events.ContainerEventType)
		id := s.start("a", crashes, func(c *container.Config, _ *container.HostConfig) { c.Labels["exitCode"] = "0" })
		die := stream.until(id, events.ActionDie)
		s.note("the event says %s, inspect %d", die.Actor.Attributes["exitCode"], s.until(id, ended).State.ExitCode)
		loud := s.start("loud", sleeps, checked(100*time.Millisecond, 10*time.Second, 3, "CMD-SHELL", "echo a secret, said aloud"))
		stream.until(loud, events.ActionHealthStatusHealthy)
		for _, m := range stream.all() {
			if m.Actor.ID == loud && strings.HasPrefix(string(m.Action), string(events.ActionExecStart)) {
				s.note("%s", m.Action)
				break
			}
		}
	}},
	{10, "at `die`, inspect is already right", false, func(s *subject) {
		stream := s.follow(events.ContainerEventType)
		for n := range 3 {
			id := s.start(fmt.Sprint("n", n), crashes)
			stream.until(id, events.ActionDie)
			s.state(id)
		}
	}},
}

// volumes creates and removes volumes, several at a time: two events each.
func (s *subject) volumes(n int) {
	s.Helper()
	var wg sync.WaitGroup
	next := make(chan int)
	for range 16 {
		wg.Go(func() {
			for i := range next {
				name := fmt.Sprintf("%s-%d-of-%d-%s", s.prefix, i, n, strings.Repeat("x", 150))
				if status, text := s.ask(s.Context(), http.MethodPost, "/volumes/create", map[string]string{"Name": name}); status != http.StatusCreated {
					s.Errorf("%s: create volume: %d %s", s.where(), status, text)
				}
				if status, text := s.ask(s.Context(), http.MethodDelete, "/volumes/"+url.PathEscape(name), nil); status != http.StatusNoContent {
					s.Errorf("%s: remove volume: %d %s", s.where(), status, text)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}
