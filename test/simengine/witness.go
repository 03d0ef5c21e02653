package simengine

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
)

// Witness is told what is asked of the engine and what happens in it, in order. It is called with the engine's lock held
// and must not call the engine.
type Witness interface {
	Called(Call)
	Happened(Happening)
}

// Call is a request that changes something, or wants to, when the engine takes it up.
type Call struct {
	From string    // name of the caller's line
	Sent time.Time // when it reached the engine, which may execute it late
	Op   string    // such as "restart", "create", "remove", "create network"
	Of   Facts     // of the container as it is before the call; for a creation as it will be
	On   string    // network, volume or image; the new name of a rename
	Size int64     // memory limit that an update or a creation asks for, in bytes; 0: none

	WithVolumes bool // a removal that takes anonymous volumes along
}

// Happening is something that became so in the engine, whether it emits an event or not.
type Happening struct {
	Action string // of the event, such as "die"; "silent" for an end without one
	Of     Facts
}

// Facts are what is so about a container.
type Facts struct {
	ID, Name         string
	Project, Service string
	Number           int
	Recreates        string // id of the container that it replaces
	Image            string // id
	Status           string
	Running          bool // also while it is paused, or restarting
	Paused           bool
	Restarting       bool
	Manual           bool // stopped by hand
	Restarts         int  // by the engine, since it was last started by a call
	ExitCode         int
	Health           string
	Started          time.Time // of the last run
	Runs             int       // starts so far
	Memory           int64     // limit in bytes
	Volumes          []string  // "destination=name" of each volume
}

// Observe lets a witness see everything from now on.
func (e *Engine) Observe(w Witness) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.witness = w
}

// called tells the witness of a request. The lock is held.
func (e *Engine) called(r *http.Request, c Call) {
	if e.witness == nil {
		return
	}
	known := about(r)
	c.From, c.Sent = known.from, known.at
	e.witness.Called(c)
}

// happened tells the witness what has become of a container, to its removal. What comes after that, such as the end of a
// stop that was under way, is an event about nothing. The lock is held.
func (e *Engine) happened(i *instance, action string) {
	if e.witness != nil && (!i.gone() || action == string(events.ActionDestroy)) {
		e.witness.Happened(Happening{action, i.facts()})
	}
}

// facts are those of a container. The lock is held.
func (i *instance) facts() Facts {
	labels := i.config.Labels
	number, _ := strconv.Atoi(labels["com.docker.compose.container-number"])
	f := Facts{
		ID: i.id, Name: i.name, Project: labels["com.docker.compose.project"], Service: i.service(), Number: number,
		Recreates: labels["composure.recreates"], Image: i.image, Status: i.state.Status, Running: i.state.Running,
		Paused: i.state.Paused, Restarting: i.state.Restarting, Manual: i.manual, Restarts: i.restarts, ExitCode: i.state.ExitCode,
		Started: i.started, Runs: i.run, Memory: i.host.Memory,
	}
	if i.state.Health != nil {
		f.Health = i.state.Health.Status
	}
	for _, m := range i.mounts() {
		if m.Type == "volume" {
			f.Volumes = append(f.Volumes, m.Destination+"="+m.Name)
		}
	}
	return f
}

// Everything is the state of all containers, by name.
func (e *Engine) Everything() []Facts {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []Facts
	for _, i := range e.ordered() {
		all = append(all, i.facts())
	}
	return all
}

// memoryOf is the limit that a host configuration asks for.
func memoryOf(h *container.HostConfig) int64 {
	if h == nil {
		return 0
	}
	return h.Memory
}

// isTrue reads a flag of a query as the engine does.
func isTrue(text string) bool {
	switch strings.ToLower(text) {
	case "", "0", "no", "false", "none":
		return false
	}
	return true
}
