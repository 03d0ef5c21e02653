package drift

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/blkiodev"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"composure/spec"
)

// ownNetworks: attachments mean something only where both sides have networks of their own.
func ownNetworks(want, have *shape) bool {
	return attached(want.host.NetworkMode) == attached(have.host.NetworkMode)
}

func sameLogDriver(want, have *shape) bool {
	return want.host.LogConfig.Type == have.host.LogConfig.Type
}

// The engine refuses to set cpus where a quota or period is set, and the other way round.
func cpuQuotaThere(_, have *shape) bool { return have.host.CPUQuota > 0 || have.host.CPUPeriod > 0 }
func cpusThere(_, have *shape) bool     { return have.host.NanoCPUs > 0 }

// labels are those of the file and the image, and of docker compose's own the ones without which the two tools would
// not find the container (docker compose ignores one without a config hash).
func labels(s *shape) elements {
	found := elements{}
	for key, value := range s.config.Labels {
		switch {
		case key == spec.LabelConfigHash:
			found[key] = "present"
		case key == spec.LabelProject, key == spec.LabelService, key == spec.LabelNumber:
			found[key] = value
		case key == spec.LabelOneOff:
			found[key] = strings.ToLower(value)
		case strings.HasPrefix(key, "com.docker.compose."), strings.HasPrefix(key, spec.LabelOwnPrefix), strings.HasPrefix(key, "desktop.docker."):
		default:
			found[key] = either(value, `""`)
		}
	}
	return found
}

// checked returns the healthcheck, or nil where there is none in effect.
func checked(s *shape) *container.HealthConfig {
	h := s.config.Healthcheck
	if h == nil || len(h.Test) == 0 || h.Test[0] == "NONE" {
		return nil
	}
	return h
}

func presence(s *shape) string {
	if checked(s) == nil {
		return ""
	}
	return "configured"
}

func health(get func(*container.HealthConfig) string) func(*shape) string {
	return func(s *shape) string {
		if h := checked(s); h != nil {
			return get(h)
		}
		return ""
	}
}

// attachedToRemoved is how a report shows that a container is still to be attached to a network that there is no more.
const attachedToRemoved = "attached to one of that name that was removed"

func attachments(s *shape) elements {
	found := elements{}
	for key := range s.networks {
		found[key] = "attached"
		if s.removed[key] {
			found[key] = attachedToRemoved
		}
	}
	return found
}

func endpoints(get func(*network.EndpointSettings) string) func(*shape) elements {
	return func(s *shape) elements {
		found := elements{}
		for key, e := range s.networks {
			found[key] = get(e)
		}
		return found
	}
}

func static(e *network.EndpointSettings) network.EndpointIPAMConfig {
	if e.IPAMConfig == nil {
		return network.EndpointIPAMConfig{}
	}
	return *e.IPAMConfig
}

// hardware is a MAC address as the engine shows it, however it was written.
func hardware(address string) string { return strings.ToLower(strings.ReplaceAll(address, "-", ":")) }

// ports are by container port; each value lists where it is published, in any order.
func ports(s *shape) elements {
	found := elements{}
	for port, bindings := range s.host.PortBindings {
		var published []string
		for _, b := range bindings {
			host := b.HostPort
			if host == "" || host == "0" {
				host = "any port"
			}
			if b.HostIP != "" {
				host = b.HostIP + ":" + host
			}
			published = append(published, host)
		}
		if len(published) > 0 {
			found[string(port)] = set(published)
		}
	}
	return found
}

func exposed(s *shape) elements {
	found := elements{}
	for port := range s.config.ExposedPorts {
		found[string(port)] = "exposed"
	}
	return found
}

func extraHosts(s *shape) elements {
	addresses := map[string][]string{}
	for _, entry := range s.host.ExtraHosts {
		if host, address, ok := strings.Cut(entry, ":"); ok {
			addresses[host] = append(addresses[host], strings.Trim(address, "[]"))
		}
	}
	found := elements{}
	for host, list := range addresses {
		found[host] = set(list)
	}
	return found
}

func mounts(s *shape) elements {
	found := elements{}
	for destination, m := range s.mounts {
		found[destination] = m.String()
	}
	return found
}

func devices(s *shape) elements {
	found := elements{}
	for _, d := range s.host.Devices {
		found[path.Clean(d.PathInContainer)] = d.PathOnHost + " " + either(d.CgroupPermissions, "rwm")
	}
	return found
}

func deviceRequests(s *shape) string {
	if len(s.host.DeviceRequests) == 0 {
		return ""
	}
	var list []string
	for _, r := range s.host.DeviceRequests {
		data, err := json.Marshal(struct {
			Driver       string            `json:"driver,omitempty"`
			Count        int               `json:"count,omitempty"`
			DeviceIDs    []string          `json:"device_ids,omitempty"`
			Capabilities [][]string        `json:"capabilities,omitempty"`
			Options      map[string]string `json:"options,omitempty"`
		}{r.Driver, r.Count, r.DeviceIDs, r.Capabilities, r.Options})
		if err != nil { // strings and numbers only: cannot fail
			data = []byte(err.Error())
		}
		list = append(list, string(data))
	}
	return set(list)
}

// securityOptions in one form: the older name:value is name=value, and empty lists of masked and read-only paths are
// what systempaths=unconfined turns into.
func securityOptions(h *container.HostConfig) []string {
	var options []string
	for _, option := range h.SecurityOpt {
		if name, value, ok := strings.Cut(option, ":"); ok && !strings.Contains(name, "=") {
			option = name + "=" + value
		}
		options = append(options, strings.TrimSuffix(option, "=true"))
	}
	if h.MaskedPaths != nil && len(h.MaskedPaths) == 0 && h.ReadonlyPaths != nil && len(h.ReadonlyPaths) == 0 && !h.Privileged {
		options = append(options, "systempaths=unconfined")
	}
	return options
}

func capabilities(names []string) string {
	var list []string
	for _, name := range names {
		list = append(list, strings.TrimPrefix(strings.ToUpper(name), "CAP_"))
	}
	return set(list)
}

func ulimits(s *shape) elements {
	found := elements{}
	for _, u := range s.host.Ulimits {
		found[u.Name] = fmt.Sprintf("%d:%d", u.Soft, u.Hard)
		if u.Soft == u.Hard {
			found[u.Name] = strconv.FormatInt(u.Soft, 10)
		}
	}
	return found
}

func weights(s *shape) elements {
	found := elements{}
	for _, d := range s.host.BlkioWeightDevice {
		found[d.Path] = strconv.Itoa(int(d.Weight))
	}
	return found
}

func throttle(get func(*container.HostConfig) []*blkiodev.ThrottleDevice) func(*shape) elements {
	return func(s *shape) elements {
		found := elements{}
		for _, d := range get(&s.host) {
			found[d.Path] = strconv.FormatUint(d.Rate, 10)
		}
		return found
	}
}

func restart(s *shape) string {
	p := s.host.RestartPolicy
	switch {
	case p.IsNone():
		return "no"
	case p.IsOnFailure() && p.MaximumRetryCount > 0:
		return fmt.Sprintf("on-failure:%d", p.MaximumRetryCount)
	}
	return string(p.Name)
}

func stopGrace(s *shape) string {
	if s.config.StopTimeout == nil {
		return "10s" // the engine's default
	}
	return (time.Duration(*s.config.StopTimeout) * time.Second).String()
}

func swappiness(s *shape) string {
	if v := s.host.MemorySwappiness; v != nil && *v >= 0 {
		return strconv.FormatInt(*v, 10)
	}
	return ""
}

func cpus(s *shape) string {
	switch n := s.host.NanoCPUs; n {
	case 0:
		return ""
	case 1e9:
		return "1 CPU"
	default:
		return strconv.FormatFloat(float64(n)/1e9, 'f', -1, 64) + " CPUs"
	}
}

func pids(s *shape) string {
	if p := s.host.PidsLimit; p != nil && *p > 0 {
		return strconv.FormatInt(*p, 10)
	}
	return ""
}

func cleanDir(dir string) string {
	if dir == "" || dir == "/" {
		return ""
	}
	return path.Clean(dir)
}

// The constructors of readers.

func flag(get func(*shape) bool) func(*shape) string {
	return func(s *shape) string { return strconv.FormatBool(get(s)) }
}

func list(get func(*shape) []string) func(*shape) string {
	return func(s *shape) string { return quote(get(s)) }
}

func size(get func(*container.HostConfig) int64) func(*shape) string {
	return func(s *shape) string { return bytes(get(&s.host)) }
}

func number(get func(*container.HostConfig) int64, unit string) func(*shape) string {
	return func(s *shape) string {
		if n := get(&s.host); n != 0 {
			return strconv.FormatInt(n, 10) + unit
		}
		return ""
	}
}

func mapping(get func(*shape) map[string]string) func(*shape) elements {
	return func(s *shape) elements {
		found := elements{}
		for key, value := range get(s) {
			found[key] = either(value, `""`)
		}
		return found
	}
}

// set renders what has no order.
func set(list []string) string {
	list = slices.Clone(list)
	slices.Sort(list)
	return strings.Join(slices.Compact(list), ", ")
}

func pairs(m map[string]string) string {
	var list []string
	for _, key := range slices.Sorted(maps.Keys(m)) {
		list = append(list, key+"="+m[key])
	}
	return strings.Join(list, ", ")
}
