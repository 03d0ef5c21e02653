package spec

import (
	"maps"
	"regexp"
	"slices"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/blkiodev"
	"github.com/docker/docker/api/types/container"
)

// resources are the limits. deploy.resources win over the service's own keys, field by field; memory is in bytes,
// CPUs in billionths. CPU shares are multiplied as float32: so are docker compose's, and 0.3 must give the same.
func resources(m *types.ServiceConfig) container.Resources {
	oomKillDisable := m.OomKillDisable
	r := container.Resources{
		CgroupParent:       m.CgroupParent,
		Memory:             int64(m.MemLimit),
		MemorySwap:         int64(m.MemSwapLimit),
		MemoryReservation:  int64(m.MemReservation),
		OomKillDisable:     &oomKillDisable,
		CPUCount:           m.CPUCount,
		CPUPeriod:          m.CPUPeriod,
		CPUQuota:           m.CPUQuota,
		CPURealtimePeriod:  m.CPURTPeriod,
		CPURealtimeRuntime: m.CPURTRuntime,
		CPUShares:          m.CPUShares,
		NanoCPUs:           int64(m.CPUS * 1e9),
		CPUPercent:         int64(m.CPUPercent * 100),
		CpusetCpus:         m.CPUSet,
		DeviceCgroupRules:  m.DeviceCgroupRules,
		Ulimits:            ulimits(m.Ulimits),
	}
	if m.MemSwappiness != 0 {
		swappiness := int64(m.MemSwappiness)
		r.MemorySwappiness = &swappiness
	}
	if pids := m.PidsLimit; pids != 0 {
		r.PidsLimit = &pids
	}
	setBlkio(m.BlkioConfig, &r)
	if m.Deploy != nil {
		setLimits(m.Deploy.Resources.Limits, &r)
		setReservations(m.Deploy.Resources.Reservations, &r)
	}
	setDevices(m, &r)
	return r
}

func setLimits(limits *types.Resource, r *container.Resources) {
	if limits == nil {
		return
	}
	if limits.MemoryBytes != 0 {
		r.Memory = int64(limits.MemoryBytes)
	}
	if limits.NanoCPUs != 0 {
		r.NanoCPUs = int64(limits.NanoCPUs * 1e9)
	}
	if pids := limits.Pids; pids > 0 {
		r.PidsLimit = &pids
	}
}

// setReservations: an engine reserves memory and devices; CPU and pids reservations exist in swarm mode only.
func setReservations(reservations *types.Resource, r *container.Resources) {
	if reservations == nil {
		return
	}
	if reservations.MemoryBytes != 0 {
		r.MemoryReservation = int64(reservations.MemoryBytes)
	}
	for _, d := range reservations.Devices {
		r.DeviceRequests = append(r.DeviceRequests, deviceRequest(d, d.Capabilities))
	}
}

// cdiName is a device of the Container Device Interface: vendor/class=name.
var cdiName = regexp.MustCompile(`^[A-Za-z][\w.-]*/[A-Za-z][\w-]*=[A-Za-z0-9][\w.:-]*$`)

// setDevices maps devices, those of the Container Device Interface, and gpus.
func setDevices(m *types.ServiceConfig, r *container.Resources) {
	var cdi []string
	for _, d := range m.Devices {
		if d.Source == d.Target && cdiName.MatchString(d.Source) {
			cdi = append(cdi, d.Source)
			continue
		}
		r.Devices = append(r.Devices, container.DeviceMapping{
			PathOnHost: d.Source, PathInContainer: d.Target, CgroupPermissions: d.Permissions,
		})
	}
	if len(cdi) > 0 {
		r.DeviceRequests = append(r.DeviceRequests, container.DeviceRequest{Driver: "cdi", DeviceIDs: cdi})
	}
	for _, gpu := range m.Gpus {
		r.DeviceRequests = append(r.DeviceRequests, deviceRequest(gpu, append(slices.Clone(gpu.Capabilities), "gpu")))
	}
}

func deviceRequest(d types.DeviceRequest, capabilities []string) container.DeviceRequest {
	return container.DeviceRequest{
		Driver:       d.Driver,
		Count:        int(d.Count),
		DeviceIDs:    d.IDs,
		Capabilities: [][]string{capabilities},
		Options:      d.Options,
	}
}

// ulimits are sorted by name.
func ulimits(limits map[string]*types.UlimitsConfig) []*container.Ulimit {
	var list []*container.Ulimit
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		u := limits[name]
		limit := &container.Ulimit{Name: name, Soft: int64(u.Single), Hard: int64(u.Single)}
		if u.Soft != 0 {
			limit.Soft = int64(u.Soft)
		}
		if u.Hard != 0 {
			limit.Hard = int64(u.Hard)
		}
		list = append(list, limit)
	}
	return list
}

func setBlkio(blkio *types.BlkioConfig, r *container.Resources) {
	if blkio == nil {
		return
	}
	r.BlkioWeight = blkio.Weight
	for _, d := range blkio.WeightDevice {
		r.BlkioWeightDevice = append(r.BlkioWeightDevice, &blkiodev.WeightDevice{Path: d.Path, Weight: d.Weight})
	}
	r.BlkioDeviceReadBps = throttle(blkio.DeviceReadBps)
	r.BlkioDeviceReadIOps = throttle(blkio.DeviceReadIOps)
	r.BlkioDeviceWriteBps = throttle(blkio.DeviceWriteBps)
	r.BlkioDeviceWriteIOps = throttle(blkio.DeviceWriteIOps)
}

func throttle(devices []types.ThrottleDevice) []*blkiodev.ThrottleDevice {
	var list []*blkiodev.ThrottleDevice
	for _, d := range devices {
		list = append(list, &blkiodev.ThrottleDevice{Path: d.Path, Rate: uint64(d.Rate)})
	}
	return list
}
