package diagnose

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"

	"composure/controller/observe"
	"composure/spec"
)

// exitMeaning is what an exit code says by the conventions of kernel, shell and engine.
func exitMeaning(code int) string {
	switch code {
	case 0:
		return "without an error"
	case 125:
		return "the engine could not run it"
	case 126:
		return "the command cannot be executed"
	case 127:
		return "the command was not found"
	case 128:
		return "it was never started"
	case 129:
		return "hung up, SIGHUP"
	case 130:
		return "interrupted, SIGINT"
	case 131:
		return "asked to quit, SIGQUIT"
	case 132:
		return "illegal instruction, SIGILL: built for another CPU"
	case 134:
		return "aborted, SIGABRT"
	case 135:
		return "bus error, SIGBUS"
	case 136:
		return "arithmetic error, SIGFPE"
	case 137:
		return "killed, SIGKILL"
	case 139:
		return "memory fault, SIGSEGV"
	case 143:
		return "asked to stop, SIGTERM"
	case 255:
		return "the engine lost it, or it ended with -1"
	}
	if code > 128 && code < 160 {
		return fmt.Sprintf("signal %d", code-128)
	}
	return "the application gave up"
}

// exit tells how a run ended, such as "exited with 137 (killed, SIGKILL)". Whether memory was the reason is for oom to say.
func exit(state *container.State) string {
	return fmt.Sprintf("exited with %d (%s)", state.ExitCode, exitMeaning(state.ExitCode))
}

func (p *patient) restarts() string {
	switch n := p.c.Inspect.RestartCount; n {
	case 0:
		return ""
	case 1:
		return ", restarted once by the engine"
	default:
		return fmt.Sprintf(", restarted %d times by the engine", n)
	}
}

// stoppedFromOutside says whether somebody, or the engine itself while it went down, stopped the container. Under
// always and unless-stopped the engine restarts whatever ends by itself (engine fact), so what has exited there was
// stopped; else the signals of docker stop, docker kill and a shutdown tell, as far as memory does not explain a kill.
func (p *patient) stoppedFromOutside() bool {
	if !p.ended() || p.c.Status() != "exited" || p.c.Inspect.State.Error != "" || p.oom() != "" || p.endedWhileUndone() {
		return false
	}
	switch p.policy() {
	case "always", "unless-stopped":
		return true
	}
	switch p.c.Inspect.State.ExitCode {
	case 0, 130, 143:
		return !p.completed()
	case 137:
		return p.evidence != nil // only then it is known that the kernel did not kill it
	}
	return false
}

// endedWhileUndone says whether the container ended by itself while it was taken back from a recreation: it runs again before it
// has its policy again, which then looks as if the engine would have restarted it.
func (p *patient) endedWhileUndone() bool {
	switch p.c.Inspect.State.ExitCode {
	case 0, 130, 137, 143:
		return false
	}
	at, end := p.in.Undone[p.svc.Name], p.c.FinishedAt()
	return !end.After(at) && at.Sub(end) < time.Minute
}

// oomHolds is how long a kernel kill of a child explains what is wrong with a container that lives on.
const oomHolds = 10 * time.Minute

// oom tells how memory ran out in the run at hand, or "". The OOMKilled flag counts for the ended run only: it stays
// on the running successor (engine fact), and a container that somebody stopped after that still carries it.
func (p *patient) oom() string {
	if p.c == nil {
		return ""
	}
	state := p.c.Inspect.State
	if e := p.evidence; e != nil && (p.oomNow(e.OOM) || p.oomLoop(e.OOM)) {
		return "the kernel killed it, or a process of it, for memory at " + clock(e.OOM)
	}
	if at := p.repaired(); !at.IsZero() {
		return "the kernel killed it for memory at " + clock(at) + ", and the engine has started it again"
	}
	restarted := p.policy() == "always" || p.policy() == "unless-stopped"
	byHand := restarted && p.c.Status() == "exited"
	if p.ended() && state.OOMKilled && state.ExitCode == 137 && !byHand {
		return "the engine says that the run was killed for memory, and it exited with 137"
	}
	return ""
}

// repaired is when the kernel ended the run of a replica before the one at hand for memory, and that is all that was wrong with any.
func (p *patient) repaired() time.Time {
	at := p.in.Repaired[p.svc.Name]
	ended := func(one observe.Container) bool { return one.Running() && one.EndedBy(at) }
	if p.live() && slices.ContainsFunc(p.in.Snapshot.Of(p.svc.Name), ended) {
		return at
	}
	return time.Time{}
}

// oomNow says whether the kernel killed for memory in the run at hand, and that explains how it is now.
func (p *patient) oomNow(at time.Time) bool {
	return !at.IsZero() && !at.Before(p.c.StartedAt()) && (p.ended() || p.in.Now.Sub(at) <= oomHolds)
}

// oomLoop says whether the kernel ended the run before the one at hand, of a container that the engine restarts again
// and again: between two kills it is always in a run that memory has not ended yet.
func (p *patient) oomLoop(at time.Time) bool {
	return !at.IsZero() && p.looping() && p.c.EndedBy(at)
}

// slack is added to what a healthcheck itself allows before "starting" counts as stuck.
const slack = 10 * time.Second

// allowance is how long the healthcheck may take from the start to its first verdict, with slack.
func (p *patient) allowance() time.Duration {
	if p.c.Inspect.Config == nil {
		return slack
	}
	return spec.FirstVerdict(p.c.Inspect.Config.Healthcheck) + slack
}

// overdue says whether the first verdict of the healthcheck does not come.
func (p *patient) overdue() bool { return p.starting() && p.up() > p.allowance() }

// neverHealthy says whether no check of this run can have succeeded: the failures in a row reach back to the first check
// that counts, the one after the start period. Failures in the start period count only after a success, so a streak that
// began in it proves one.
func (p *patient) neverHealthy() bool {
	if !p.unhealthy() || p.c.Inspect.Config == nil || p.c.Inspect.Config.Healthcheck == nil {
		return false
	}
	health := p.c.Inspect.State.Health
	period := betweenChecks(health.Log, p.c.Inspect.Config.Healthcheck)
	if len(health.Log) == 0 || period <= 0 {
		return false
	}
	last := health.Log[len(health.Log)-1].Start
	first := last.Add(-time.Duration(health.FailingStreak-1) * period)
	counting := p.c.StartedAt().Add(p.c.Inspect.Config.Healthcheck.StartPeriod)
	vague := time.Duration(max(health.FailingStreak-10, 0)) * period / 5 // checks do not take equally long
	return !first.Before(counting.Add(-period/2-vague)) && !first.After(counting.Add(period*3/2+vague))
}

// betweenChecks is the time from check to check, as the health log shows it: the engine waits for the interval after
// each check has ended. With a single entry it is the interval.
func betweenChecks(log []*container.HealthcheckResult, h *container.HealthConfig) time.Duration {
	if n := len(log); n > 1 {
		return log[n-1].Start.Sub(log[0].Start) / time.Duration(n-1)
	}
	return spec.HealthTimesOf(h).Interval
}

// checksFailed sums up a failing healthcheck. The output is left to the details: it is the container's own text.
func checksFailed(h *container.Health) string {
	text := fmt.Sprintf("its healthcheck failed %d times in a row", h.FailingStreak)
	if n := len(h.Log); n > 0 {
		text += fmt.Sprintf(", last with exit %d", h.Log[n-1].ExitCode)
	}
	return text
}

// shownEntries is how many entries of the health log the runbook looks at (step 2).
const shownEntries = 5

// checks are the last entries of the health log, a line each: as collected, with the known secrets masked, else from the
// snapshot.
func (p *patient) checks() []string {
	var entries []observe.HealthEntry
	switch {
	case p.evidence != nil && len(p.evidence.Health) > 0:
		entries = p.evidence.Health
	case p.c.Inspect.State.Health != nil:
		for _, r := range p.c.Inspect.State.Health.Log {
			entries = append(entries, observe.HealthEntry{Start: r.Start, End: r.End, ExitCode: r.ExitCode, Output: r.Output})
		}
	}
	var lines []string
	for _, e := range entries[max(0, len(entries)-shownEntries):] {
		output := either(strings.TrimSpace(e.Output), "(no output)")
		lines = append(lines, fmt.Sprintf("%s exit %d after %s: %s", clock(e.End), e.ExitCode, short(e.End.Sub(e.Start)), quoted(output)))
	}
	if again := p.checkedAgain(); again != nil {
		lines = append(lines, fmt.Sprintf("run again by hand, with more time: exit %d after %s: %s", again.ExitCode, short(again.End.Sub(again.Start)), quoted(either(strings.TrimSpace(again.Output), "(no output)"))))
	}
	return lines
}

// test is what the healthcheck runs.
func (p *patient) test() string {
	if p.c.Inspect.Config == nil || p.c.Inspect.Config.Healthcheck == nil || len(p.c.Inspect.Config.Healthcheck.Test) == 0 {
		return ""
	}
	words := p.c.Inspect.Config.Healthcheck.Test
	if words[0] == "CMD" || words[0] == "CMD-SHELL" {
		words = words[1:]
	}
	return quoted(strings.Join(words, " "))
}

var noAnswer = regexp.MustCompile(`(?i)time[ds]?[ -]?out|deadline exceeded|no answer|did not answer`)

// hangs tells which check or probe got no answer in time, or "": refused and wrong answers are something else, and so is a
// short timeout that passed on a busy machine. Whatever hangs has been asked again, and had a sensible time to answer.
func (p *patient) hangs() string {
	for _, r := range p.failingProbes() {
		if r.Status == 0 && noAnswer.MatchString(clip(r.Detail)) && !p.answered(r.Name) {
			return fmt.Sprintf("the probe %s gets no answer: %s", r.Name, said(r))
		}
	}
	if !p.checkHangs() || p.answered("") {
		return ""
	}
	text := checksFailed(p.c.Inspect.State.Health) + ", without an answer in time"
	switch again := p.checkedAgain(); {
	case again != nil && again.ExitCode != 0 && noAnswer.MatchString(clip(again.Output)):
		return text + fmt.Sprintf(", nor when it was run again with more time (%s)", short(again.End.Sub(again.Start)))
	case again == nil && p.checkedLong():
		return text
	}
	return ""
}

// answered says whether the application answered when it was asked for the evidence: by a probe of that name, or by any of
// its probes when there is none.
func (p *patient) answered(name string) bool {
	return p.evidence != nil && slices.ContainsFunc(p.evidence.Probes, func(r observe.ProbeResult) bool {
		return (name == "" || r.Name == name) && (r.Status != 0 || r.State == observe.ProbeOK) && (r.Kind == "http" || r.Kind == "exec")
	})
}

// checkedAgain is the healthcheck made by hand, or nil.
func (p *patient) checkedAgain() *observe.HealthEntry {
	if p.evidence == nil {
		return nil
	}
	return p.evidence.Check
}

// checkHangs says whether the healthcheck fails because it gets no answer in time.
func (p *patient) checkHangs() bool {
	return p.unhealthy() && silentChecks(p.c.Inspect.State.Health.Log, 0) > 0
}

// sensible is a time in which an application that works answers, also on a busy machine.
const sensible = 4 * time.Second

// checkedLong says whether the healthcheck itself waits for a sensible time, and got no answer more than once.
func (p *patient) checkedLong() bool {
	return p.unhealthy() && silentChecks(p.c.Inspect.State.Health.Log, sensible) > 1
}

// silentChecks counts the checks at the end of a health log that got no answer after so long at least.
func silentChecks(log []*container.HealthcheckResult, least time.Duration) int {
	n := 0
	for _, check := range slices.Backward(log) {
		if check.ExitCode == 0 || !noAnswer.MatchString(clip(check.Output)) || check.End.Sub(check.Start) < least {
			break
		}
		n++
	}
	return n
}

// said is what a probe saw.
func said(r observe.ProbeResult) string {
	var parts []string
	if r.Status != 0 {
		parts = append(parts, fmt.Sprintf("HTTP %d", r.Status))
	}
	if r.Detail != "" {
		parts = append(parts, quoted(r.Detail))
	}
	if r.Latency > 0 {
		parts = append(parts, "after "+short(r.Latency))
	}
	if len(parts) == 0 {
		return string(r.State)
	}
	return strings.Join(parts, ", ")
}

// clock shows a time of day, in UTC.
func clock(t time.Time) string { return t.UTC().Format("15:04:05 UTC") }

// short rounds a duration to what people read.
func short(d time.Duration) string {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Millisecond).String()
}

// size shows bytes in the units of a compose file.
func size(bytes int64) string {
	const unit = 1024
	switch {
	case bytes >= unit*unit*unit:
		return fmt.Sprintf("%.1f GiB", float64(bytes)/(unit*unit*unit))
	case bytes >= unit*unit:
		return fmt.Sprintf("%.0f MiB", float64(bytes)/(unit*unit))
	}
	return fmt.Sprintf("%d bytes", bytes)
}
