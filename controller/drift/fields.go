package drift

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/blkiodev"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
)

// field is one thing that is compared. To compare another: one literal in the table below, one case in testdata.
type field struct {
	name   string   // as in a report; an element of a map-like field is name.element, or takes the place of the *
	keys   []string // where the file may set it, dotted, "*" for the element; none: name
	remedy Remedy
	one    func(*shape) string          // the value of a scalar, rendered; equal text is equal, "" is unset
	get    func(*shape) elements        // the values of a map-like field
	both   bool                         // only elements that both sides have: the parent field tells the rest
	sticky bool                         // an engine update cannot take it away, so removing it recreates
	clash  func(want, have *shape) bool // the engine update refuses to change it to this
	leaves bool                         // a daemon may have a default of its own for what the file does not set, which nothing tells of
	drops  bool                         // a kernel without support makes the engine drop it in silence
	when   func(want, have *shape) bool // else it is not compared
	secret bool                         // the names of its elements may say that the value is a secret
	absent string                       // how a report shows that it is not there; none: "unset"
	note   string                       // what it means, for the cause
}

// elements are the rendered values of a field by element; "" is the element of a scalar. What is not set is absent.
type elements map[string]string

// fields is the table. Its order is of no meaning; a report is sorted.
var fields = []field{
	// The process.
	{name: "command", remedy: RemedyRecreate, one: list(func(s *shape) []string { return s.config.Cmd })},
	{name: "entrypoint", remedy: RemedyRecreate, one: list(func(s *shape) []string { return s.config.Entrypoint })},
	{name: "environment", secret: true, remedy: RemedyRecreate, get: func(s *shape) elements { return environment(s.config.Env) }},
	{name: "user", remedy: RemedyRecreate, one: func(s *shape) string { return s.config.User }},
	{name: "working_dir", remedy: RemedyRecreate, one: func(s *shape) string { return cleanDir(s.config.WorkingDir) }},
	{name: "tty", remedy: RemedyRecreate, one: flag(func(s *shape) bool { return s.config.Tty })},
	{name: "stdin_open", remedy: RemedyRecreate, one: flag(func(s *shape) bool { return s.config.OpenStdin })},
	{name: "init", remedy: RemedyRecreate, one: flag(func(s *shape) bool { return s.host.Init != nil && *s.host.Init })},
	{name: "stop_signal", remedy: RemedyRecreate, one: func(s *shape) string { return signal(s.config.StopSignal) }},
	{name: "stop_grace_period", remedy: RemedyRecreate, one: stopGrace},
	{name: "hostname", remedy: RemedyRecreate, one: func(s *shape) string { return s.config.Hostname }},
	{name: "domainname", remedy: RemedyRecreate, one: func(s *shape) string { return s.config.Domainname }},
	{name: "mac_address", remedy: RemedyRecreate, one: func(s *shape) string { return s.config.MacAddress }},
	{name: "labels", secret: true, remedy: RemedyRecreate, get: labels},
	{name: "annotations", secret: true, remedy: RemedyRecreate, get: mapping(func(s *shape) map[string]string { return s.host.Annotations })},

	// Health. The parent says whether there is a check at all.
	{name: "healthcheck", absent: "none", remedy: RemedyRecreate, one: presence, note: "without it nobody notices when the service stops answering"},
	{name: "healthcheck.test", remedy: RemedyRecreate, both: true, one: health(func(h *container.HealthConfig) string { return quote(h.Test) })},
	{name: "healthcheck.interval", remedy: RemedyRecreate, both: true, one: health(func(h *container.HealthConfig) string { return duration(h.Interval, 30*time.Second) })},
	{name: "healthcheck.timeout", remedy: RemedyRecreate, both: true, one: health(func(h *container.HealthConfig) string { return duration(h.Timeout, 30*time.Second) })},
	{name: "healthcheck.start_period", remedy: RemedyRecreate, both: true, one: health(func(h *container.HealthConfig) string { return duration(h.StartPeriod, 0) })},
	{name: "healthcheck.start_interval", remedy: RemedyRecreate, both: true, one: health(func(h *container.HealthConfig) string { return duration(h.StartInterval, 5*time.Second) })},
	{name: "healthcheck.retries", remedy: RemedyRecreate, both: true, one: health(func(h *container.HealthConfig) string { return strconv.Itoa(either(h.Retries, 3)) })},

	// Limits. What the engine's update changes is in place.
	{name: "mem_limit", keys: []string{"mem_limit", "deploy.resources.limits.memory"}, remedy: RemedyInPlace, sticky: true, one: size(func(h *container.HostConfig) int64 { return h.Memory })},
	{name: "memswap_limit", remedy: RemedyInPlace, sticky: true, one: size(func(h *container.HostConfig) int64 { return h.MemorySwap })},
	{name: "mem_reservation", keys: []string{"mem_reservation", "deploy.resources.reservations.memory"}, remedy: RemedyInPlace, sticky: true, one: size(func(h *container.HostConfig) int64 { return max(h.MemoryReservation, 0) })},
	{name: "mem_swappiness", drops: true, remedy: RemedyRecreate, one: swappiness},
	{name: "cpus", keys: []string{"cpus", "deploy.resources.limits.cpus"}, remedy: RemedyInPlace, sticky: true, clash: cpuQuotaThere, one: cpus},
	{name: "cpu_quota", remedy: RemedyInPlace, sticky: true, clash: cpusThere, one: number(func(h *container.HostConfig) int64 { return max(h.CPUQuota, 0) }, " µs")},
	{name: "cpu_period", remedy: RemedyInPlace, sticky: true, clash: cpusThere, one: number(func(h *container.HostConfig) int64 { return h.CPUPeriod }, " µs")},
	{name: "cpu_rt_runtime", remedy: RemedyInPlace, sticky: true, one: number(func(h *container.HostConfig) int64 { return h.CPURealtimeRuntime }, " µs")},
	{name: "cpu_rt_period", remedy: RemedyInPlace, sticky: true, one: number(func(h *container.HostConfig) int64 { return h.CPURealtimePeriod }, " µs")},
	{name: "cpu_shares", remedy: RemedyInPlace, sticky: true, one: number(func(h *container.HostConfig) int64 { return h.CPUShares }, "")},
	{name: "cpuset", remedy: RemedyInPlace, sticky: true, one: func(s *shape) string { return s.host.CpusetCpus }},
	{name: "cpu_count", remedy: RemedyRecreate, one: number(func(h *container.HostConfig) int64 { return h.CPUCount }, "")},
	{name: "cpu_percent", remedy: RemedyRecreate, one: number(func(h *container.HostConfig) int64 { return h.CPUPercent }, "")},
	{name: "pids_limit", keys: []string{"pids_limit", "deploy.resources.limits.pids"}, remedy: RemedyInPlace, sticky: true, one: pids},
	{name: "shm_size", leaves: true, remedy: RemedyRecreate, one: size(func(h *container.HostConfig) int64 { return h.ShmSize })},
	{name: "ulimits", remedy: RemedyRecreate, get: ulimits},
	{name: "oom_kill_disable", drops: true, remedy: RemedyRecreate, one: flag(func(s *shape) bool { return s.host.OomKillDisable != nil && *s.host.OomKillDisable })},
	{name: "oom_score_adj", remedy: RemedyRecreate, one: number(func(h *container.HostConfig) int64 { return int64(h.OomScoreAdj) }, "")},
	{name: "blkio_config.weight", drops: true, remedy: RemedyInPlace, sticky: true, one: number(func(h *container.HostConfig) int64 { return int64(h.BlkioWeight) }, "")},
	{name: "blkio_config.weight_device", drops: true, remedy: RemedyRecreate, get: weights},
	{name: "blkio_config.device_read_bps", remedy: RemedyRecreate, get: throttle(func(h *container.HostConfig) []*blkiodev.ThrottleDevice { return h.BlkioDeviceReadBps })},
	{name: "blkio_config.device_write_bps", remedy: RemedyRecreate, get: throttle(func(h *container.HostConfig) []*blkiodev.ThrottleDevice { return h.BlkioDeviceWriteBps })},
	{name: "blkio_config.device_read_iops", remedy: RemedyRecreate, get: throttle(func(h *container.HostConfig) []*blkiodev.ThrottleDevice { return h.BlkioDeviceReadIOps })},
	{name: "blkio_config.device_write_iops", remedy: RemedyRecreate, get: throttle(func(h *container.HostConfig) []*blkiodev.ThrottleDevice { return h.BlkioDeviceWriteIOps })},
	{name: "cgroup_parent", remedy: RemedyRecreate, one: func(s *shape) string { return s.host.CgroupParent }},

	// Life cycle.
	{name: "restart", keys: []string{"restart", "deploy.restart_policy"}, remedy: RemedyInPlace, one: restart, note: "it decides whether the engine brings the container back"},
	{name: "auto_remove", remedy: RemedyRecreate, one: flag(func(s *shape) bool { return s.host.AutoRemove }), note: "the container and its anonymous volumes vanish when it stops"},

	// Network.
	{name: "network_mode", remedy: RemedyRecreate, one: func(s *shape) string { return attached(s.host.NetworkMode) }},
	{name: "networks", absent: "not attached", remedy: RemedyInPlace, when: ownNetworks, get: attachments},
	{name: "networks.*.aliases", absent: "none", remedy: RemedyInPlace, both: true, when: ownNetworks, get: endpoints(func(e *network.EndpointSettings) string { return set(e.Aliases) }), note: "other containers find the service by these names"},
	{name: "networks.*.links", keys: []string{"links"}, remedy: RemedyInPlace, when: ownNetworks, both: true, get: endpoints(func(e *network.EndpointSettings) string { return set(e.Links) })},
	{name: "networks.*.ipv4_address", remedy: RemedyInPlace, when: ownNetworks, both: true, get: endpoints(func(e *network.EndpointSettings) string { return static(e).IPv4Address })},
	{name: "networks.*.ipv6_address", remedy: RemedyInPlace, when: ownNetworks, both: true, get: endpoints(func(e *network.EndpointSettings) string { return static(e).IPv6Address })},
	{name: "networks.*.link_local_ips", remedy: RemedyInPlace, when: ownNetworks, both: true, get: endpoints(func(e *network.EndpointSettings) string { return set(static(e).LinkLocalIPs) })},
	{name: "networks.*.driver_opts", remedy: RemedyInPlace, when: ownNetworks, both: true, get: endpoints(func(e *network.EndpointSettings) string { return pairs(e.DriverOpts) })},
	{name: "networks.*.gw_priority", remedy: RemedyInPlace, when: ownNetworks, both: true, get: endpoints(func(e *network.EndpointSettings) string { return strconv.Itoa(e.GwPriority) })},
	{name: "networks.*.mac_address", remedy: RemedyInPlace, when: ownNetworks, both: true, get: endpoints(func(e *network.EndpointSettings) string { return hardware(e.MacAddress) })},
	{name: "ports", absent: "not published", remedy: RemedyRecreate, get: ports},
	{name: "publish_all", remedy: RemedyRecreate, one: flag(func(s *shape) bool { return s.host.PublishAllPorts })},
	{name: "expose", absent: "not exposed", remedy: RemedyRecreate, get: exposed},
	{name: "extra_hosts", remedy: RemedyRecreate, get: extraHosts},
	{name: "dns", remedy: RemedyRecreate, one: list(func(s *shape) []string { return s.host.DNS })},
	{name: "dns_search", remedy: RemedyRecreate, one: list(func(s *shape) []string { return s.host.DNSSearch })},
	{name: "dns_opt", remedy: RemedyRecreate, one: list(func(s *shape) []string { return s.host.DNSOptions })},

	// Storage.
	{name: "volumes", absent: "not mounted", keys: []string{"volumes", "tmpfs"}, remedy: RemedyRecreate, get: mounts},
	{name: "volume_driver", remedy: RemedyRecreate, one: func(s *shape) string { return s.host.VolumeDriver }},
	{name: "storage_opt", secret: true, remedy: RemedyRecreate, get: mapping(func(s *shape) map[string]string { return s.host.StorageOpt })},
	{name: "read_only", remedy: RemedyRecreate, one: flag(func(s *shape) bool { return s.host.ReadonlyRootfs })},

	// Rights.
	{name: "privileged", remedy: RemedyRecreate, one: flag(func(s *shape) bool { return s.host.Privileged })},
	{name: "cap_add", remedy: RemedyRecreate, one: func(s *shape) string { return capabilities(s.host.CapAdd) }},
	{name: "cap_drop", remedy: RemedyRecreate, one: func(s *shape) string { return capabilities(s.host.CapDrop) }},
	{name: "security_opt", remedy: RemedyRecreate, one: func(s *shape) string { return set(securityOptions(&s.host)) }},
	{name: "group_add", remedy: RemedyRecreate, one: func(s *shape) string { return set(s.host.GroupAdd) }},
	{name: "devices", remedy: RemedyRecreate, get: devices},
	{name: "device_cgroup_rules", remedy: RemedyRecreate, one: func(s *shape) string { return set(s.host.DeviceCgroupRules) }},
	{name: "gpus", keys: []string{"gpus", "deploy.resources.reservations.devices"}, remedy: RemedyRecreate, one: deviceRequests},
	{name: "sysctls", remedy: RemedyRecreate, get: mapping(func(s *shape) map[string]string { return s.host.Sysctls })},
	{name: "ipc", remedy: RemedyRecreate, one: func(s *shape) string { return shared(string(s.host.IpcMode)) }},
	{name: "pid", remedy: RemedyRecreate, one: func(s *shape) string { return shared(string(s.host.PidMode)) }},
	{name: "uts", remedy: RemedyRecreate, one: func(s *shape) string { return string(s.host.UTSMode) }},
	{name: "userns_mode", remedy: RemedyRecreate, one: func(s *shape) string { return string(s.host.UsernsMode) }},
	{name: "cgroup", remedy: RemedyRecreate, one: func(s *shape) string { return string(s.host.CgroupnsMode) }},
	{name: "runtime", remedy: RemedyRecreate, one: func(s *shape) string { return s.host.Runtime }},
	{name: "isolation", remedy: RemedyRecreate, one: func(s *shape) string { return string(s.host.Isolation) }},

	// Logging.
	{name: "logging.driver", remedy: RemedyRecreate, one: func(s *shape) string { return s.host.LogConfig.Type }},
	{name: "logging.options", secret: true, remedy: RemedyRecreate, when: sameLogDriver, get: mapping(func(s *shape) map[string]string { return s.host.LogConfig.Config })},
}

// Updatable says whether a field, as a report names it, is one that the engine's update call changes on a container.
func Updatable(name string) bool {
	return slices.ContainsFunc(fields, func(f field) bool {
		return f.name == name && f.remedy == RemedyInPlace && name != "networks" && !strings.HasPrefix(name, "networks.")
	})
}

// NetworkOf returns the engine's name of the network that a drift of an attachment is about, or "".
func NetworkOf(d Drift) string { return d.network }
