package diagnose

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"composure/controller/observe"
)

// The causes that follow from several facts together, in the order of the table.

func noDatabase(p *patient) []string {
	if p.isDatabase() && p.stoppedFromOutside() {
		return []string{"it " + exit(p.c.Inspect.State) + " and was stopped from outside"}
	}
	if p.evidence == nil || !p.usesPostgres() || (p.ended() && len(p.support()) == 0) {
		return nil // without evidence nobody knows whether it only recovers
	}
	return p.databaseDown()
}

// notYet is how PostgreSQL refuses sessions for a while, as far as its messages are in English.
var notYet = regexp.MustCompile(`starting up|in recovery|not yet accepting|shutting down`)

// late says whether something has been waited for longer than an incident may stay unresolved before people are called.
func (p *patient) late(since time.Time) bool {
	limit := p.in.Stack.Policy.Escalation.Unresolved
	return limit > 0 && p.in.Now.Sub(since) > limit
}

// recovering: a database that replays its log takes connections when it is done; a restart would begin it anew.
func recovering(p *patient) string {
	d := p.server()
	if d == nil || !d.Reachable || d.Accepting || !(d.InRecovery || notYet.MatchString(clip(d.Detail))) || p.late(p.began()) {
		return ""
	}
	return "the database is starting or in recovery, and takes connections when that is done"
}

func noConnections(p *patient) []string {
	if !p.usesPostgres() {
		return nil
	}
	d := p.server()
	if facts := p.databaseFull(); len(facts) > 0 {
		return facts
	}
	if len(p.signs["connection_pool_exhausted"]) == 0 || len(p.support()) == 0 || d == nil || !d.SelectOne {
		return nil
	}
	return append(p.support(), "PostgreSQL itself answers: "+figuresLine(d))
}

// freshLine is how young the last line of the log is while a start makes progress.
const freshLine = time.Minute

// stuckStart: the first verdict of the healthcheck does not come, a probe for the ready line does not match, or no
// check of this run has succeeded and nothing listens.
func stuckStart(p *patient) []string {
	if !p.live() {
		return nil
	}
	var facts []string
	if p.overdue() {
		facts = append(facts, fmt.Sprintf("its healthcheck still says starting %s after the start, and it allows itself %s", p.up(), p.allowance()))
	}
	for _, r := range p.failingProbes() {
		if r.Kind == "log" {
			facts = append(facts, fmt.Sprintf("the line that says it is ready has not come %s after the start", p.up()))
		}
	}
	if p.neverHealthy() && p.evidence != nil && slices.ContainsFunc(p.evidence.Ports, func(c observe.PortCheck) bool { return no(c.Listening) }) {
		facts = append(facts, fmt.Sprintf("no check has succeeded in the %s since the start, and nothing listens on its port", p.up()))
	}
	return facts
}

var trouble = regexp.MustCompile(`(?i)\b(error|fatal|panic|critical|exception|traceback|refused|denied|failed)\b`)

// runSlack is how much before the engine's own time of a start its first line may be stamped.
const runSlack = time.Second

// progresses tells why a start is to be waited for: it still writes lines, in this run, and they are not errors.
func progresses(p *patient) string {
	if p.evidence == nil || len(p.evidence.Log) == 0 || p.evidence.LastLog.IsZero() || p.late(p.c.StartedAt()) {
		return ""
	}
	if p.evidence.LastLog.Before(p.c.StartedAt().Add(-runSlack)) {
		return ""
	}
	age := p.evidence.At.Sub(p.evidence.LastLog)
	last := p.evidence.Log[max(0, len(p.evidence.Log)-shownEntries):]
	if age > freshLine || slices.ContainsFunc(last, func(line string) bool { return trouble.MatchString(clip(line)) }) {
		return ""
	}
	return fmt.Sprintf("the start still makes progress: %s ago it wrote %q", short(age), quoted(last[len(last)-1]))
}

// Idle and flat, for an application that hangs.
const (
	idleCPU    = 0.05 // of one CPU
	flatMemory = 0.05
	// A small process grows by a good part of itself while it starts, which is no work: changes are measured against this
	// much at least, in bytes.
	smallMemory = 64 << 20
)

// deadlocked: it runs and does not answer, uses no CPU, its memory does not move, and nothing that it waits for is away.
func deadlocked(p *patient) []string {
	hangs := p.hangs()
	if hangs == "" || p.evidence == nil || p.evidence.Stats == nil || len(p.evidence.Processes) == 0 {
		return nil
	}
	stats := p.evidence.Stats
	change, known := p.memoryChange()
	moves := known && (change > flatMemory || change < -flatMemory)
	if stats.CPUUnknown || stats.CPU >= idleCPU || moves || p.memoryShare() >= atLimit {
		return nil
	}
	if p.usesPostgres() && (!p.databaseWell() || p.server().Blocked > 0) {
		return nil
	}
	facts := []string{hangs, fmt.Sprintf("its process is there: %s", quoted(p.evidence.Processes[0].Command)),
		fmt.Sprintf("it uses %.1f %% of a CPU", 100*stats.CPU)}
	if known {
		facts = append(facts, fmt.Sprintf("its memory changed by %.1f %%", 100*change))
	}
	return facts
}
