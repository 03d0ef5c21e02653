package drift

import (
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"composure/controller/observe"
	"composure/spec"
)

// shape is a container as the field table reads it: what one must be and what one is have the same form, so that a
// field is read by one function on both sides. A shape is never written to after normalise.
type shape struct {
	config   container.Config
	host     container.HostConfig
	mounts   map[string]mountPoint                // by destination
	networks map[string]*network.EndpointSettings // by networkKey
	removed  map[string]bool                      // those of networks that are attachments to one of that name that was removed
	id       string                               // of an observed container
	dir      string                               // project directory that its paths are in
}

// desiredShape is the shape of what a container must be, before the engine's and the image's defaults are in it.
func desiredShape(stack *spec.Stack, want spec.Container, keys map[string]string) *shape {
	s := &shape{config: *want.Config, host: *want.Host, networks: map[string]*network.EndpointSettings{}, dir: stack.WorkingDir}
	for _, e := range want.Networks {
		s.networks[networkKey(keys, e.Network)] = settings(e.Settings)
	}
	s.mounts = requestedMounts(&s.config, &s.host)
	return s
}

// observedShape is the shape of what a container is.
func observedShape(c *observe.Container, keys map[string]string) *shape {
	s := &shape{id: c.ID, dir: c.Label(spec.LabelWorkingDir), networks: map[string]*network.EndpointSettings{}}
	if c.Inspect.Config != nil {
		s.config = *c.Inspect.Config
	}
	if c.Inspect.HostConfig != nil {
		s.host = *c.Inspect.HostConfig
	}
	if c.Inspect.NetworkSettings != nil {
		for name, e := range c.Inspect.NetworkSettings.Networks {
			s.networks[networkKey(keys, name)] = settings(e)
		}
	}
	s.mounts = observedMounts(c, &s.host)
	return s
}

// settings spares everybody the nil.
func settings(e *network.EndpointSettings) *network.EndpointSettings {
	if e == nil {
		return &network.EndpointSettings{}
	}
	return e
}

// networkKeys maps the engine's names of networks to the keys of the file.
func networkKeys(stack *spec.Stack) map[string]string {
	keys := map[string]string{}
	for _, n := range stack.Networks {
		keys[n.Name] = n.Key
	}
	return keys
}

func networkKey(keys map[string]string, name string) string {
	if key := keys[name]; key != "" {
		return key
	}
	if name == "default" { // what the API calls the network of name bridge
		return "bridge"
	}
	for _, key := range keys {
		if key == name { // one outside the file that is called as another one's key: app_proxy is "proxy" in the file
			return name + outside
		}
	}
	return name
}

// outside marks a network that is not the one of the file whose key is its name.
const outside = " (outside the file)"

// environment maps the variables to their values; a variable without "=" is one that is taken away from the image.
func environment(env []string) elements {
	vars := elements{}
	for _, entry := range env {
		key, value, set := strings.Cut(entry, "=")
		switch {
		case !set:
			vars[key] = "(removed)"
		case value == "":
			vars[key] = `""`
		default:
			vars[key] = value
		}
	}
	return vars
}

// attached says what ties the container to a network: networks of its own, the host's, another container's, or none.
func attached(mode container.NetworkMode) string {
	switch {
	case mode.IsHost(), mode.IsNone(), mode.IsContainer():
		return shared(string(mode))
	}
	return "networks"
}

// sharing is how a mode begins that takes a namespace of another container.
const sharing = "container:"

// shares says whether both modes take the namespace of a container: they differ in which one.
func shares(desired, observed string) bool {
	return strings.HasPrefix(desired, sharing) && strings.HasPrefix(observed, sharing)
}

// Uprooted says whether a drift is that the container whose namespace is shared was made anew.
func Uprooted(d Drift) bool {
	return slices.Contains([]string{"network_mode", "ipc", "pid"}, d.Field) && shares(d.Desired, d.Observed)
}

// shared shortens the id of the container that a namespace is shared with.
func shared(mode string) string {
	if id, ok := strings.CutPrefix(mode, sharing); ok {
		return sharing + shortID(id)
	}
	return mode
}
