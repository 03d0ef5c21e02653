// Package verify judges whether a container does what it is there for: recovered, pending, or failed. It is pure;
// the time of the judgement is the snapshot's.
package verify

import (
	"fmt"
	"time"

	"github.com/docker/docker/api/types/container"

	"composure/controller/drift"
	"composure/controller/observe"
	"composure/controller/plan"
	"composure/spec"
)

// CrashLoop is the number of restarts by the engine after which a container that does not stay up is called a crash
// loop. The engine doubles its delay from 100 ms, so five restarts take over three seconds: time enough for a service
// that only waits for a dependency of its own.
const CrashLoop = 5

// Slack is added to the time that a healthcheck itself allows before "starting" is called a failure.
const Slack = 10 * time.Second

// Rule is what a container is held to.
type Rule struct {
	MeantToRun bool          // else an exit 0 is a success too
	OneShot    bool          // another service waits for its end: running is not enough
	MinHealthy time.Duration // how long it must run well before it counts
}

// Judge judges a container at a time. A container that has never been started is pending.
func Judge(c observe.Container, rule Rule, now time.Time) plan.Judgement {
	state := c.Inspect.State
	switch {
	case state == nil:
		return pending("state unknown", time.Time{})
	case state.Error != "" && !state.Running:
		return failed("does not start: " + state.Error)
	case c.Status() == "created":
		return pending("not started yet", time.Time{})
	case state.Paused:
		return failed("paused")
	case state.Dead:
		return failed("dead")
	case c.Status() == "removing":
		return pending("being removed", now.Add(time.Second))
	case c.Inspect.RestartCount >= CrashLoop && (state.Restarting || c.StartKnown(now) && now.Sub(c.StartedAt()) < rule.MinHealthy):
		return failed(fmt.Sprintf("crash loop: restarted %d times, %s", c.Inspect.RestartCount, exit(state)))
	case state.Restarting:
		return pending(fmt.Sprintf("being restarted by the engine, %s", exit(state)), now.Add(time.Second))
	case !state.Running:
		return ended(c, rule)
	}
	return running(c, rule, now)
}

// ended judges a container whose process is gone and that the engine will not restart.
func ended(c observe.Container, rule Rule) plan.Judgement {
	if !rule.MeantToRun && c.Inspect.State.ExitCode == 0 {
		return plan.Judgement{Verdict: plan.Recovered, Reason: "completed"}
	}
	return failed(exit(c.Inspect.State))
}

// running judges a live container by its healthcheck, then by how long it has stayed up. A one-shot is judged when it
// ends; a service that may end or not counts as well while it runs.
func running(c observe.Container, rule Rule, now time.Time) plan.Judgement {
	if rule.OneShot {
		return pending("running; counts when it completes", time.Time{})
	}
	stable := c.StartedAt().Add(rule.MinHealthy)
	switch c.Health() {
	case "unhealthy":
		return failed("unhealthy: " + lastCheck(c.Inspect.State.Health))
	case "unknown":
		return pending(c.WhyUnknown(), time.Time{})
	case "starting":
		deadline := c.StartedAt().Add(Allowance(c.Inspect.Config.Healthcheck))
		if now.After(deadline) {
			return failed(fmt.Sprintf("healthcheck still starting %s after the start", now.Sub(c.StartedAt()).Round(time.Second)))
		}
		return pending("healthcheck starting", deadline)
	}
	if now.Before(stable) {
		return pending(fmt.Sprintf("up, to be watched until it has run for %s", rule.MinHealthy), stable)
	}
	return plan.Judgement{Verdict: plan.Recovered, Reason: "running"}
}

// Allowance is how long a healthcheck may take from the start to its first verdict, with slack.
func Allowance(h *container.HealthConfig) time.Duration { return spec.FirstVerdict(h) + Slack }

func exit(state *container.State) string {
	text := fmt.Sprintf("exited with %d", state.ExitCode)
	if state.OOMKilled {
		text += ", killed for memory"
	}
	return text
}

// lastCheck is the last answer of the healthcheck on one line. It is the container's own text.
func lastCheck(h *container.Health) string {
	if h == nil || len(h.Log) == 0 {
		return "no check on record"
	}
	last := h.Log[len(h.Log)-1]
	return fmt.Sprintf("%d checks failed, last exit %d", h.FailingStreak, last.ExitCode)
}

func pending(reason string, until time.Time) plan.Judgement {
	return plan.Judgement{Verdict: plan.Pending, Reason: reason, Until: until}
}

func failed(reason string) plan.Judgement {
	return plan.Judgement{Verdict: plan.Failed, Reason: reason}
}

// All judges every container of the stack's services, by id.
func All(stack *spec.Stack, snapshot *observe.Snapshot) map[string]plan.Judgement {
	judged := make(map[string]plan.Judgement, len(snapshot.Containers))
	for _, svc := range stack.Services {
		for _, c := range snapshot.Of(svc.Name) {
			rule := Rule{MeantToRun: drift.MeantToRun(svc, c), OneShot: svc.OneShot(), MinHealthy: svc.Policy.MinHealthy}
			judged[c.ID] = Judge(c, rule, snapshot.At)
		}
	}
	return judged
}
