package simengine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/network"
)

// change is one change of a container.
type change func(w http.ResponseWriter, r *http.Request, i *instance) error

// changes are the requests that change containers.
func (e *Engine) changes(mux *http.ServeMux) {
	e.route(mux, "POST /containers/create", e.create, "name", "platform")
	for name, do := range map[string]change{
		"start": startNow, "stop": stopNow, "restart": restartNow, "kill": killNow, "rename": renameNow, "update": updateNow,
		"pause": pauseNow, "unpause": unpauseNow,
	} {
		e.route(mux, "POST /containers/{id}/"+name, e.with(func(w http.ResponseWriter, r *http.Request, i *instance) error {
			e.calls = append(e.calls, name+" "+i.name)
			if name != "update" { // which says how much memory
				e.called(r, Call{Op: name, Of: i.facts(), On: r.URL.Query().Get("name")})
			}
			if err := do(w, r, i); err != nil {
				return err
			}
			if name != "update" {
				w.WriteHeader(http.StatusNoContent)
			}
			return nil
		}), parameters[name]...)
	}
	e.route(mux, "DELETE /containers/{id}", e.with(removeNow), "v", "force", "link")
	e.route(mux, "POST /containers/{id}/exec", e.with(execCreate))
	e.route(mux, "POST /exec/{id}/start", e.execStart)
	e.route(mux, "GET /exec/{id}/json", e.execInspect)
}

// parameters of changes.
var parameters = map[string][]string{"stop": {"t"}, "restart": {"t"}, "kill": {"signal"}, "rename": {"name"}}

// list lists containers; the filters are label and, without `all`, the state.
func (e *Engine) list(w http.ResponseWriter, r *http.Request) {
	wanted, err := e.filters(r, "label")
	if err != nil {
		refuse(w, err)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	found := []container.Summary{}
	if isStale(r) {
		for _, s := range e.photo {
			if wanted.MatchKVList("label", s.Labels) {
				found = append(found, s)
			}
		}
		reply(w, http.StatusOK, found)
		return
	}
	for _, i := range e.ordered() {
		if (r.URL.Query().Get("all") == "1" || i.state.Running) && wanted.MatchKVList("label", i.config.Labels) {
			found = append(found, i.summary())
		}
	}
	reply(w, http.StatusOK, found)
}

// summary is the container's line in a list.
func (i *instance) summary() container.Summary {
	s := container.Summary{
		ID: i.id, Names: []string{"/" + i.name}, Image: i.config.Image, ImageID: i.image, Labels: i.config.Labels,
		State: i.state.Status, Created: i.created.Unix(),
	}
	for port, bindings := range i.host.PortBindings {
		for _, b := range bindings {
			if public, err := strconv.ParseUint(b.HostPort, 10, 16); err == nil && i.state.Running {
				s.Ports = append(s.Ports, container.Port{IP: b.HostIP, PrivatePort: uint16(port.Int()), PublicPort: uint16(public), Type: port.Proto()})
			}
		}
	}
	return s
}

type staleKey struct{}

// stale marks a request that is answered from the last photo.
func stale(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), staleKey{}, true))
}

func isStale(r *http.Request) bool { return r.Context().Value(staleKey{}) != nil }

func (e *Engine) create(w http.ResponseWriter, r *http.Request) {
	var body struct {
		*container.Config
		HostConfig       *container.HostConfig
		NetworkingConfig *network.NetworkingConfig
	}
	if err := decode(r, &body); err != nil {
		refuse(w, err)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	name := r.URL.Query().Get("name")
	if holder := e.find(name); holder != nil {
		refuse(w, nameConflict(name, holder))
		return
	}
	img := e.image(body.Config.Image)
	if img == nil {
		fail(w, http.StatusNotFound, "No such image: "+body.Config.Image)
		return
	}
	i := &instance{e: e, id: e.id("container " + name), name: name, created: e.now(), image: img.ID, config: body.Config, host: body.HostConfig, networks: map[string]*network.EndpointSettings{}}
	i.merge(img.Config)
	i.state = container.State{Status: "created", StartedAt: never, FinishedAt: never}
	i.nameVolumes()
	mode := string(i.host.NetworkMode)
	if mode == "" || mode == "default" {
		mode = "bridge"
		i.host.NetworkMode = "default"
	}
	if !strings.HasPrefix(mode, "container:") {
		i.networks[mode] = &network.EndpointSettings{}
	}
	if body.NetworkingConfig != nil {
		for n, settings := range body.NetworkingConfig.EndpointsConfig {
			i.attach(n, settings)
		}
	}
	e.called(r, Call{Op: "create", Of: i.facts(), Size: memoryOf(i.host)})
	e.containers[i.id] = i
	e.calls = append(e.calls, "create "+name)
	e.publish(i, events.ActionCreate, nil)
	reply(w, http.StatusCreated, container.CreateResponse{ID: i.id, Warnings: []string{}})
}

// attach connects a network, as soon as the container runs.
func (i *instance) attach(name string, settings *network.EndpointSettings) {
	own := &network.EndpointSettings{}
	if settings != nil {
		own = settings.Copy()
	}
	i.networks[name] = own
	if i.state.Running {
		i.join(name)
	}
}

// join gives an endpoint what it has while the container runs; the engine adds the short id to the aliases.
func (i *instance) join(name string) {
	own := i.networks[name]
	if found := i.e.networks[name]; found != nil {
		own.NetworkID = found.ID
	}
	if name == "none" || name == "host" {
		return
	}
	own.IPAddress = fmt.Sprintf("198.18.%d.%d", len(i.e.containers)/250%250, len(i.e.containers)%250+2) // nobody's: made for benchmarks
	if own.IPAMConfig != nil && own.IPAMConfig.IPv4Address != "" {
		own.IPAddress = own.IPAMConfig.IPv4Address
	}
	if container.NetworkMode(name).IsUserDefined() && !slices.Contains(own.Aliases, i.id[:12]) {
		own.Aliases = append(slices.Clone(own.Aliases), i.id[:12])
	}
}

func startNow(_ http.ResponseWriter, _ *http.Request, i *instance) error {
	switch {
	case i.state.Paused:
		return &answer{http.StatusConflict, "cannot start a paused container, try unpause instead"}
	case i.state.Running:
		return &answer{http.StatusNotModified, ""}
	}
	if i.host.Memory > 0 && i.host.MemoryReservation > i.host.Memory { // an update need not have cared (engine fact 28)
		return &answer{http.StatusBadRequest, "Minimum memory limit can not be less than memory reservation limit, see usage"}
	}
	i.restarts, i.delay = 0, 0
	return i.start()
}

// grace is the time of a stop.
func (i *instance) grace(r *http.Request) time.Duration {
	if t, err := strconv.Atoi(r.URL.Query().Get("t")); err == nil {
		return time.Duration(t) * time.Second
	}
	return i.ownGrace()
}

func stopNow(_ http.ResponseWriter, r *http.Request, i *instance) error {
	if !i.state.Running {
		return &answer{http.StatusNotModified, ""}
	}
	i.stop(i.grace(r))
	i.removeItself()
	return nil
}

func restartNow(_ http.ResponseWriter, r *http.Request, i *instance) error {
	if i.state.Running {
		i.stop(i.grace(r))
	}
	if i.state.Running { // somebody else was faster
		return nil
	}
	i.restarts, i.delay = 0, 0
	if err := i.start(); err != nil {
		return &answer{http.StatusInternalServerError, fmt.Sprintf("Cannot restart container %s: %s", r.PathValue("id"), err)}
	}
	i.e.publish(i, events.ActionRestart, nil)
	return nil
}

// killNow sends a signal, and continues what is paused: any signal marks the container as stopped by hand, unless it has a
// stop signal of its own and this is another one (engine facts 21 and 24).
func killNow(_ http.ResponseWriter, r *http.Request, i *instance) error {
	if !i.state.Running {
		return &answer{http.StatusConflict, fmt.Sprintf("Cannot kill container: %s: Container %s is not running", r.PathValue("id"), i.id)}
	}
	if i.state.Restarting { // there is no process: the loop ends
		i.manual = true
		i.end(i.state.ExitCode, true)
		return nil
	}
	signal := signalNumber(cmp.Or(r.URL.Query().Get("signal"), "KILL"))
	if i.config.StopSignal == "" || signal == i.stopSignal() || signal == "9" {
		i.manual = true
		i.resume()
	}
	i.signalled(signal)
	if signal == "9" {
		i.end(137, false)
		i.removeItself()
	}
	return nil
}

// resume continues what is paused.
func (i *instance) resume() {
	if i.state.Paused {
		i.state.Paused, i.state.Status = false, "running"
		i.e.publish(i, events.ActionUnPause, nil)
	}
}

func renameNow(_ http.ResponseWriter, r *http.Request, i *instance) error {
	err := i.rename(r.URL.Query().Get("name"))
	if a := (*answer)(nil); errors.As(err, &a) && a.status == http.StatusConflict {
		return &answer{a.status, "Error when allocating new name: " + a.text}
	}
	return err
}

// nameConflict is the answer when a name is taken; it names the holder (engine fact 14).
func nameConflict(name string, holder *instance) error {
	return &answer{http.StatusConflict, fmt.Sprintf("Conflict. The container name \"/%s\" is already in use by container \"%s\". You have to remove (or rename) that container to be able to reuse that name.", name, holder.id)}
}

func updateNow(w http.ResponseWriter, r *http.Request, i *instance) error {
	var u container.UpdateConfig
	if err := decode(r, &u); err != nil {
		return err
	}
	i.e.called(r, Call{Op: "update", Of: i.facts(), Size: u.Memory})
	if u.RestartPolicy.Name != "" {
		i.setPolicy(u.RestartPolicy)
	}
	i.made = nil
	if err := overlay(&i.host.Resources, u.Resources); err != nil {
		return err
	}
	i.e.publish(i, events.ActionUpdate, nil)
	reply(w, http.StatusOK, container.UpdateResponse{})
	return nil
}

// overlay sets the fields that are not zero.
func overlay(resources *container.Resources, change container.Resources) error {
	var fields map[string]any
	text, err := json.Marshal(change)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &fields); err != nil {
		return err
	}
	maps.DeleteFunc(fields, func(_ string, v any) bool { return v == nil || reflect.ValueOf(v).IsZero() })
	if text, err = json.Marshal(fields); err != nil {
		return err
	}
	return json.Unmarshal(text, resources)
}

func pauseNow(_ http.ResponseWriter, _ *http.Request, i *instance) error {
	if err := i.mustRun(); err != nil {
		return err
	}
	i.state.Paused, i.state.Status = true, "paused"
	i.uncheck()
	i.e.publish(i, events.ActionPause, nil)
	return nil
}

// mustRun is the refusal of what needs a process (engine fact 23).
func (i *instance) mustRun() error {
	switch {
	case !i.state.Running:
		return &answer{http.StatusConflict, fmt.Sprintf("Container %s is not running", i.id)}
	case i.state.Restarting:
		return &answer{http.StatusConflict, fmt.Sprintf("Container %s is restarting, wait until the container is running", i.id)}
	}
	return nil
}

func unpauseNow(_ http.ResponseWriter, _ *http.Request, i *instance) error {
	if !i.state.Paused {
		return &answer{http.StatusInternalServerError, fmt.Sprintf("Container %s is not paused", i.id)}
	}
	i.resume()
	return nil
}

func removeNow(w http.ResponseWriter, r *http.Request, i *instance) error {
	i.e.called(r, Call{Op: "remove", Of: i.facts(), WithVolumes: isTrue(r.URL.Query().Get("v"))})
	if i.state.Running {
		if r.URL.Query().Get("force") != "1" {
			return &answer{http.StatusConflict, fmt.Sprintf("You cannot remove a running container %s. Stop the container before attempting removal or force remove", i.id)}
		}
		i.manual = true
		i.end(137, false)
	}
	i.e.calls = append(i.e.calls, "remove "+i.name)
	i.remove(isTrue(r.URL.Query().Get("v")))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// merge adds the image's defaults to the container's configuration, and what the engine makes of unset values.
func (i *instance) merge(defaults any) {
	var img container.Config // both are the same JSON
	data, err := json.Marshal(defaults)
	if err == nil {
		_ = json.Unmarshal(data, &img)
	}
	c := i.config
	if len(c.Entrypoint) == 0 {
		if len(c.Cmd) == 0 {
			c.Cmd = img.Cmd
		}
		c.Entrypoint = img.Entrypoint
	}
	labels := maps.Clone(img.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, c.Labels)
	c.Labels = labels
	for _, v := range img.Env {
		key, _, _ := strings.Cut(v, "=")
		if !slices.ContainsFunc(c.Env, func(own string) bool { return strings.HasPrefix(own, key+"=") }) {
			c.Env = append(c.Env, v)
		}
	}
	if c.WorkingDir == "" {
		c.WorkingDir = img.WorkingDir
	}
	if c.User == "" {
		c.User = img.User
	}
	if c.Hostname == "" {
		c.Hostname = i.id[:12]
	}
	if c.Healthcheck == nil {
		c.Healthcheck = img.Healthcheck
	}
	h := i.host
	if h.LogConfig.Type == "" {
		h.LogConfig = container.LogConfig{Type: "json-file", Config: map[string]string{}}
	}
	if h.ShmSize == 0 {
		h.ShmSize = 64 << 20
	}
	if h.Memory > 0 && h.MemorySwap == 0 {
		h.MemorySwap = 2 * h.Memory
	}
	if h.IpcMode == "" {
		h.IpcMode = "private"
	}
	if h.CgroupnsMode == "" {
		h.CgroupnsMode = "host"
	}
	if h.Runtime == "" {
		h.Runtime = "runc"
	}
}
