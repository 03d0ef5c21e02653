package observe

import (
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
)

// TestUnchecked: what the engine does not check any more has no known health, however long its healthcheck may take.
func TestUnchecked(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	check := func(h container.HealthConfig, status string, ago time.Duration) Container {
		c := Container{Name: "web-1", Inspect: &container.InspectResponse{
			ContainerJSONBase: &container.ContainerJSONBase{State: &container.State{
				Status: "running", Running: true, StartedAt: now.Add(-24 * time.Hour).Format(time.RFC3339Nano),
				Health: &container.Health{Status: status, FailingStreak: 1, Log: []*container.HealthcheckResult{{End: now.Add(-ago)}}},
			}},
			Config: &container.Config{Healthcheck: &h},
		}}
		c.Unchecked = unchecked(&c, now)
		return c
	}
	second := container.HealthConfig{Interval: time.Second, Timeout: time.Second}
	for name, c := range map[string]struct {
		of   Container
		want string
	}{
		"checked just now":                   {check(second, "healthy", time.Second), "healthy"},
		"two rounds late on a slow host":     {check(second, "healthy", 30*time.Second), "healthy"},
		"not any more":                       {check(second, "healthy", time.Minute), "unknown"},
		"not any more, while starting":       {check(second, "starting", time.Minute), "unknown"},
		"not any more, and failing before":   {check(second, "unhealthy", time.Minute), "unhealthy"},
		"every ten minutes":                  {check(container.HealthConfig{Interval: 10 * time.Minute}, "healthy", 15*time.Minute), "healthy"},
		"the engine's intervals":             {check(container.HealthConfig{}, "healthy", 2*time.Minute), "healthy"},
		"not any more at the engine's own":   {check(container.HealthConfig{}, "healthy", 3*time.Minute), "unknown"},
		"by an engine whose clock is behind": {ahead(check(second, "healthy", time.Hour), now, -time.Hour), "healthy"},
		"never, and it was started long ago": {never(check(second, "starting", 0), now), "unknown"},
		"not, as it is paused":               {paused(check(second, "healthy", time.Hour), now), "healthy"},
	} {
		if got := c.of.Health(); got != c.want {
			t.Errorf("%s: %s, expected %s", name, got, c.want)
		}
	}
}

func ahead(c Container, now time.Time, by time.Duration) Container {
	c.Ahead = by
	c.Unchecked = unchecked(&c, now)
	return c
}

func never(c Container, now time.Time) Container {
	c.Inspect.State.Health.Log = nil
	c.Unchecked = unchecked(&c, now)
	return c
}

func paused(c Container, now time.Time) Container {
	c.Inspect.State.Status, c.Inspect.State.Paused = "paused", true
	c.Unchecked = unchecked(&c, now)
	return c
}
