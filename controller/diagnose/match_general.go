package diagnose

import (
	"fmt"
	"strings"
	"time"

	"composure/controller/drift"
	"composure/spec"
)

// The causes that are left when nothing more particular fits, in the order of the table.

// harmless are drifts that explain no failure.
func harmless(d drift.Drift) bool {
	switch d.Field {
	case drift.FieldHealth, drift.FieldSurplus, drift.FieldLeftover, drift.FieldOrphan, drift.FieldName, drift.FieldSevered, "restart":
		return true
	}
	return strings.HasPrefix(d.Field, "labels") || strings.HasPrefix(d.Field, "logging")
}

// changedByHand: the container is not what was last applied. What has merely stopped is told by how it ended, and so is all that was
// stopped where the policy holds that: nothing is restored by starting it. A container that a rollback is about to replace was not
// changed: what is wanted was.
func changedByHand(p *patient) []string {
	if p.missing() {
		return []string{"its container was removed"}
	}
	if p.in.Stack.Policy.ManualStop == "hold" && p.stoppedFromOutside() {
		return nil
	}
	var facts []string
	if at := p.in.Returned[p.svc.Name]; p.c != nil && p.c.Created().Before(at) {
		return nil
	}
	for _, d := range p.in.Drift.Drifts {
		if d.Service != p.svc.Name || d.Origin == drift.OriginFile || d.Override != nil || harmless(d) {
			continue
		}
		if d.Field == drift.FieldState || (p.c != nil && d.Container != "" && d.Container != p.c.Name) {
			continue
		}
		facts = append(facts, fmt.Sprintf("%s was changed by hand: %s, and the file says %s", d.Field, quoted(d.Observed), quoted(d.Desired)))
	}
	if p.c != nil && p.c.Status() == "paused" {
		facts = append(facts, "it was paused by hand: every process of it is stopped, until `docker unpause "+p.c.Name+"`; nothing else is done to it before")
	}
	return facts
}

// recently is how long after a deployment a failure is put down to it.
const recently = 10 * time.Minute

func badDeployment(p *patient) []string {
	at, known := p.in.Deployed[p.svc.Name]
	after := p.began().Sub(at)
	facts := p.support()
	if !known || after < 0 || after > recently || p.in.Stable[p.svc.Name] == "" || len(facts) == 0 {
		return nil
	}
	if len(stuckStart(p)) > 0 && progresses(p) != "" {
		return nil
	}
	if p.stoppedFromOutside() { // whoever stopped it, the deployment did not
		return nil
	}
	return append([]string{fmt.Sprintf("it was deployed %s before, and revision %s ran well", short(after), quoted(p.in.Stable[p.svc.Name]))}, facts...)
}

func stopped(p *patient) []string {
	if p.stoppedFromOutside() {
		return []string{fmt.Sprintf("it was stopped from outside at %s, exit code %d", clock(p.c.FinishedAt()), p.c.Inspect.State.ExitCode)}
	}
	if p.c != nil && p.c.Status() == "created" && p.c.Inspect.State.Error == "" {
		return []string{"it was created and never started"}
	}
	return nil
}

func crashes(p *patient) []string {
	switch {
	case p.ended() && !p.completed() && p.c.Status() != "created" && (p.evidence != nil || p.c.Inspect.State.ExitCode != 137):
		return []string{"it " + exit(p.c.Inspect.State) + p.restarts()}
	case p.ended() && p.c.Inspect.State.Error != "":
		return []string{"the engine cannot start it: " + reason(p.c.Inspect.State.Error)}
	case p.looping():
		return []string{fmt.Sprintf("it runs for %s%s", p.up(), p.restarts())}
	}
	return nil
}

func checkFails(p *patient) []string {
	if !p.unhealthy() {
		return nil
	}
	facts := []string{checksFailed(p.c.Inspect.State.Health)}
	if test := p.test(); test != "" {
		facts = append(facts, "it tests: "+test)
	}
	if gateway := p.gateway(); gateway != "" {
		facts = append(facts, gateway)
	}
	if again := p.checkedAgain(); again != nil && again.ExitCode == 0 {
		facts = append(facts, fmt.Sprintf("run again with more time it succeeds, after %s: its timeout is short, or the machine is busy", short(again.End.Sub(again.Start))))
	} else if p.answered("") && len(p.failingProbes()) == 0 {
		facts = append(facts, "the application answers its probes: the check itself may be what is wrong")
	}
	return facts
}

func memoryPressed(p *patient) []string {
	if !p.memoryHigh() {
		return nil
	}
	s := p.memory()
	return []string{fmt.Sprintf("memory is %s of %s, %.0f %%; the file calls over %.0f %% a finding",
		size(s.MemoryUsage), size(s.MemoryLimit), 100*p.memoryShare(), 100*p.svc.Policy.Memory.Alert)}
}

// unchecked: not well, and neither a healthcheck nor a probe that could say why.
func unchecked(p *patient) []string {
	reason := p.in.Ill[p.svc.Name]
	if reason == "" || !p.live() || p.memoryHigh() || p.c.Health() != "none" || len(p.svc.Policy.Probes)+len(p.probes) > 0 {
		return nil
	}
	return []string{"it is judged not well: " + quoted(reason), "neither the file nor the image has a healthcheck, and no probe is configured"}
}

// unexplained keeps what is known: the judgement itself, and the failing facts.
func unexplained(p *patient) []string {
	reason := p.in.Ill[p.svc.Name]
	facts := p.support()
	if gateway := p.gateway(); gateway != "" {
		facts = append(facts, gateway)
	}
	if p.evidence != nil && p.live() {
		for _, check := range p.evidence.Ports {
			if shut(check) {
				facts = append(facts, "a port is not accessible: "+portLine(check))
			}
		}
	}
	if reason != "" {
		facts = append(facts, "it is judged not well: "+quoted(reason))
	}
	return facts
}

// asksApplication says whether a probe has the application answer: the kernel accepts a connection for one that hangs.
func asksApplication(probe spec.Probe) bool { return probe.HTTP != nil || probe.Exec != nil }

// overNetwork says whether a probe goes over the network to a port of the container.
func overNetwork(probe spec.Probe) bool { return probe.HTTP != nil || probe.TCP != nil }
