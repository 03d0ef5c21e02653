package simengine

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"
)

// hands are what a person does to a container with the docker command.
var hands = map[string]func(i *instance, arg string) error{
	"start": func(i *instance, _ string) error { return startNow(nil, nil, i) },
	"stop": func(i *instance, _ string) error {
		if i.state.Running {
			i.stop(10e9)
		}
		return nil
	},
	"kill": func(i *instance, _ string) error {
		if i.state.Running && !i.state.Restarting {
			i.manual = true
			i.end(137, false)
		}
		return nil
	},
	"restart": func(i *instance, _ string) error {
		if i.state.Running {
			i.stop(10e9)
		}
		if i.state.Running {
			return nil
		}
		return i.start()
	},
	"pause":   func(i *instance, _ string) error { return pauseNow(nil, nil, i) },
	"unpause": func(i *instance, _ string) error { return unpauseNow(nil, nil, i) },
	"remove": func(i *instance, _ string) error {
		if i.state.Running {
			i.manual = true
			i.end(137, false)
		}
		i.remove(false)
		return nil
	},
	"rename": func(i *instance, to string) error { return i.rename(to) },
	"memory": func(i *instance, limit string) error {
		bytes, err := strconv.ParseInt(limit, 10, 64)
		i.host.Memory, i.host.MemorySwap, i.made = bytes, 2*bytes, nil
		i.e.publish(i, events.ActionUpdate, nil)
		return err
	},
	"policy": func(i *instance, policy string) error {
		i.setPolicy(container.RestartPolicy{Name: container.RestartPolicyMode(policy)})
		i.e.publish(i, events.ActionUpdate, nil)
		return nil
	},
	"disconnect": func(i *instance, name string) error {
		if i.networks[name] == nil {
			return fmt.Errorf("not connected to %s", name)
		}
		i.leave(name)
		return nil
	},
	"recreate": func(i *instance, env string) error {
		if i.state.Running {
			i.manual = true
			i.end(137, false)
		}
		i.remove(false)
		config, host := *i.config, *i.host
		config.Env = append(slices.Clone(i.config.Env), env)
		own := &instance{
			e: i.e, id: i.e.id("container " + i.name), name: i.name, created: i.e.now(), image: i.image, config: &config, host: &host,
			networks: map[string]*network.EndpointSettings{}, anonymous: maps.Clone(i.anonymous),
		}
		config.Hostname = own.id[:12]
		own.state = container.State{Status: "created", StartedAt: never, FinishedAt: never}
		for name, s := range i.networks {
			settings := s.Copy()
			settings.Aliases = slices.DeleteFunc(settings.Aliases, func(a string) bool { return a == i.id[:12] })
			own.attach(name, settings)
		}
		i.e.containers[own.id] = own
		i.e.publish(own, events.ActionCreate, nil)
		time.AfterFunc(betweenCalls, func() {
			i.e.mu.Lock()
			defer i.e.mu.Unlock()
			if i.e.containers[own.id] == own && !own.state.Running {
				_ = own.start() // what the person is told does not matter here
			}
		})
		return nil
	},
}

// betweenCalls is the time that the docker command takes from the creation of a container to its start.
const betweenCalls = 300 * time.Millisecond

// ByHand does what a person does with the docker command to the container of a name: start, stop, kill, restart, pause,
// unpause, remove, rename NAME, memory BYTES, policy NAME, disconnect NETWORK, recreate KEY=VALUE (with all labels kept).
func (e *Engine) ByHand(name, what, arg string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	i := e.find(name)
	if i == nil {
		return fmt.Errorf("no container %s", name)
	}
	return hands[what](i, arg)
}

// Foreign runs a container of somebody else, which may publish a port; "": none.
func (e *Engine) Foreign(name, image, port string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	img := e.image(image)
	if img == nil || e.find(name) != nil {
		return fmt.Errorf("cannot run %s", name)
	}
	i := &instance{
		e: e, id: e.id("container " + name), name: name, created: e.now(), image: img.ID, config: &container.Config{Image: image},
		host: &container.HostConfig{NetworkMode: "default"}, networks: map[string]*network.EndpointSettings{},
	}
	if port != "" {
		i.host.PortBindings, i.config.ExposedPorts = nat.PortMap{"80/tcp": {{HostPort: port}}}, nat.PortSet{"80/tcp": {}}
	}
	i.merge(img.Config)
	i.state = container.State{Status: "created", StartedAt: never, FinishedAt: never}
	i.attach("bridge", nil)
	e.containers[i.id] = i
	e.publish(i, events.ActionCreate, nil)
	return i.start()
}

// remove takes a container away, with the volumes that the engine named for it when asked to.
func (i *instance) remove(volumes bool) {
	delete(i.e.containers, i.id)
	i.run++
	for _, name := range i.anonymous {
		if volumes && len(i.e.usersOf(name)) == 0 {
			delete(i.e.volumes, name)
		}
	}
	i.e.publish(i, events.ActionDestroy, nil)
}

// removeItself is the removal of a container that was to live for one run only, with the volumes that were its own (engine
// fact 26).
func (i *instance) removeItself() {
	if i.host.AutoRemove && !i.state.Running && i.e.containers[i.id] != nil {
		i.remove(true)
	}
}

func (i *instance) leave(name string) {
	n := i.e.networks[name]
	delete(i.networks, name)
	if n != nil {
		i.e.networkEvent(events.ActionDisconnect, n, i.id)
	}
	i.e.happened(i, "disconnect")
}

func (i *instance) rename(name string) error {
	name = strings.TrimPrefix(name, "/")
	if name == i.name {
		return &answer{http.StatusBadRequest, "Renaming a container with the same name as its current name"}
	}
	if holder := i.e.find(name); holder != nil {
		return nameConflict(name, holder)
	}
	i.name = name
	i.e.publish(i, events.ActionRename, nil)
	return nil
}

func (i *instance) setPolicy(p container.RestartPolicy) {
	i.made = nil
	i.host.RestartPolicy = p // a restart that is due comes nevertheless (engine fact 25)
}
