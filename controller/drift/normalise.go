package drift

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"composure/controller/observe"
)

// This file is the one place that knows what the engine makes of a create request: what it takes from the image, which
// values it fills in by itself, and which it writes back in another form. Everything here was seen on an engine (20.10,
// 26.1 or 28.5) or stands in moby's daemon package.

// normalise fills what a request leaves open with what the observed container has, wherever the engine or the image may
// have chosen it. Afterwards every difference between the two shapes is a drift.
//
// img is the image the container was made from, so that another image is one drift and not one for each of its
// defaults; nil: unknown, and what an image could have set is taken from the container.
func normalise(want, have *shape, img *image.InspectResponse, s *observe.Snapshot) {
	inheritMounts(want, have, s)
	if img != nil && img.Config != nil {
		fromImage(want, img)
	} else {
		fromContainer(want, have)
	}
	fromEngineConfig(want, have)
	fromEnginePorts(want, have)
	fromEngineHost(want, have, s.Engine)
	fromEngineMemory(&want.host, &have.host, s.Engine)
	fromEngineNetworks(want, have)
	fromEngineMounts(want, have, s.Engine)
}

// fromImage merges the image's defaults in, as the engine does at create (daemon/commit.go, merge).
func fromImage(want *shape, img *image.InspectResponse) {
	c, d := &want.config, img.Config
	if c.User == "" {
		c.User = d.User
	}
	if c.WorkingDir == "" {
		c.WorkingDir = d.WorkingDir
	}
	if c.StopSignal == "" {
		c.StopSignal = d.StopSignal
	}
	c.ExposedPorts = maps.Clone(c.ExposedPorts)
	if c.ExposedPorts == nil {
		c.ExposedPorts = nat.PortSet{}
	}
	for port := range d.ExposedPorts {
		c.ExposedPorts[nat.Port(port)] = struct{}{}
	}
	set := environment(c.Env)
	c.Env = slices.Clone(c.Env)
	for _, entry := range d.Env {
		if key, _, _ := strings.Cut(entry, "="); set[key] == "" {
			c.Env = append(c.Env, entry)
		}
	}
	if len(c.Entrypoint) == 0 {
		if len(c.Cmd) == 0 {
			c.Cmd = d.Cmd
		}
		if c.Entrypoint == nil {
			c.Entrypoint = d.Entrypoint
		}
	}
	labels := maps.Clone(d.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, c.Labels)
	c.Labels = labels
	c.Healthcheck = mergeHealthcheck(c.Healthcheck, d.Healthcheck)
	for destination := range d.Volumes {
		if _, mounted := want.mounts[path.Clean(destination)]; !mounted {
			want.mounts[path.Clean(destination)] = mountPoint{kind: mount.TypeVolume}
		}
	}
}

// mergeHealthcheck inherits each setting that the file leaves out.
func mergeHealthcheck(own, inherited *container.HealthConfig) *container.HealthConfig {
	if own == nil || inherited == nil {
		if own == nil {
			return inherited
		}
		return own
	}
	merged := *own
	if len(merged.Test) == 0 {
		merged.Test = inherited.Test
	}
	if merged.Interval == 0 {
		merged.Interval = inherited.Interval
	}
	if merged.Timeout == 0 {
		merged.Timeout = inherited.Timeout
	}
	if merged.StartPeriod == 0 {
		merged.StartPeriod = inherited.StartPeriod
	}
	if merged.StartInterval == 0 {
		merged.StartInterval = inherited.StartInterval
	}
	if merged.Retries == 0 {
		merged.Retries = inherited.Retries
	}
	return &merged
}

// fromContainer takes what an unknown image could have set from the container: what is there beyond the file is then
// not compared.
func fromContainer(want, have *shape) {
	c := &have.config
	exposed := map[string]struct{}{}
	for port := range c.ExposedPorts {
		exposed[string(port)] = struct{}{}
	}
	fromImage(want, &image.InspectResponse{Config: &dockerspec.DockerOCIImageConfig{
		ImageConfig: ocispec.ImageConfig{
			User: c.User, Env: c.Env, Entrypoint: c.Entrypoint, Cmd: c.Cmd, WorkingDir: c.WorkingDir,
			ExposedPorts: exposed, Labels: c.Labels, StopSignal: c.StopSignal,
		},
		DockerOCIImageConfigExt: dockerspec.DockerOCIImageConfigExt{Healthcheck: c.Healthcheck},
	}})
	for destination, m := range have.mounts {
		if _, mounted := want.mounts[destination]; !mounted && m.kind == mount.TypeVolume && engineNamed.MatchString(m.source) {
			want.mounts[destination] = m
		}
	}
}

// fromEngineConfig is about names and streams.
func fromEngineConfig(want, have *shape) {
	c := &want.config
	shared := sharesName(want.host.NetworkMode) || sharesName(have.host.NetworkMode)
	if have.config.Hostname == "" || shortIDOf(have.id, have.config.Hostname) {
		have.config.Hostname = ""
	}
	if c.Hostname == "" && shared {
		c.Hostname = have.config.Hostname
	}
	if c.Domainname == "" && shared {
		c.Domainname = have.config.Domainname
	}
	for _, endpoint := range want.networks {
		if c.MacAddress == "" && endpoint.MacAddress != "" {
			have.config.MacAddress = "" // from API 1.44 on the engine repeats a network's address here; the network's is compared
		}
	}
	if len(c.Entrypoint) == 1 && c.Entrypoint[0] == "" { // how a request says "none"
		c.Entrypoint = nil
	}
	env := environment(c.Env)
	for _, entry := range have.config.Env {
		if key, _, _ := strings.Cut(entry, "="); proxies[strings.ToLower(key)] && env[key] == "" {
			c.Env = append(slices.Clone(c.Env), entry)
		}
	}
}

// fromEnginePorts: publishing a port exposes it, so only ports that neither side publishes are compared as exposed.
func fromEnginePorts(want, have *shape) {
	for _, s := range []*shape{want, have} {
		s.config.ExposedPorts = canonicalPorts(s.config.ExposedPorts)
		maps.DeleteFunc(s.config.ExposedPorts, func(port nat.Port, _ struct{}) bool {
			return len(want.host.PortBindings[port]) > 0 || len(have.host.PortBindings[port]) > 0
		})
	}
}

// canonicalPorts are single ports with their protocol: docker compose v2.40 hands `expose` to the engine as it is
// written, such as "8080" or "9000-9002", and the engine keeps it.
func canonicalPorts(ports nat.PortSet) nat.PortSet {
	canonical := nat.PortSet{}
	for key := range ports {
		protocol, port := nat.SplitProtoPort(string(key))
		first, last, err := nat.ParsePortRange(port)
		if err != nil {
			canonical[key] = struct{}{}
			continue
		}
		for n := first; n <= last; n++ {
			canonical[nat.Port(fmt.Sprintf("%d/%s", n, protocol))] = struct{}{}
		}
	}
	return canonical
}

// sharesName: in the network of the host or of another container, a container has the name of that one.
func sharesName(mode container.NetworkMode) bool { return mode.IsHost() || mode.IsContainer() }

// proxies are variables that docker's client configuration adds to every container.
var proxies = map[string]bool{"http_proxy": true, "https_proxy": true, "ftp_proxy": true, "no_proxy": true, "all_proxy": true}

// fromEngineHost is about the daemon's own defaults.
func fromEngineHost(want, have *shape, engine observe.Engine) {
	w, h := &want.host, &have.host
	defaultDriver, defaultRuntime := engine.LogDriver, engine.Runtime
	if defaultDriver == "" {
		defaultDriver = "json-file"
	}
	if defaultRuntime == "" {
		defaultRuntime = "runc"
	}
	if w.LogConfig.Type == "" {
		w.LogConfig.Type = defaultDriver
	}
	// The daemon's log options go into every container of its default driver and cannot be asked for.
	if w.LogConfig.Type == defaultDriver && h.LogConfig.Type == defaultDriver {
		options := maps.Clone(h.LogConfig.Config)
		if options == nil {
			options = map[string]string{}
		}
		maps.Copy(options, w.LogConfig.Config)
		w.LogConfig.Config = options
	}
	if w.Runtime == "" && (h.Runtime == defaultRuntime || h.Runtime == "") {
		w.Runtime = h.Runtime
	}
	if w.ShmSize == 0 {
		w.ShmSize = 64 << 20
	}
	if w.IpcMode == "" {
		w.IpcMode = container.IPCModePrivate
		if h.IpcMode.IsShareable() { // the daemon's default-ipc-mode
			w.IpcMode = h.IpcMode
		}
	}
	if w.CgroupnsMode == "" { // host on cgroup v1, private on v2, unless the daemon says otherwise
		w.CgroupnsMode = h.CgroupnsMode
	}
	if w.Isolation == "" && h.Isolation.IsDefault() {
		w.Isolation = h.Isolation
	}
	if unconfinedBySharing(h) && !slices.Contains(w.SecurityOpt, unconfinedLabel) {
		h.SecurityOpt = slices.DeleteFunc(slices.Clone(h.SecurityOpt), func(option string) bool { return option == unconfinedLabel })
	}
}

// fromEngineUlimits: the engine shows the daemon's default-ulimits with every container that has none of that name, and tells of
// them nowhere else (daemon/inspect.go, mergeUlimits). One that another container has not was given by hand. Where the file was edited
// they may be what was taken out of it.
func fromEngineUlimits(w, h *container.HostConfig, s *observe.Snapshot) {
	for _, u := range h.Ulimits {
		lacks := func(c observe.Container) bool {
			return c.Inspect.HostConfig != nil && !hasUlimit(c.Inspect.HostConfig, u.Name)
		}
		if !hasUlimit(w, u.Name) && !slices.ContainsFunc(s.Containers, lacks) {
			w.Ulimits = append(slices.Clone(w.Ulimits), u)
		}
	}
}

const unconfinedLabel = "label=disable"

// unconfinedBySharing: the engine adds label=disable to containers that see the host's processes or devices.
func unconfinedBySharing(h *container.HostConfig) bool {
	return h.Privileged || h.PidMode.IsHost() || h.IpcMode.IsHost()
}

// fromEngineSharing: of a container that the file names, the engine keeps the id. Whose id it is, is known of the stack's own
// containers only; any other is taken for the one that is named, unless the file was edited.
func fromEngineSharing(w, h *container.HostConfig, s *observe.Snapshot, same bool) {
	w.NetworkMode = container.NetworkMode(joined(string(w.NetworkMode), string(h.NetworkMode), s, same))
	w.IpcMode = container.IpcMode(joined(string(w.IpcMode), string(h.IpcMode), s, same))
	w.PidMode = container.PidMode(joined(string(w.PidMode), string(h.PidMode), s, same))
}

// joined is the mode of a namespace with the id of the container that it names.
func joined(want, have string, s *observe.Snapshot, same bool) string {
	name, shares := strings.CutPrefix(want, sharing)
	if !shares || engineNamed.MatchString(name) {
		return want
	}
	for _, c := range s.Containers {
		if c.Name == name {
			return sharing + c.ID
		}
	}
	if same && strings.HasPrefix(have, sharing) {
		return have
	}
	return want
}

// fromEngineMemory: swap that is not set is twice the memory, or -1 where the kernel cannot limit it. It follows the
// memory of the container too, so that a memory limit changed by hand is one drift.
func fromEngineMemory(w, h *container.HostConfig, engine observe.Engine) {
	if w.MemorySwap != 0 {
		return
	}
	if h.MemorySwap == 2*h.Memory || h.MemorySwap == -1 && slices.Contains(engine.Drops, "memswap_limit") {
		w.MemorySwap = h.MemorySwap
	} else {
		w.MemorySwap = 2 * w.Memory
	}
}

// fromEngineNetworks: the engine adds names of its own to the aliases, and the networks of the modes without any.
func fromEngineNetworks(want, have *shape) {
	bridged := attached(want.host.NetworkMode) == "networks"
	if bridged && len(want.networks) == 0 {
		want.networks["bridge"] = &network.EndpointSettings{}
	}
	if !bridged {
		want.networks = map[string]*network.EndpointSettings{}
	}
	if attached(have.host.NetworkMode) != "networks" {
		have.networks = map[string]*network.EndpointSettings{}
	}
	for key, e := range have.networks {
		own := *e
		own.Aliases = nil
		for _, alias := range e.Aliases {
			if !shortIDOf(have.id, alias) && (alias != have.config.Hostname || asks(want.networks[key], alias)) {
				own.Aliases = append(own.Aliases, alias)
			}
		}
		switch asked := want.networks[key]; {
		case asked == nil || asked.MacAddress == "": // a running endpoint shows the one it was given
			own.MacAddress = ""
		case own.MacAddress == "": // the engine shows none while the container does not run
			own.MacAddress = asked.MacAddress
		}
		have.networks[key] = &own
	}
}

// removedNetworks are the attachments of a container that does not run to networks that were removed since, and made again
// under the same name: the engine keeps the id, and does not find it at the start. A running one holds its network.
func removedNetworks(c *observe.Container, keys map[string]string, s *observe.Snapshot) map[string]bool {
	removed := map[string]bool{}
	if c.Inspect.NetworkSettings == nil {
		return removed
	}
	for name, e := range c.Inspect.NetworkSettings.Networks {
		if there, known := s.Networks[name]; known && e != nil && e.EndpointID == "" && e.NetworkID != "" && there.ID != "" && e.NetworkID != there.ID {
			removed[networkKey(keys, name)] = true
		}
	}
	return removed
}

// shortIDOf says whether a name is the container's id as the engine shortens it: twelve digits at least, since a service
// "db" may well have a container db4f….
func shortIDOf(id, name string) bool { return len(name) >= 12 && strings.HasPrefix(id, name) }

func asks(e *network.EndpointSettings, alias string) bool {
	return e != nil && slices.Contains(e.Aliases, alias)
}

// inheritMounts adds what volumes_from takes from other containers. The last of them wins over the others, the service's own
// mounts over all of them, and they over the volumes of the image (daemon/volumes.go, registerMountPoints).
func inheritMounts(want, have *shape, s *observe.Snapshot) {
	for _, from := range slices.Backward(want.host.VolumesFrom) {
		id, mode, _ := strings.Cut(from, ":")
		inherited := have.mounts // of a container outside the stack: what it has is not known, so nothing of this one is a drift
		for i := range s.Containers {
			if source := &s.Containers[i]; (source.ID == id || source.Name == id) && source.Inspect.HostConfig != nil {
				inherited = givenMounts(source, mode, want.dir)
			}
		}
		for destination, m := range inherited {
			if _, mounted := want.mounts[destination]; !mounted && m.kind != mount.TypeTmpfs {
				want.mounts[destination] = m
			}
		}
	}
}

// givenMounts are what a container of the stack gives to one that takes its volumes.
func givenMounts(source *observe.Container, mode, dir string) map[string]mountPoint {
	given := observedMounts(source, source.Inspect.HostConfig)
	for destination, m := range given {
		m.readOnly = m.readOnly || mode == "ro"
		m.source = relocate(m.source, source.Label("com.docker.compose.project.working_dir"), dir)
		given[destination] = m
	}
	return given
}

// fromEngineMounts: an anonymous volume has whatever name the engine gave it, paths in the project directory are compared
// relative to it, and a bind that reaches the engine's own data is a slave's unless the request says otherwise.
func fromEngineMounts(want, have *shape, engine observe.Engine) {
	for destination, m := range have.mounts {
		if m.kind == mount.TypeBind {
			m.source = relocate(m.source, have.dir, want.dir)
		}
		if m.kind == mount.TypeVolume && engineNamed.MatchString(m.source) {
			m.source = ""
		}
		have.mounts[destination] = m
	}
	for destination, m := range want.mounts {
		if m.kind == mount.TypeVolume && engineNamed.MatchString(m.source) {
			m.source = ""
		}
		if m.kind == mount.TypeBind && m.propagation == "" && have.mounts[destination].propagation == mount.PropagationRSlave && reaches(m.source, engine.Root) {
			m.propagation = mount.PropagationRSlave
		}
		want.mounts[destination] = m
	}
}

// reaches says whether a path holds the engine's data or lies in it, by the engine's own rule (daemon/volumes_linux.go,
// validateBindDaemonRoot). Of an engine that does not say where its data is, any path may.
func reaches(source, root string) bool {
	return strings.HasPrefix(source, root) || strings.HasPrefix(root, source)
}
