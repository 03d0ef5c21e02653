package simengine

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/network"
)

// Delays of the engine's own restarts: 100 ms, doubled up to a minute, from the start again after a run of 10 s.
const (
	firstDelay = 100 * time.Millisecond
	lastDelay  = time.Minute
	goodRun    = 10 * time.Second
)

// instance is one container. The engine's lock guards it.
type instance struct {
	e        *Engine
	id, name string
	created  time.Time
	image    string
	config   *container.Config
	host     *container.HostConfig
	networks map[string]*network.EndpointSettings

	anonymous map[string]string // volumes that the engine named, by destination

	state    container.State
	started  time.Time
	restarts int
	delay    time.Duration
	manual   bool // stopped by hand: the restart policy is off for this run
	missed   *int // how the process ended while the daemon was away; nil: it did not
	run      int  // of the process: timers of an earlier one mean nothing
	does     Behaviour
	ended    chan struct{} // closed at the end of the process
	log      []line
	leaked   int      // processes that hanging checks have left
	made     [][]byte // what it was made with, encoded; nil: it has to be
}

type line struct {
	at   time.Time
	text string
}

const never = "0001-01-01T00:00:00Z"

// up is how long the process has run.
func (i *instance) up() time.Duration { return i.e.now().Sub(i.started) }

func (i *instance) policy() container.RestartPolicyMode { return i.host.RestartPolicy.Name }

// gone says whether the container was removed: a call that waits still holds it.
func (i *instance) gone() bool { return i.e.containers[i.id] != i }

func (i *instance) service() string { return i.config.Labels["com.docker.compose.service"] }

// answer is an error with the engine's status.
type answer struct {
	status int
	text   string
}

func (a *answer) Error() string { return a.text }

// start begins a run of the process, unless the container was removed while a restart of it waited for the end of the last.
func (i *instance) start() error {
	if i.gone() {
		return &answer{http.StatusConflict, "container is marked for removal and cannot be started"}
	}
	if err := cmp.Or(i.findNetworks(), i.reserveAddresses(), i.publishPorts()); err != nil {
		i.state.Error, i.state.ExitCode = err.Error(), 128
		return err
	}
	service := i.service()
	i.e.starts[service]++
	i.does = Behaviour{}
	if behave := i.e.behaviours[service]; behave != nil {
		i.does = behave(Start{service, i.name, i.image, i.e.starts[service]})
	}
	if why := i.does.StartError; why != "" {
		i.state.Error, i.state.ExitCode = why, 128
		if strings.Contains(why, "exec:") {
			i.state.ExitCode = 127
			return &answer{http.StatusBadRequest, why}
		}
		return &answer{http.StatusInternalServerError, why}
	}
	now := i.e.now()
	i.started, i.run, i.ended, i.manual = now, i.run+1, make(chan struct{}), false
	i.state = container.State{
		Status: "running", Running: true, Pid: 5_000_000 + i.run, StartedAt: stamp(now), FinishedAt: i.state.FinishedAt, OOMKilled: i.state.OOMKilled,
	}
	if i.checks() {
		i.state.Health = &container.Health{Status: container.Starting}
		i.later(i.interval(), i.check)
	}
	i.leaked = 0
	if i.does.ChildOOM > 0 {
		i.later(i.does.ChildOOM, func() { i.e.publish(i, events.ActionOOM, nil) })
	}
	if i.does.Log != "" {
		for text := range strings.SplitSeq(i.does.Log, "\n") {
			i.log = append(i.log, line{now, text})
		}
	}
	if i.does.ExitAfter > 0 {
		i.later(i.does.ExitAfter, func() {
			if i.does.ExitAfter > 0 { // else what would have ended it is over
				i.dies(i.does.ExitCode, i.does.OOM)
			}
		})
	}
	for name := range i.networks {
		i.join(name)
	}
	for _, m := range i.mounts() {
		if v := i.e.volumes[m.Name]; v != nil && m.Type == "volume" { // processes write at their start (engine fact 26)
			v.CreatedAt = now.UTC().Format(time.RFC3339)
		}
	}
	i.e.publish(i, events.ActionStart, nil)
	return nil
}

// findNetworks checks that the networks of a container are there: to one that does not run, any was connected.
func (i *instance) findNetworks() error {
	for _, name := range slices.Sorted(maps.Keys(i.networks)) {
		if i.e.networks[name] == nil && name != "host" && name != "none" {
			return &answer{http.StatusNotFound, fmt.Sprintf("network %s not found", name)}
		}
	}
	return nil
}

// later does something in this run of the process, if it lasts so long.
func (i *instance) later(after time.Duration, do func()) {
	run := i.run
	time.AfterFunc(after, func() {
		i.e.mu.Lock()
		defer i.e.mu.Unlock()
		if i.run == run && i.state.Running && !i.state.Restarting {
			do()
		}
	})
}

// dies is the end of the process by itself: its restart policy decides what follows.
func (i *instance) dies(code int, oom bool) {
	if oom {
		code = 137
	}
	if i.e.down {
		i.missed = &code
		return
	}
	if oom {
		i.e.publish(i, events.ActionOOM, nil)
	}
	ran := i.up()
	i.end(code, false)
	if oom {
		i.state.OOMKilled = true
	}
	if i.manual || !i.comesBack(code) {
		i.removeItself()
		return
	}
	if ran >= goodRun || i.delay == 0 {
		i.delay = firstDelay
	} else {
		i.delay = min(2*i.delay, lastDelay)
	}
	i.restarts++
	i.state.Running, i.state.Restarting, i.state.Status = true, true, "restarting"
	run := i.run
	time.AfterFunc(i.delay, func() {
		i.e.mu.Lock()
		defer i.e.mu.Unlock()
		if i.run != run || !i.state.Restarting || i.e.down {
			return
		}
		if i.start() != nil {
			i.state.Running, i.state.Restarting, i.state.Status = false, false, "exited"
		}
	})
}

func (i *instance) comesBack(code int) bool {
	switch i.policy() {
	case container.RestartPolicyAlways, container.RestartPolicyUnlessStopped:
		return true
	case container.RestartPolicyOnFailure:
		most := i.host.RestartPolicy.MaximumRetryCount
		return code != 0 && (most == 0 || i.restarts < most)
	}
	return false
}

// end ends the process. Health stays what it was (engine fact 20).
func (i *instance) end(code int, quiet bool) {
	i.state.Running, i.state.Restarting, i.state.Paused, i.state.Status, i.state.Pid = false, false, false, "exited", 0
	i.state.ExitCode, i.state.FinishedAt = code, stamp(i.e.now())
	i.uncheck()
	for _, s := range i.networks {
		s.IPAddress = ""
	}
	if i.ended != nil {
		close(i.ended)
		i.ended = nil
	}
	if quiet {
		i.e.happened(i, "silent")
	} else {
		i.e.publish(i, events.ActionDie, map[string]string{"exitCode": fmt.Sprint(code)})
	}
}

// inspect is the engine's answer.
func (i *instance) inspect() container.InspectResponse {
	found, host, config := i.changing(), *i.host, *i.config
	size := int64(0)
	found.SizeRw, found.HostConfig, found.Config, found.Mounts = &size, &host, &config, i.mounts()
	return found
}

// changing is the part of the answer that changes while a container lives.
func (i *instance) changing() container.InspectResponse {
	state := i.state
	if h := i.state.Health; h != nil {
		own := *h
		own.Log = slices.Clone(h.Log)
		state.Health = &own
	}
	networks := make(map[string]*network.EndpointSettings, len(i.networks))
	for name, settings := range i.networks {
		networks[name] = settings.Copy()
	}
	return container.InspectResponse{
		ContainerJSONBase: &container.ContainerJSONBase{
			ID: i.id, Name: "/" + i.name, Created: stamp(i.created), Image: i.image, State: &state, RestartCount: i.restarts, Driver: "overlay2", Platform: "linux",
		},
		NetworkSettings: &container.NetworkSettings{Networks: networks, NetworkSettingsBase: container.NetworkSettingsBase{Ports: i.mapped()}},
	}
}

// mounts are the mount points that follow from the create request.
func (i *instance) mounts() []container.MountPoint {
	var points []container.MountPoint
	for _, m := range i.host.Mounts {
		p := container.MountPoint{Type: m.Type, Source: m.Source, Destination: m.Target, RW: !m.ReadOnly}
		if m.Type == "volume" && m.Source == "" {
			continue
		}
		if m.Type == "volume" {
			p.Name, p.Driver, p.Mode = m.Source, "local", "z"
		}
		points = append(points, p)
	}
	for _, b := range i.host.Binds {
		source, target, _ := strings.Cut(b, ":")
		target, mode, _ := strings.Cut(target, ":")
		p := container.MountPoint{Type: "volume", Name: source, Driver: "local", Destination: target, Mode: mode, RW: !strings.Contains(mode, "ro")}
		if strings.HasPrefix(source, "/") {
			p = container.MountPoint{Type: "bind", Source: source, Destination: target, Mode: mode, RW: p.RW}
		}
		points = append(points, p)
	}
	for _, target := range slices.Sorted(maps.Keys(i.anonymous)) {
		points = append(points, container.MountPoint{Type: "volume", Name: i.anonymous[target], Driver: "local", Destination: target, RW: true})
	}
	return points
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// Crash ends the process of a service's containers by itself, with a code.
func (e *Engine) Crash(service string, code int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, i := range e.ordered() {
		if i.service() == service && i.state.Running && !i.state.Restarting {
			i.dies(code, false)
		}
	}
}

// OOM lets the kernel kill the process of a service's containers for memory.
func (e *Engine) OOM(service string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, i := range e.ordered() {
		if i.service() == service && i.state.Running && !i.state.Restarting {
			i.dies(137, true)
		}
	}
}

// Of returns what the engine would say of a service's containers, by name.
func (e *Engine) Of(service string) []container.InspectResponse {
	e.mu.Lock()
	defer e.mu.Unlock()
	var found []container.InspectResponse
	for _, i := range e.ordered() {
		if i.service() == service {
			found = append(found, i.inspect())
		}
	}
	return found
}

// ordered are the containers by name.
func (e *Engine) ordered() []*instance {
	var all []*instance
	for _, i := range e.containers {
		all = append(all, i)
	}
	slices.SortFunc(all, func(a, b *instance) int { return strings.Compare(a.name, b.name) })
	return all
}

// Now changes what the running containers of a service do. Timers of the behaviour before go on.
func (e *Engine) Now(service string, b Behaviour) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, i := range e.ordered() {
		if i.service() == service {
			i.does = b
		}
	}
}

// Stop stops a service's containers by hand, as `docker stop` does.
func (e *Engine) Stop(service string, code int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, i := range e.ordered() {
		if i.service() == service && i.state.Running {
			i.manual = true
			i.end(code, false)
			e.publish(i, events.ActionStop, nil)
		}
	}
}

// MemoryOf is the memory limit of a service's first container, in bytes. It may be asked by a behaviour.
func (e *Engine) MemoryOf(service string) int64 {
	for _, i := range e.ordered() {
		if i.service() == service {
			return i.host.Memory
		}
	}
	return 0
}

// Runs says whether a container runs. It is for behaviours, which are asked under the engine's lock.
func (e *Engine) Runs(name string) bool {
	return slices.ContainsFunc(e.ordered(), func(i *instance) bool { return i.name == name && i.state.Running })
}

// Remove removes a service's containers by hand, as `docker rm -f` does.
func (e *Engine) Remove(service string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, i := range e.ordered() {
		if i.service() == service {
			if i.state.Running {
				i.manual = true
				i.end(137, false)
			}
			delete(e.containers, i.id)
			i.run++
			e.publish(i, events.ActionDestroy, nil)
		}
	}
}

// RemoveVolume removes a volume by hand, as `docker volume rm` does.
func (e *Engine) RemoveVolume(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.volumes, name)
}

// IDOf is the id of an image. It may be asked by a behaviour.
func (e *Engine) IDOf(ref string) string { return e.image(ref).ID }

// RefOf is a reference of an image. It may be asked by a behaviour.
func (e *Engine) RefOf(id string) string {
	if found := e.images[id]; found != nil {
		return found.RepoTags[0]
	}
	return ""
}

// Locked calls a function while nothing happens in the engine, as a behaviour is called.
func (e *Engine) Locked(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
}

// Reconsider asks the behaviour of a service's running containers again. What their present run is to do by itself stays.
func (e *Engine) Reconsider(service string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, i := range e.ordered() {
		if behave := e.behaviours[service]; i.service() == service && i.state.Running && behave != nil {
			i.does = behave(Start{service, i.name, i.image, e.starts[service]})
		}
	}
}
