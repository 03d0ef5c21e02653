package drift

import (
	"fmt"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"

	"composure/controller/observe"
	"composure/spec"
)

// MeantToRun says whether a container of the service is meant to run for good: its restart policy is always or
// unless-stopped, or it has a healthcheck (of the file or the image) or a published port. Otherwise an exit 0 is
// "completed". A service that another one waits to complete is a one-shot whatever its image brings along.
func MeantToRun(svc *spec.Service, c observe.Container) bool {
	switch svc.Restart {
	case "always", "unless-stopped", "any":
		return true
	}
	if svc.OneShot() {
		return false
	}
	return svc.Healthcheck || healthy(c.Inspect.Config) || len(svc.Ports) > 0
}

// completed says whether a container has ended as it should, and is not run again.
func completed(svc *spec.Service, c observe.Container) bool {
	return c.Status() == "exited" && c.Inspect.State.ExitCode == 0 && !MeantToRun(svc, c)
}

// healthy says whether a healthcheck is in effect.
func healthy(config *container.Config) bool {
	return config != nil && checked(&shape{config: *config}) != nil
}

// stateDrift is nil when the container does what it is there for: it runs, or it has completed.
func stateDrift(svc *spec.Service, c observe.Container) *Drift {
	d := &Drift{
		Service: svc.Name, Container: c.Name, Field: FieldState, Desired: "running", Observed: c.Status(),
		Pos: svc.Pos(), Origin: OriginLive, Remedy: RemedyInPlace,
	}
	meant := MeantToRun(svc, c)
	if !meant {
		d.Desired = "completed"
	}
	state := c.Inspect.State
	switch c.Status() {
	case "running":
		return nil
	case "exited":
		if completed(svc, c) {
			return nil
		}
		d.Observed, d.Cause = exited(state), "it has stopped; a deployment starts it"
		if !meant {
			d.Cause = "it failed; a deployment runs it again"
		}
	case "paused":
		d.Cause = "it was paused by hand; a deployment resumes it"
	case "created":
		d.Cause = "it was created and never started"
		if state.Error != "" {
			d.Cause = "it does not start: " + spec.Mask("", firstLine(state.Error))
		}
	case "restarting":
		d.Observed, d.Remedy = "restarting, "+exited(state), RemedyReport
		d.Cause = fmt.Sprintf("it ends again and again (%d restarts) and the engine restarts it; find out why in its log", c.Inspect.RestartCount)
	case "dead":
		d.Remedy, d.Cause = RemedyRecreate, "the engine could not remove it completely"
	case "removing":
		d.Remedy, d.Cause = RemedyReport, "the engine is removing it"
	default:
		d.Remedy, d.Cause = RemedyReport, "the engine does not say what state it is in"
	}
	return d
}

func exited(state *container.State) string {
	text := fmt.Sprintf("exited (%d)", state.ExitCode)
	if state.OOMKilled {
		text += ", killed for memory"
	}
	return text
}

// healthDrift is about containers that run: a paused or stopped one keeps whatever health it had last (engine fact).
func healthDrift(svc *spec.Service, c observe.Container) *Drift {
	if !c.Running() || c.Status() == "paused" || c.Health() != "unhealthy" {
		return nil
	}
	return &Drift{
		Service: svc.Name, Container: c.Name, Field: FieldHealth, Desired: "healthy", Observed: "unhealthy",
		Pos: firstPos(svc, "healthcheck"), Origin: OriginLive, Remedy: RemedyRestart,
		Cause: fmt.Sprintf("its healthcheck failed %d times in a row", c.Inspect.State.Health.FailingStreak),
	}
}

// severedDrift: the container whose network this one shares was started again after this one, which still has the network
// of the run before: nothing is left of that but loopback, and only a start joins the new one (seen on 20.10).
func (p *contrast) severedDrift() *Drift {
	mode := p.have.host.NetworkMode
	if !mode.IsContainer() || mode != p.want.host.NetworkMode || !p.observed.Running() {
		return nil
	}
	for i := range p.c.Snapshot.Containers {
		owner := &p.c.Snapshot.Containers[i]
		if owner.ID != mode.ConnectedContainer() || !owner.Running() || !startedAfter(owner, p.observed) {
			continue
		}
		return &Drift{
			Service: p.svc.Name, Container: p.observed.Name, Field: FieldSevered, Desired: "the network of " + owner.Name, Observed: "the network that " + owner.Name + " had before it was started again",
			Pos: firstPos(p.svc, "network_mode"), Origin: OriginLive, Remedy: RemedyRestart,
			Cause: "it has no network but loopback since " + owner.Name + " was started again, until it is restarted itself",
		}
	}
	return nil
}

// startedAfter compares the engine's own stamps: both are of one clock.
func startedAfter(a, b *observe.Container) bool {
	later, err := time.Parse(time.RFC3339Nano, a.Inspect.State.StartedAt)
	earlier, otherErr := time.Parse(time.RFC3339Nano, b.Inspect.State.StartedAt)
	return err == nil && otherErr == nil && later.After(earlier)
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
