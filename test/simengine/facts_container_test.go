//go:build linux

package simengine_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"

	"composure/spec"
	"composure/test/simengine"
)

// facts is the table.
var facts = slices.Concat(daemonFacts, eventFacts, answerFacts, runFacts, volumeFacts)

// answerFacts are about what the engine answers to calls.
var answerFacts = []fact{
	{12, "a client that goes away does not cancel its stop or restart", false, func(s *subject) {
		stop, restart := s.start("stop", stubborn, stops("", 10)), s.start("restart", stubborn, stops("", 10))
		before := s.look(restart).State.StartedAt
		for _, path := range []string{"/containers/" + stop + "/stop", "/containers/" + restart + "/restart"} {
			s.want(s.leaves(path, nil) == -1, "the client has gone")
			s.want(s.look(path[12:76]).State.Running, "before the container has ended")
		}
		s.until(stop, ended)
		s.until(restart, func(c *container.InspectResponse) bool { return running(c) && c.State.StartedAt != before })
		s.state(stop)
		s.state(restart)
	}},
	{13, "parallel restarts of one container answer 204 or 500, as it comes: serialise per container", false, func(s *subject) {
		id := s.start("a", sleeps)
		statuses := make([]int, 4)
		var wg sync.WaitGroup
		for n := range statuses {
			wg.Go(func() { statuses[n], _ = s.ask(s.Context(), http.MethodPost, "/containers/"+id+"/restart", nil) })
		}
		wg.Wait()
		s.want(!slices.ContainsFunc(statuses, func(n int) bool { return n != http.StatusNoContent && n != http.StatusInternalServerError }), "204 or 500")
		s.answer("one restart after them", s.Restart(s.Context(), id, nil))
		s.state(id)
	}},
	{14, "a call for what is so already: 304, and a kill 409", false, func(s *subject) {
		id := s.create("a", sleeps)
		for _, verb := range []string{"start", "start", "stop", "stop", "kill", "pause", "unpause"} {
			s.call(http.MethodPost, "/containers/"+id+"/"+verb, nil)
		}
		s.state(id)
	}},
	{14, "what is not there is a 404: `No such container`", false, func(s *subject) {
		absent := strings.Repeat("0", 64)
		for _, verb := range []string{"start", "stop", "restart", "kill", "pause", "unpause"} {
			s.call(http.MethodPost, "/containers/"+absent+"/"+verb, nil)
		}
		s.call(http.MethodGet, "/containers/"+absent+"/json", nil)
		s.call(http.MethodDelete, "/containers/"+absent, nil)
		s.call(http.MethodGet, "/networks/"+s.prefix+"-absent", nil)
		s.call(http.MethodGet, "/volumes/"+s.prefix+"-absent", nil)
		s.call(http.MethodGet, "/images/composure-test/absent:1/json", nil)
		_, err := s.CreateContainer(s.Context(), s.prefix+"-a", spec.Container{Config: &container.Config{Image: "composure-test/absent:1"}, Host: &container.HostConfig{}})
		s.answer("create from an image that is not there", err)
	}},
	{14, "a name that is taken is a 409 that names the holder", false, func(s *subject) {
		s.create("a", sleeps)
		b := s.create("b", sleeps)
		s.call(http.MethodPost, "/containers/"+b+"/rename?name="+s.prefix+"-a", nil)
		s.call(http.MethodPost, "/containers/"+b+"/rename?name="+s.prefix+"-b", nil)
		s.call(http.MethodPost, "/containers/create?name="+s.prefix+"-a", container.Config{Image: image})
		s.answer("rename", s.Rename(s.Context(), b, s.prefix+"-a"))
	}},
	{14, "bad JSON is a 500", false, func(s *subject) {
		status, _ := s.ask(s.Context(), http.MethodPost, "/containers/create?name="+s.prefix+"-a", `{"Image":`)
		s.note("create: %d", status)
	}},
	{15, "a port that is taken is a 500, by a container or by a process: the container stays created, with an error, no event, and no restart", true, func(s *subject) {
		publish := func(port string) change {
			return func(c *container.Config, h *container.HostConfig) {
				h.NetworkMode, h.PortBindings = "bridge", nat.PortMap{"80/tcp": {{HostIP: "127.0.0.1", HostPort: port}}}
				c.ExposedPorts = nat.PortSet{"80/tcp": {}}
			}
		}
		s.listen("21081")
		s.start("holds", sleeps, publish("21080"))
		stream := s.follow("container")
		for _, by := range []struct{ what, port string }{{"container", "21080"}, {"process", "21081"}} {
			id := s.create(by.what, sleeps, publish(by.port), always)
			status, text := s.ask(s.Context(), http.MethodPost, "/containers/"+id+"/start", nil)
			_, why, _ := strings.Cut(text, "): ")
			s.answer(by.what, s.Start(s.Context(), id))
			s.settled()
			c := s.look(id)
			s.note("%d %s; events: %s; error kept: %t; %s %d", status, why, stream.of(id), why != "" && strings.HasSuffix(c.State.Error, why), c.State.Status, c.State.ExitCode)
		}
	}},
	{16, "a static address that is taken is a 403", true, func(s *subject) {
		s.network("net", "10.211.7.0/29")
		at := func(_ *container.Config, h *container.HostConfig) {
			h.NetworkMode = container.NetworkMode(s.prefix + "-net")
		}
		for _, name := range []string{"first", "second"} {
			c := s.request(name, sleeps, at)
			c.Networks = []spec.Endpoint{{Network: s.prefix + "-net", Settings: &network.EndpointSettings{IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: "10.211.7.3"}}}}
			id, err := s.CreateContainer(s.Context(), s.prefix+"-"+name, c)
			s.must(err)
			s.ids = append(s.ids, id)
			s.call(http.MethodPost, "/containers/"+id+"/start", nil)
			s.state(id)
		}
		s.answer("in the adapter's words", s.Start(s.Context(), s.ids[1]))
	}},
	{17, "a bad command is a 400: created, exit 127", false, func(s *subject) {
		absent := process{argv: []string{"/absent"}, does: simengine.Behaviour{StartError: `OCI runtime create failed: exec: "/absent": stat /absent: no such file or directory: unknown`}}
		id := s.create("a", absent, always)
		status, _ := s.ask(s.Context(), http.MethodPost, "/containers/"+id+"/start", nil)
		s.note("start: %d", status)
		s.answer("start", s.Start(s.Context(), id))
		s.state(id)
	}},
	{23, "restarting is Running and Restarting: start gives 304, exec and pause 409", false, func(s *subject) {
		id := s.start("a", crashes, always)
		s.betweenRestarts(id, func() {
			s.state(id)
			s.call(http.MethodPost, "/containers/"+id+"/start", nil)
			s.call(http.MethodPost, "/containers/"+id+"/pause", nil)
			s.call(http.MethodPost, "/containers/"+id+"/exec", container.ExecOptions{Cmd: []string{"true"}})
		})
	}},
	{28, "an update of the memory limit below the reservation succeeds, and the next start fails", false, func(s *subject) {
		id := s.start("a", sleeps, func(_ *container.Config, h *container.HostConfig) {
			h.Memory, h.MemorySwap, h.MemoryReservation = 64<<20, 64<<20, 32<<20
		})
		s.call(http.MethodPost, "/containers/"+id+"/update", container.UpdateConfig{Resources: container.Resources{Memory: 16 << 20, MemorySwap: 16 << 20}})
		s.call(http.MethodPost, "/containers/"+id+"/restart", nil)
		s.state(id)
		s.answer("stop", s.Stop(s.Context(), id, nil))
		s.call(http.MethodPost, "/containers/"+id+"/start", nil)
		s.state(id)
	}},
	{0, "the removal of what runs is refused", false, func(s *subject) {
		id := s.start("a", sleeps)
		s.call(http.MethodDelete, "/containers/"+id, nil)
		s.answer("kill", s.Kill(s.Context(), id, ""))
		s.until(id, ended)
		s.call(http.MethodDelete, "/containers/"+id, nil)
		s.state(id)
	}},
	{0, "what is removed while its restart waits is not started again", false, func(s *subject) {
		stream := s.follow(events.ContainerEventType)
		id := s.start("a", stubborn, stops("", 60))
		answer := make(chan int)
		go func() {
			status, _ := s.ask(s.Context(), http.MethodPost, "/containers/"+id+"/restart", nil)
			answer <- status
		}()
		stream.until(id, events.ActionKill) // the stop signal of the restart
		s.call(http.MethodDelete, "/containers/"+id+"?force=1", nil)
		s.note("restart: %d", <-answer)
		s.state(id)
	}},
	{0, "a network that is not there is noticed by the adapter", false, func(s *subject) {
		id := s.create("a", sleeps)
		s.answer("connect", s.Connect(s.Context(), s.prefix+"-absent", id, nil))
	}},
}

// betweenRestarts does something to a container in a crash loop while the engine waits before the next restart: again and
// again, until no restart has come in between. The wait grows each time.
func (s *subject) betweenRestarts(id string, do func()) {
	s.Helper()
	for count := 4; ; count++ {
		before := s.until(id, func(c *container.InspectResponse) bool { return c.State.Restarting && c.RestartCount >= count })
		notes := s.notes
		do()
		after := s.look(id)
		if after.RestartCount == before.RestartCount && after.State.StartedAt == before.State.StartedAt {
			return
		}
		s.notes = notes
		if !s.until(id, func(c *container.InspectResponse) bool { return c.State.Restarting || !c.State.Running }).State.Running { // it was ended after all
			s.must(s.Update(s.Context(), id, container.UpdateConfig{RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyAlways}}))
			s.must(s.Start(s.Context(), id))
			count = 3
		}
	}
}

// listen has a process of the engine's host listen on a port of its loopback.
func (s *subject) listen(port string) {
	s.Helper()
	if s.sim != nil {
		s.sim.HostPort(port, true)
		return
	}
	_, err := s.own.Docker("run", "-d", "--name", s.prefix+"-listener", "--network", "host", image, "httpd", "-f", "-p", "127.0.0.1:"+port, "-h", "/etc")
	s.must(err)
	s.leftovers = append(s.leftovers, "/containers/"+s.prefix+"-listener?force=1")
	s.eventually(func() bool { return s.own.Command("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/"+port).Run() == nil })
}

// network creates a network that is removed afterwards.
func (s *subject) network(name, subnet string) {
	s.Helper()
	create := network.CreateOptions{}
	if subnet != "" {
		create.IPAM = &network.IPAM{Config: []network.IPAMConfig{{Subnet: subnet}}}
	}
	s.must(s.CreateNetwork(s.Context(), &spec.Network{Name: s.prefix + "-" + name, Create: create}))
	s.leftovers = append(s.leftovers, "/networks/"+s.prefix+"-"+name)
}
