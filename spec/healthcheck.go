package spec

import (
	"time"

	"github.com/docker/docker/api/types/container"
)

// HealthTimes are the times of a healthcheck as the engine keeps them.
type HealthTimes struct {
	Interval, Timeout, StartPeriod time.Duration
	Retries                        int
}

// HealthTimesOf reads them. What is not set is the engine's default (moby daemon/health.go): 30 s, 30 s, no start period, 3.
func HealthTimesOf(h *container.HealthConfig) HealthTimes {
	t := HealthTimes{Interval: 30 * time.Second, Timeout: 30 * time.Second, StartPeriod: h.StartPeriod, Retries: 3}
	if h.Interval != 0 {
		t.Interval = h.Interval
	}
	if h.Timeout != 0 {
		t.Timeout = h.Timeout
	}
	if h.Retries != 0 {
		t.Retries = h.Retries
	}
	return t
}

// Hang is how long it takes until a container that gives no answer is unhealthy.
func (t HealthTimes) Hang() time.Duration { return time.Duration(t.Retries) * (t.Interval + t.Timeout) }

// FirstVerdict is how long a healthcheck may take from the start to its first verdict; nothing when there is none.
func FirstVerdict(h *container.HealthConfig) time.Duration {
	if h == nil {
		return 0
	}
	t := HealthTimesOf(h)
	return t.StartPeriod + t.Hang()
}
