package diagnose

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"

	"composure/controller/observe"
)

// askRunning is step 1 of the runbook.
func askRunning(p *patient) Step {
	if p.c == nil {
		s := Step{Checked: "containers of the service"}
		switch {
		case p.unread != "":
			s.Answer, s.Seen = Unclear, "a container could not be read: "+quoted(p.unread)
		case p.svc.Replicas == 0:
			s.Answer, s.Seen = NotAsked, "the file asks for no replica"
		default:
			s.Answer, s.Seen = No, "there is none"
		}
		return s
	}
	s := Step{Checked: "state of " + p.c.Name, Answer: answered(p.live())}
	state := p.c.Inspect.State
	switch p.c.Status() {
	case container.StateRunning:
		s.Seen = fmt.Sprintf("running for %s%s", p.up(), p.restarts())
	case container.StatePaused:
		s.Seen = "paused: every process of it is stopped"
	case container.StateRestarting:
		s.Seen = "restarting: it " + exit(state) + p.restarts()
	case container.StateCreated:
		s.Seen = "created, and never started"
	case container.StateExited:
		s.Seen = exit(state) + " at " + clock(p.c.FinishedAt()) + p.restarts()
		if p.completed() {
			s.Answer, s.Seen = NotAsked, "completed: it ended with 0 and is not meant to run on"
		}
	case container.StateDead, container.StateRemoving:
		s.Seen = p.c.Status()
	default:
		s.Answer, s.Seen = Unclear, "the engine does not say what state it is in"
	}
	if p.ended() && state.Error != "" {
		s.Details = append(s.Details, "the engine says: "+reason(state.Error))
	}
	return s
}

func askImage(p *patient) Step {
	checked := "image " + p.svc.Image
	id, known := p.in.Snapshot.Refs[p.svc.Image]
	switch {
	case !known:
		return unknown(checked, "it was not looked up")
	case id == "":
		return Step{Answer: No, Checked: checked, Seen: "there is no such image on the engine's host"}
	}
	return Step{Answer: Yes, Checked: checked, Seen: "it is there"}
}

func askEnded(p *patient) Step {
	if p.c == nil {
		return unasked("there is no container")
	}
	state := p.c.Inspect.State
	switch {
	case p.live():
		return unasked("it runs")
	case p.c.Status() == container.StateCreated && state.Error == "", p.c.Status() == container.StatePaused:
		return unasked("it has not ended")
	}
	s := Step{Answer: answered(state.ExitCode == 0 && state.Error == ""), Checked: "exit code, memory kill, who stopped it", Seen: exit(state)}
	if text := p.oom(); text != "" {
		s.Answer, s.Seen = No, s.Seen+"; "+text
	} else if p.stoppedFromOutside() {
		s.Seen += "; it was stopped from outside: it did not end by itself"
	}
	return s
}

// askHealthy is step 2 of the runbook.
func askHealthy(p *patient) Step {
	if !p.live() {
		return p.idle()
	}
	s := Step{Checked: "state of its healthcheck"}
	switch p.c.Health() {
	case container.Healthy:
		s.Answer, s.Seen = Yes, "healthy"
		return s
	case container.Starting:
		s.Answer, s.Seen = Unclear, fmt.Sprintf("starting for %s; up to %s is normal", p.up(), p.allowance())
		if p.overdue() {
			s.Answer = No
		}
	case container.Unhealthy:
		s.Answer, s.Seen = No, checksFailed(p.c.Inspect.State.Health)
	case "unknown":
		s.Answer, s.Seen = Unclear, p.c.WhyUnknown()
		return s
	default:
		s.Answer, s.Seen = NotAsked, "no healthcheck is configured"
		return s
	}
	if test := p.test(); test != "" {
		s.Details = append(s.Details, "it tests: "+test)
	}
	s.Details = append(s.Details, p.checks()...)
	return s
}

// askProcess is the runbook's "ps" of steps 2 and 4.
func askProcess(p *patient) Step {
	const checked = "processes of the container"
	if !p.live() {
		return p.idle()
	}
	if p.evidence == nil || p.evidence.Processes == nil {
		return unknown(checked, p.without(observe.NeedProcesses))
	}
	s := Step{Answer: answered(len(p.evidence.Processes) > 0), Checked: checked, Seen: fmt.Sprintf("%d", len(p.evidence.Processes))}
	for _, process := range p.evidence.Processes[:min(len(p.evidence.Processes), shownEntries)] {
		s.Details = append(s.Details, fmt.Sprintf("pid %d: %s", process.PID, quoted(process.Command)))
	}
	return s
}

// askResources says no when memory is above the alert, or a disk is full.
func askResources(p *patient) Step {
	const checked = "memory, CPU and space"
	if p.evidence == nil || p.evidence.Stats == nil {
		return unknown(checked, p.without(observe.NeedStats))
	}
	stats := p.evidence.Stats
	seen := []string{fmt.Sprintf("memory %s", size(stats.MemoryUsage)), fmt.Sprintf("CPU %.0f %%", 100*stats.CPU)}
	if stats.MemoryLimit > 0 {
		seen[0] += fmt.Sprintf(" of %s (%.0f %%)", size(stats.MemoryLimit), 100*p.memoryShare())
	}
	if change, known := p.memoryChange(); known {
		seen = append(seen, fmt.Sprintf("memory changed by %.0f %% since the last sample", 100*change))
	}
	full := p.fullDisks()
	seen = append(seen, full...)
	return Step{Answer: answered(!p.memoryHigh() && len(full) == 0), Checked: checked, Seen: strings.Join(seen, ", ")}
}

// askLog shows the lines that a signature knows.
func askLog(p *patient) Step {
	if p.evidence == nil || p.evidence.Log == nil {
		return unknown("last lines of its log", p.without(observe.NeedLogs))
	}
	s := Step{Checked: lines(len(p.log())), Answer: Yes, Seen: "no line that a signature knows"}
	var known []string
	for _, cause := range slices.Sorted(maps.Keys(p.signs)) {
		known = append(known, cause)
		s.Details = append(s.Details, p.signs[cause]...)
	}
	if len(known) > 0 {
		s.Answer, s.Seen = No, "lines that speak for "+strings.Join(known, ", ")
	}
	return s
}

func lines(n int) string {
	if n == 1 {
		return "the only line of its log"
	}
	return fmt.Sprintf("last %d lines of its log", n)
}
