package observe

import (
	"fmt"
	"time"

	"github.com/docker/docker/api/types/container"

	"composure/spec"
)

// lateCheck is how late the engine may be with a healthcheck, beyond two whole rounds, before it counts as not run.
const lateCheck = 30 * time.Second

// unchecked is when the engine last ran the healthcheck of a container that it does not check any more; zero: it does, or there
// is none to run. Engines before 23.0 forget the healthchecks of the containers that outlive their restart (live-restore): what
// they answered last stands for ever, until the container is started again, or paused and resumed (moby issue 41871, seen on
// 20.10).
func unchecked(c *Container, now time.Time) time.Time {
	if !c.Running() || c.Status() == "paused" || c.Inspect.State.Health == nil || c.Inspect.Config.Healthcheck == nil {
		return time.Time{}
	}
	last := c.StartedAt()
	for _, check := range c.Inspect.State.Health.Log {
		if at := c.ours(check.End); at.After(last) {
			last = at
		}
	}
	if h := spec.HealthTimesOf(c.Inspect.Config.Healthcheck); now.Sub(last) <= 2*(h.Interval+h.Timeout)+lateCheck {
		return time.Time{}
	}
	return last
}

// WhyUnknown says why the health of a container is "unknown", and what to do about it.
func (c Container) WhyUnknown() string {
	if c.Unchecked.IsZero() {
		return "not checked again since it was paused"
	}
	return fmt.Sprintf("the engine has not run its healthcheck since %s; before version 23 it forgets to after a restart with live-restore, until `docker pause` and `docker unpause`, or a restart, of %s",
		c.Unchecked.UTC().Format("2006-01-02 15:04:05 UTC"), c.Name)
}

// stalled says whether what the engine says of a container's health is only what it last was.
func (c Container) stalled() bool {
	return !c.Unchecked.IsZero() && c.Inspect.State.Health.Status != container.Unhealthy
}
