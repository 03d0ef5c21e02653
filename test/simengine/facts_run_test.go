//go:build linux

package simengine_test

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"

	"composure/test/simengine"
)

// gluttons end for memory: the first process itself, or a child of it, which it survives.
var (
	glutton = process{argv: []string{"tail", "/dev/zero"}, does: simengine.Behaviour{ExitAfter: 10 * time.Millisecond, OOM: true}}
	parent  = process{argv: []string{"sh", "-c", "tail /dev/zero; sleep 1000"}, does: simengine.Behaviour{ChildOOM: 10 * time.Millisecond}}
)

func limited(_ *container.Config, h *container.HostConfig) {
	h.Memory, h.MemorySwap = 16<<20, 16<<20
}

// runFacts are about what becomes of processes: memory, health, pause, signals, restart policies.
var runFacts = []fact{
	{19, "`oom`, then `die` 137; OOMKilled stays true on the next instance", false, func(s *subject) {
		stream := s.follow(events.ContainerEventType)
		id := s.start("a", glutton, limited)
		stream.until(id, events.ActionDie)
		s.note("%s", stream.compact(id))
		s.state(id)
		s.note("OOMKilled %t", s.look(id).State.OOMKilled)
	}},
	{19, "OOMKilled stays true on the running successor", false, func(s *subject) {
		// The first run kills itself for memory; the second, which finds the mark of the first, does not.
		id := s.start("a", process{argv: []string{"sh", "-c", "[ -e /mark ] && exec sleep 1000; : > /mark; exec tail /dev/zero"}}, limited, always)
		if s.sim != nil {
			s.sim.OOM("a")
		}
		c := s.until(id, func(c *container.InspectResponse) bool { return running(c) && c.RestartCount == 1 })
		s.note("runs, OOMKilled %t", c.State.OOMKilled)
	}},
	{19, "the OOM of a child shows only by the event", false, func(s *subject) {
		stream := s.follow(events.ContainerEventType)
		id := s.start("a", parent, limited)
		stream.until(id, events.ActionOOM)
		s.note("%s", stream.compact(id))
		s.state(id)
		s.note("OOMKilled %t", s.look(id).State.OOMKilled)
	}},
	{20, "paused and stopped containers inspect as unhealthy: a streak of 0, no event", false, func(s *subject) {
		stream := s.follow(events.ContainerEventType)
		for _, verb := range []string{"pause", "stop"} {
			id := s.start(verb, sleeps, checked(100*time.Millisecond, 20*time.Second, 3, "CMD", "true"))
			stream.until(id, events.ActionHealthStatusHealthy)
			s.call(http.MethodPost, "/containers/"+id+"/"+verb, nil)
			c := s.look(id)
			s.note("%s %s, streak %d", c.State.Status, c.State.Health.Status, c.State.Health.FailingStreak)
			s.want(!strings.Contains(stream.of(id), "unhealthy"), "no event says so")
		}
		s.answer("unpause", s.Unpause(s.Context(), s.ids[0]))
		s.until(s.ids[0], func(c *container.InspectResponse) bool { return c.State.Health.Status == container.Healthy })
	}},
	{20, "a streak of failures outlasts the end of the container", false, func(s *subject) {
		id := s.start("a", process{argv: sleeps.argv, does: simengine.Behaviour{Healthy: func(time.Duration) bool { return false }}},
			checked(100*time.Millisecond, 20*time.Second, 2, "CMD", "false"))
		s.until(id, func(c *container.InspectResponse) bool { return c.State.Health.FailingStreak >= 3 })
		s.answer("kill", s.Kill(s.Context(), id, ""))
		c := s.until(id, ended)
		s.note("%s, a streak: %t", c.State.Health.Status, c.State.Health.FailingStreak > 0)
		s.answer("start", s.Start(s.Context(), id))
		c = s.look(id)
		s.note("%s, a streak: %t", c.State.Health.Status, c.State.Health.FailingStreak > 0)
	}},
	{21, "stop, restart and kill of a paused container unpause it", false, func(s *subject) {
		for _, verb := range []string{"stop", "restart", "kill", "kill?signal=HUP"} {
			own := stops("SIGKILL", 10)
			if strings.HasPrefix(verb, "kill") { // another signal than a stop signal of its own continues nothing
				own = stops("", 10)
			}
			id := s.start(strings.NewReplacer("?signal=", "-").Replace(verb), sleeps, own)
			s.call(http.MethodPost, "/containers/"+id+"/pause", nil)
			s.call(http.MethodPost, "/containers/"+id+"/"+verb, nil)
			s.until(id, func(c *container.InspectResponse) bool {
				return !c.State.Paused && (verb != "kill" || !c.State.Running)
			})
			s.state(id)
		}
	}},
	{22, "a hanging check turns unhealthy after retries × (interval + timeout), and what it has started goes on", false, func(s *subject) {
		hangs := process{argv: sleeps.argv, does: simengine.Behaviour{CheckHangs: true}}
		const interval, timeout, retries = 200 * time.Millisecond, 300 * time.Millisecond, 2
		id := s.start("a", hangs, checked(interval, timeout, retries, "CMD-SHELL", "sleep 999 & sleep 998 & wait"))
		c := s.until(id, func(c *container.InspectResponse) bool { return c.State.Health.Status == container.Unhealthy })
		first, last := c.State.Health.Log[0], c.State.Health.Log[retries-1] // a busy engine begins a check later than it would
		s.want(last.End.Sub(first.Start) >= retries*timeout+(retries-1)*interval, "after that time at least, by the engine's clock")
		s.want(c.State.Health.FailingStreak >= retries, "after so many checks")
		s.note("the check: %d, %s", c.State.Health.Log[0].ExitCode, c.State.Health.Log[0].Output)
		s.eventually(func() bool { // more than one check has left something
			top, err := s.Top(s.Context(), id)
			return err == nil && strings.Count(fmt.Sprint(top.Processes), "sleep 999") > 1
		})
	}},
	{22, "a check's output is cut at 4,099 characters", false, func(s *subject) {
		loud := process{argv: sleeps.argv, does: simengine.Behaviour{CheckSays: strings.Repeat("x", 5000)}}
		id := s.start("a", loud, checked(100*time.Millisecond, 20*time.Second, 3, "CMD-SHELL", "head -c 5000 /dev/zero | tr '\\0' x"))
		c := s.until(id, func(c *container.InspectResponse) bool { return len(c.State.Health.Log) > 0 })
		output := c.State.Health.Log[0].Output
		s.note("%d characters, the last %q", len(output), output[len(output)-5:])
	}},
	{24, "a signal sent through the engine marks the container as stopped by hand: a later crash is not restarted in that run", false, func(s *subject) {
		for _, c := range []struct{ name, signal, stop string }{{"hup", "HUP", ""}, {"explicit", "HUP", "SIGQUIT"}, {"none", "", ""}} {
			id := s.start(c.name, obedient, always, func(config *container.Config, _ *container.HostConfig) { config.StopSignal = c.stop })
			if c.signal != "" {
				s.call(http.MethodPost, "/containers/"+id+"/kill?signal="+c.signal, nil)
			}
			s.state(id)
			before := s.look(id).State.StartedAt
			s.crash(c.name, id)
			s.until(id, func(c *container.InspectResponse) bool {
				return c.State.Status == "exited" || running(c) && c.State.StartedAt != before
			})
			s.settled()
			s.state(id)
		}
	}},
	{24, "a kill counts as stopped by hand", false, func(s *subject) {
		id := s.start("a", sleeps, always)
		s.answer("kill", s.Kill(s.Context(), id, ""))
		s.until(id, ended)
		s.settled()
		s.state(id)
	}},
	{25, "`update restart=no` ends a crash loop, after the restart that is due", false, func(s *subject) {
		id := s.start("a", crashes, always)
		before := ""
		s.betweenRestarts(id, func() {
			before = s.look(id).State.StartedAt
			s.call(http.MethodPost, "/containers/"+id+"/update", container.UpdateConfig{RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled}})
		})
		c := s.until(id, ended)
		s.state(id)
		s.note("it was started once more: %t", c.State.StartedAt != before)
		s.call(http.MethodPost, "/containers/"+id+"/kill", nil)
	}},
	{0, "a kill and a stop end a crash loop", false, func(s *subject) {
		for _, verb := range []string{"kill", "stop"} {
			id := s.start(verb, crashes, always)
			stream := s.follow(events.ContainerEventType)
			s.betweenRestarts(id, func() {
				s.call(http.MethodPost, "/containers/"+id+"/"+verb, nil)
				s.until(id, func(c *container.InspectResponse) bool { return !c.State.Restarting })
			})
			s.state(id)
			s.settled()
			s.note("the last event: %s", stream.of(id)[strings.LastIndex(stream.of(id), " ")+1:])
		}
	}},
	{25, "`always` on an exited container does not start it", false, func(s *subject) {
		id := s.start("a", sleeps)
		s.answer("kill", s.Kill(s.Context(), id, ""))
		s.until(id, ended)
		s.call(http.MethodPost, "/containers/"+id+"/update", container.UpdateConfig{RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyAlways}})
		s.settled()
		s.state(id)
	}},
	{0, "the restart of a restarted container begins its count anew", false, func(s *subject) {
		id := s.start("a", crashes, always)
		s.until(id, func(c *container.InspectResponse) bool { return c.RestartCount >= 4 })
		s.answer("restart", s.Restart(s.Context(), id, nil))
		s.note("restarted less than 4 times: %t", s.look(id).RestartCount < 4)
	}},
}
