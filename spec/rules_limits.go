package spec

import (
	"fmt"
	"maps"
	"slices"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/go-units"
)

// minMemory is the least limit that an engine accepts (daemon, linuxMinMemory).
const minMemory = 6 << 20

// limits are what a service sets under deploy.resources, which wins over the older keys.
func limits(s types.ServiceConfig) (limit, reservation types.Resource) {
	if s.Deploy != nil && s.Deploy.Resources.Limits != nil {
		limit = *s.Deploy.Resources.Limits
	}
	if s.Deploy != nil && s.Deploy.Resources.Reservations != nil {
		reservation = *s.Deploy.Resources.Reservations
	}
	return limit, reservation
}

// memory repeats the engine's own checks (daemon_unix.go, verifyPlatformContainerResources) before anything is touched.
func (c *checker) memory(s types.ServiceConfig) {
	limit, reservation := limits(s)
	memory, memoryKey := either(s.MemLimit, "mem_limit", limit.MemoryBytes, "deploy.resources.limits.memory")
	reserved, reservedKey := either(s.MemReservation, "mem_reservation", reservation.MemoryBytes, "deploy.resources.reservations.memory")
	if s.MemLimit != 0 && limit.MemoryBytes != 0 && s.MemLimit != limit.MemoryBytes {
		c.failIn(s, "differs from deploy.resources.limits.memory", "keep one of the two", "mem_limit")
	}
	if s.MemReservation != 0 && reservation.MemoryBytes != 0 && s.MemReservation != reservation.MemoryBytes {
		c.failIn(s, "differs from deploy.resources.reservations.memory", "keep one of the two", "mem_reservation")
	}
	if memory != 0 && memory < minMemory {
		c.failIn(s, fmt.Sprintf("%s is less than the engine accepts", size(memory)), "write at least 6m", memoryKey...)
	}
	if reserved != 0 && memory != 0 && reserved > memory {
		c.failIn(s, fmt.Sprintf("%s is above the limit of %s", size(reserved), size(memory)), "lower the reservation or raise the limit", reservedKey...)
	}
	switch swap := s.MemSwapLimit; {
	case swap <= 0:
	case memory == 0:
		c.failIn(s, "needs a memory limit beside it", "set mem_limit", "memswap_limit")
	case swap < memory:
		c.failIn(s, fmt.Sprintf("%s is below the memory limit of %s, which it includes", size(swap), size(memory)), "write at least the memory limit, or -1", "memswap_limit")
	}
	if s.MemSwappiness < -1 || s.MemSwappiness > 100 {
		c.failIn(s, "is out of range", "write a number from 0 to 100", "mem_swappiness")
	}
}

// either returns the value that holds and the path of its key.
func either(old types.UnitBytes, oldKey string, deploy types.UnitBytes, deployKey string) (types.UnitBytes, []string) {
	if deploy != 0 {
		return deploy, splitKey(deployKey)
	}
	return old, []string{oldKey}
}

func size(n types.UnitBytes) string { return units.BytesSize(float64(n)) }

func (c *checker) cpu(s types.ServiceConfig) {
	limit, _ := limits(s)
	cpus, key := s.CPUS, []string{"cpus"}
	if limit.NanoCPUs != 0 {
		if s.CPUS != 0 && limit.NanoCPUs.Value() != s.CPUS {
			c.failIn(s, "differs from deploy.resources.limits.cpus", "keep one of the two", "cpus")
		}
		cpus, key = limit.NanoCPUs.Value(), splitKey("deploy.resources.limits.cpus")
	}
	if cpus != 0 && cpus < 0.01 {
		c.failIn(s, fmt.Sprintf("%v is less than the engine accepts", cpus), "write at least 0.01", key...)
	}
	if cpus != 0 && s.CPUPeriod != 0 {
		c.failIn(s, "cannot stand beside cpus", "keep one of the two", "cpu_period")
	}
	if cpus != 0 && s.CPUQuota != 0 {
		c.failIn(s, "cannot stand beside cpus", "keep one of the two", "cpu_quota")
	}
	if s.CPUPeriod != 0 && (s.CPUPeriod < 1000 || s.CPUPeriod > 1000000) {
		c.failIn(s, fmt.Sprintf("%d is out of range", s.CPUPeriod), "write 1000 to 1000000 microseconds", "cpu_period")
	}
	if s.CPUQuota > 0 && s.CPUQuota < 1000 {
		c.failIn(s, fmt.Sprintf("%d is out of range", s.CPUQuota), "write at least 1000 microseconds", "cpu_quota")
	}
	if s.CPUShares < 0 {
		c.failIn(s, "is below 0", "write 0 or more", "cpu_shares")
	}
	if s.CPURTRuntime > s.CPURTPeriod && s.CPURTPeriod != 0 {
		c.failIn(s, "is above cpu_rt_period", "lower it", "cpu_rt_runtime")
	}
}

// ranges checks the smaller numbers.
func (c *checker) ranges(s types.ServiceConfig) {
	limit, _ := limits(s)
	if s.PidsLimit != 0 && limit.Pids != 0 && s.PidsLimit != limit.Pids {
		c.failIn(s, "differs from deploy.resources.limits.pids", "keep one of the two", "pids_limit")
	}
	if s.OomScoreAdj < -1000 || s.OomScoreAdj > 1000 {
		c.failIn(s, fmt.Sprintf("%d is out of range", s.OomScoreAdj), "write a number from -1000 to 1000", "oom_score_adj")
	}
	if b := s.BlkioConfig; b != nil && b.Weight != 0 && (b.Weight < 10 || b.Weight > 1000) {
		c.warnIn(s, fmt.Sprintf("%d is out of range", b.Weight), "write a number from 10 to 1000", "blkio_config", "weight")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Ulimits)) {
		u := s.Ulimits[name]
		if hard := hardLimit(u); hard >= 0 && softLimit(u) > hard {
			c.failIn(s, fmt.Sprintf("the soft limit %d is above the hard limit %d", softLimit(u), hard), "lower soft or raise hard", "ulimits", name)
		}
	}
	if s.StopSignal != "" && !knownSignal(s.StopSignal) {
		c.failIn(s, fmt.Sprintf("%q is not a signal", s.StopSignal), "write its name, such as SIGTERM", "stop_signal")
	}
	if s.StopGracePeriod != nil && *s.StopGracePeriod < 0 {
		c.failIn(s, "is below 0", "write a duration such as 30s", "stop_grace_period")
	}
}
