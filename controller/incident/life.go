package incident

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"composure/controller/diagnose"
	"composure/controller/plan"
)

// open opens the incident of a service, "" for the stack's.
func (a *advance) open(service string, d *diagnose.Diagnosis) *Incident {
	began := a.Now
	if t := a.Began[service]; service != "" && !t.IsZero() && t.Before(a.Now) {
		began = t.UTC()
	}
	if service == "" && !a.EngineDown.IsZero() && a.EngineDown.Before(a.Now) {
		began = a.EngineDown.UTC()
	}
	i := &Incident{
		ID: a.number(), Stack: a.Stack, Service: service, State: Open, Began: began, Detected: a.Now, Diagnosed: a.Now, IllSince: began,
		Severity: d.Finding.Severity, Impact: Impact{Data: DataUnchecked},
	}
	i.note(began, "began", clean(d.Reason))
	i.note(a.Now, "detected", "")
	a.live = append(a.live, i)
	a.call(i, d)
	return i
}

// rediagnose is a further look at an open incident: nothing is told again unless it is another cause, or the service
// had been well.
func (a *advance) rediagnose(i *Incident, d *diagnose.Diagnosis) {
	i.ExplainedBy = ""
	anew := i.State == Mitigated
	if anew {
		i.reopen(a.Now, d.Reason)
	}
	found := d.Finding.Cause
	switch {
	case i.Cause == found && !i.Examined && len(d.Needs) == 0:
		a.learn(i, d)
	case i.Cause == found || (i.Causes[len(i.Causes)-1] == found && !anew):
	case anew || sharpens(found, i.Cause):
		a.call(i, d)
	default:
		i.also(a.Now, d.Finding)
	}
	a.countDeadlock(i, found)
	i.countRepair(d.Finding)
}

// sharpens says whether a later look at the same illness names the root cause better than the one before did: the more
// particular one is told. What endangers data always counts. That the container is not what it must be does not: while an
// incident is open that is mostly the doing of those who work on it.
func sharpens(found, before string) bool {
	return grave(found) || (found != "config_drift" && !grave(before) && diagnose.MoreParticular(found, before))
}

// also notes a cause beside the root cause.
func (i *Incident) also(at time.Time, f *diagnose.Finding) {
	i.add(f)
	i.note(at, "diagnosed", fmt.Sprintf("%s: %s (beside the root cause %s)", f.Cause, clean(f.Summary), i.Cause))
}

func (i *Incident) add(f *diagnose.Finding) {
	i.Severity = worse(i.Severity, f.Severity)
	i.Causes = append(i.Causes, f.Cause)
	if len(i.Causes) > maxCauses {
		i.Causes = slices.Delete(i.Causes, 1, 2)
	}
}

// call names the root cause of an incident.
func (a *advance) call(i *Incident, d *diagnose.Diagnosis) {
	f, before := d.Finding, i.Cause
	i.Cause = f.Cause
	i.describe(d)
	i.add(f)
	text := f.Cause + ": " + i.Summary
	if before != "" {
		text += " (before: " + before + ")"
	}
	i.note(a.Now, "diagnosed", text)
	a.countDeadlock(i, f.Cause)
	i.countRepair(f)
	if i.Recurrence == "" && a.Window[i.Service] == "" { // what is stopped every night in its window does not come back: it is meant
		if i.Recurrence = a.recurrence(i); i.Recurrence != "" {
			i.note(a.Now, "recurred", "the same as "+i.Recurrence)
		}
	}
}

// learn takes in what the evidence adds to a cause that was named before it was collected, such as who holds the port.
func (a *advance) learn(i *Incident, d *diagnose.Diagnosis) {
	before := i.Summary
	i.describe(d)
	if i.Summary != before {
		i.note(a.Now, "diagnosed", i.Cause+": "+i.Summary)
	}
}

// describe is what is said of a cause: in short, why it is believed, and how the tree was walked.
func (i *Incident) describe(d *diagnose.Diagnosis) {
	f := d.Finding
	i.Summary, i.Proof, i.Steps, i.Examined = clean(f.Summary), cleanAll(f.Proof), walked(d.Steps), len(d.Needs) == 0
}

// recurrence is the incident before of the same service and cause, within the policy's time.
func (a *advance) recurrence(i *Incident) string {
	for _, before := range slices.Backward(a.recent) {
		if before.Service == i.Service && slices.Contains(append(before.Causes, before.Cause), i.Cause) &&
			!before.ResolvedAt.IsZero() && i.Detected.Sub(before.ResolvedAt) <= a.Policy.Recurrence {
			return before.ID
		}
	}
	return ""
}

// afterAction is how long after an action a hang is believed to be a new one: the runbook waits 30 s and looks again.
const afterAction = 30 * time.Second

// countDeadlock counts hangs: one an illness, and one more for each time the service hangs again although it was
// restarted.
func (a *advance) countDeadlock(i *Incident, found string) {
	if found != "application_deadlock" {
		return
	}
	var acted time.Time
	for _, t := range i.Tried {
		if t.Outcome == plan.Done && t.At.After(acted) {
			acted = t.At
		}
	}
	again := acted.After(i.DeadlockAt) && !a.Now.Before(acted.Add(afterAction))
	if i.DeadlockAt.IsZero() || i.IllSince.After(i.DeadlockAt) || again {
		i.Deadlocks++
		i.DeadlockAt = a.Now
	}
}

// countRepair counts what the engine's restart policy has made good, each time once.
func (i *Incident) countRepair(f *diagnose.Finding) {
	if at := f.Repaired.UTC().Truncate(time.Microsecond); at.After(i.RepairedAt) {
		i.Repaired++
		i.RepairedAt = at
	}
}

// ahead is how far in the future a time may lie that another process wrote; beyond it, this host's clock was set back since.
const ahead = time.Minute

// settle brings times that lie in the future back to now: else nobody would be called, or reminded, until a clock that was
// set back has caught up with itself.
func (i *Incident) settle(now time.Time) {
	furthest := now
	back := func(t time.Time) time.Time {
		if !t.After(now.Add(ahead)) {
			return t
		}
		if t.After(furthest) {
			furthest = t
		}
		return now
	}
	for _, t := range []*time.Time{&i.Began, &i.Detected, &i.Diagnosed, &i.IllSince, &i.MitigatedAt, &i.Returned, &i.DeadlockAt, &i.RepairedAt, &i.Announced, &i.AckAt} {
		*t = back(*t)
	}
	for tier, at := range i.Escalated {
		i.Escalated[tier] = back(at)
	}
	if furthest.After(now) {
		i.note(now, "note", "the clock was set back by "+short(furthest.Sub(now).Truncate(time.Minute))+" or more")
	}
}

// ill says whether what the incident is about is not known to be well again.
func (i *Incident) ill() bool { return i.State == Open || i.State == Acknowledged }

// explain notes once that another incident explains this one: nobody is called for it meanwhile.
func (i *Incident) explain(at time.Time, source *Incident) {
	if i.ExplainedBy != source.ID {
		i.ExplainedBy = source.ID
		i.note(at, "note", "explained by "+source.ID)
	}
}

// mitigate notes that the service runs well again, since a time that counts only when it lies in the illness at hand.
func (i *Incident) mitigate(now, since time.Time) {
	if !since.After(i.IllSince) || i.Service == "" {
		since = now
	}
	text := "runs well again"
	for n := range i.Tried {
		if t := &i.Tried[n]; t.Verdict == plan.Pending {
			t.Verdict = plan.Recovered
			text = "runs well again after " + t.title()
			if since.Before(t.At) && !now.Before(t.At) { // it ran a moment before the call that started it was over
				since = t.At
			}
		}
	}
	if acted := slices.ContainsFunc(i.Tried, func(t Action) bool { return t.At.After(i.RepairedAt) }); i.Repaired > 0 && !acted {
		text = "the engine started it again"
	}
	i.State, i.MitigatedAt, i.ExplainedBy = Mitigated, since, ""
	i.note(since, "mitigated", text)
}

// reopen notes that the service is not well again before it was stable: it is still the same incident.
func (i *Incident) reopen(now time.Time, reason string) {
	i.State, i.MitigatedAt, i.IllSince = Open, time.Time{}, now
	if i.AckBy != "" {
		i.State = Acknowledged
	}
	i.note(now, "reopened", clean(reason))
}

func (i *Incident) resolve(now time.Time, why string) {
	i.State, i.ResolvedAt, i.ExplainedBy = Resolved, now, ""
	i.note(now, "resolved", why)
}

// knows says whether an attempt was told before. One that is older than the last of a full list may have been dropped.
func (i *Incident) knows(a plan.Attempt) bool {
	if len(i.Tried) == maxTried && a.At.Before(i.Tried[maxTried-1].At) {
		return true
	}
	return slices.ContainsFunc(i.Tried, func(t Action) bool {
		return t.Key == a.Key && t.Kind == a.Kind && t.At.Equal(a.At.Truncate(time.Microsecond))
	})
}

// try adds an attempt. An earlier one on the same subject that did not help has failed.
func (i *Incident) try(a plan.Attempt) {
	t := Action{
		Key: a.Key, Kind: clean(a.Kind), Cause: clean(a.Cause), At: a.At.UTC().Truncate(time.Microsecond), Counts: a.Counts,
		Outcome: a.Outcome, Reason: clean(a.Reason), Verdict: plan.Pending,
	}
	switch {
	case t.Outcome != plan.Done:
		t.Verdict = plan.Failed
	case t.concludes():
		t.Verdict = ""
	}
	if i.ill() && !t.concludes() {
		i.inVain(func(before Action) bool { return before.Key == t.Key })
	}
	i.Tried = append(i.Tried, t)
	if len(i.Tried) > maxTried {
		i.Tried = slices.Delete(i.Tried, maxTried/2, maxTried/2+1)
	}
	if i.FirstAction.IsZero() || t.At.Before(i.FirstAction) {
		i.FirstAction = t.At
	}
	i.note(t.At, "action", t.text())
	i.count()
}

// inVain turns the pending attempts that fit into failed ones.
func (i *Incident) inVain(fits func(Action) bool) {
	for n := range i.Tried {
		if t := &i.Tried[n]; t.Verdict == plan.Pending && fits(*t) {
			t.Verdict = plan.Failed
		}
	}
	i.count()
}

func (i *Incident) count() {
	i.Actions, i.Failed = 0, 0
	for _, t := range i.Tried {
		if t.Counts {
			i.Actions++
			if t.Verdict == plan.Failed {
				i.Failed++
			}
		}
	}
}

// concludes says whether an attempt is the end of another one: it removes what a recreation that was proven has replaced.
// Whether it helped is said of the recreation.
func (t Action) concludes() bool {
	kind, _, _ := strings.Cut(t.Kind, ":")
	return kind == "finish"
}

// title names an attempt, such as "graceful restart of api 1".
func (t Action) title() string {
	kind, _, _ := strings.Cut(t.Kind, ":")
	if kind == "graceful" || kind == "hard" {
		kind += " restart"
	}
	return kind + " of " + strings.ReplaceAll(strings.TrimPrefix(t.Key, "service/"), "/", " ")
}

func (t Action) text() string {
	text := t.title() + ": " + string(t.Outcome)
	if t.Outcome == plan.Unknown {
		text += ", no answer in time"
	}
	if t.Reason != "" {
		text += ", " + t.Reason
	}
	return text
}

// What an incident keeps at most, so that one that lasts for weeks stays readable: its beginning and its end.
const (
	maxEvents = 300
	maxTried  = 100
	maxCauses = 20
	maxNames  = 50
)

// note adds a line to the timeline, at its time; lines of one time keep the order in which they were added.
func (i *Incident) note(at time.Time, kind, text string) {
	at = at.UTC()
	n := len(i.Timeline)
	for n > 0 && i.Timeline[n-1].At.After(at) {
		n--
	}
	i.Timeline = slices.Insert(i.Timeline, n, Event{At: at, Kind: kind, Text: text})
	if len(i.Timeline) > maxEvents {
		i.Timeline = slices.Delete(i.Timeline, maxEvents/3, maxEvents/3+1)
	}
}

// clone is a copy that shares nothing that Advance changes.
func (i Incident) clone() Incident {
	i.Causes, i.Proof, i.Steps = slices.Clone(i.Causes), slices.Clone(i.Proof), slices.Clone(i.Steps)
	i.Timeline, i.Tried, i.Evidence = slices.Clone(i.Timeline), slices.Clone(i.Tried), slices.Clone(i.Evidence)
	i.Impact.Endpoints, i.Impact.Services = slices.Clone(i.Impact.Endpoints), slices.Clone(i.Impact.Services)
	i.Escalated, i.Reasons, i.Reminded = maps.Clone(i.Escalated), maps.Clone(i.Reasons), maps.Clone(i.Reminded)
	return i
}

var severities = []string{"low", "medium", "high", "critical"}

func worse(a, b string) string {
	if slices.Index(severities, b) > slices.Index(severities, a) {
		return b
	}
	return a
}

// include adds a name to a sorted set that is bounded.
func include(names []string, name string) []string {
	n, there := slices.BinarySearch(names, name)
	if there || len(names) >= maxNames {
		return names
	}
	return slices.Insert(names, n, name)
}

// walked is the decision tree as it was walked, a line each.
func walked(steps []diagnose.Step) []string {
	var lines []string
	for _, s := range steps {
		text := fmt.Sprintf("%s %s", s.Question, s.Answer)
		if s.Seen != "" {
			text += ": " + s.Seen
		}
		if s.Checked != "" {
			text += " [" + s.Checked + "]"
		}
		if s.Jump != "" {
			text += " → " + s.Jump
		}
		lines = append(lines, strings.Repeat("  ", s.Depth)+clean(text))
	}
	return lines
}
