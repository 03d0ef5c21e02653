package incident

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"composure/controller/diagnose"
	"composure/controller/plan"
)

// Extras is what a report says beyond the incident itself. The zero value is fine.
type Extras struct {
	Now        time.Time // of the report; zero: an incident that is not over has no duration yet
	Prevention []string  // nil: what `composure explain` says about the cause
	Hints      []Hint    // what to change in the compose file, see Hints
	Evidence   []Evidence
	FollowUps  []string // nil: the runbook's checklist, as far as it fits the incident
}

// Evidence is one piece that is kept beside an incident.
type Evidence struct {
	Name string // where to find it, such as a file name or the id for `composure incidents show`
	Kind string // such as logs, stats, stack_dump
	At   time.Time
	Size int64 // bytes
}

// Report is the runbook's incident document in Markdown: timeline, root cause with the decision tree as it was walked,
// impact, actions, prevention measures, follow-ups. Times are UTC.
//
// Text that comes from containers, files or people stands in code spans or code blocks, on one line, without control
// characters and without secrets: it can become neither markup nor HTML, nobody is mentioned and nothing is linked. The
// document reads well as plain text too.
func Report(i Incident, x Extras) string {
	r := &report{i: i, x: x}
	r.head()
	r.timeline()
	r.rootCause()
	r.impact()
	r.actions()
	r.prevention()
	r.followUps()
	r.evidence()
	return r.String()
}

type report struct {
	strings.Builder
	i Incident
	x Extras
}

func (r *report) line(format string, args ...any) { fmt.Fprintf(r, format+"\n", args...) }

func (r *report) section(title string) { r.line("\n## %s\n", title) }

func (r *report) head() {
	r.line("# Incident %s: %s", code(r.i.ID), r.subject())
	r.line("\n**%s**, severity %s: %s", r.i.State, code(r.i.Severity), code(r.i.Summary))
	if r.i.Recurrence != "" {
		r.line("\nThis happened before: %s.", code(r.i.Recurrence))
	}
	if r.i.ExplainedBy != "" {
		r.line("\nExplained by %s, which is dealt with first.", code(r.i.ExplainedBy))
	}
	if r.i.AckBy != "" {
		r.line("\nTaken over by %s at %s.", code(r.i.AckBy), clock(r.i.AckAt))
	}
}

// subject is what the incident is about.
func (r *report) subject() string {
	return code(cmp.Or(r.i.Service, "stack "+r.i.Stack)) + ", " + r.cause()
}

func (r *report) cause() string {
	if c, ok := diagnose.Explain(r.i.Cause); ok {
		return strings.ToLower(c.Title[:1]) + c.Title[1:]
	}
	return code(r.i.Cause)
}

func (r *report) timeline() {
	r.section("Timeline")
	i := r.i
	for _, m := range []struct {
		title string
		at    time.Time
	}{
		{"Incident began", i.Began}, {"Incident detected", i.Detected}, {"Diagnosed", i.Diagnosed}, {"Recovery action taken", i.FirstAction},
		{"Service restored", i.MitigatedAt}, {"Resolved", i.ResolvedAt},
	} {
		if m.at.IsZero() {
			r.line("- not yet: %s", m.title)
			continue
		}
		r.line("- %s: %s (+%s)", clock(m.at), m.title, short(m.at.Sub(i.Began)))
	}
	r.line("\nIn full:\n")
	for _, e := range i.Timeline {
		text := ""
		if e.Text != "" {
			text = ": " + code(e.Text)
		}
		r.line("- %s %s%s", clock(e.At), code(e.Kind), text)
	}
}

func (r *report) rootCause() {
	r.section("Root Cause")
	r.line("%s (`composure explain` knows more): %s", code(r.i.Cause), code(r.i.Summary))
	if c, ok := diagnose.Explain(r.i.Cause); ok {
		r.line("\n%s", c.Text)
	}
	r.list("What proves it:", r.i.Proof)
	if len(r.i.Steps) > 0 {
		r.line("\nThe decision tree as it was walked:\n")
		for _, step := range r.i.Steps {
			r.line("    %s", plain(step))
		}
	}
}

// list writes foreign texts under a heading; nothing when there are none.
func (r *report) list(heading string, texts []string) {
	if len(texts) == 0 {
		return
	}
	r.line("\n%s\n", heading)
	for _, text := range texts {
		r.line("- %s", code(text))
	}
}

func (r *report) impact() {
	r.section("Impact")
	i := r.i
	until, note := i.MitigatedAt, ""
	if until.IsZero() {
		until, note = cmp.Or(i.ResolvedAt, r.x.Now), ", and it goes on"
		if !i.ResolvedAt.IsZero() {
			note = ", until it was closed by hand"
		}
	}
	if until.IsZero() {
		r.line("- Duration: it goes on")
	} else {
		r.line("- Duration: %s%s", short(until.Sub(i.Began)), note)
	}
	r.line("- Affected endpoints: %s", codes(i.Impact.Endpoints, "none is known"))
	if len(i.Impact.Services) > 0 {
		r.line("- Services that suffered with it: %s", codes(i.Impact.Services, ""))
	}
	r.line("- Data integrity: %s", code(cmp.Or(i.Impact.Data, DataUnchecked)))
	confirmed := "not confirmed"
	if i.Impact.Confirmed {
		confirmed = "confirmed"
	}
	r.line("- Customer-facing impact: %s", confirmed)
	for _, tier := range tiers {
		if at, told := i.Escalated[tier]; told {
			r.line("- Escalated to the %s tier at %s: %s", tier, clock(at), code(i.Reasons[tier]))
		}
	}
}

func (r *report) actions() {
	r.section("Actions")
	if len(r.i.Tried) == 0 {
		r.line("None was taken.")
		return
	}
	r.line("Counted against the budget: %d. Of those failed: %d.\n", r.i.Actions, r.i.Failed)
	for _, t := range r.i.Tried {
		verdict := map[plan.Verdict]string{
			plan.Recovered: ": **it helped**", plan.Failed: ": it did not help", plan.Pending: ": being verified",
		}[t.Verdict]
		r.line("- %s %s, because of %s%s", clock(t.At), code(t.text()), code(t.Cause), verdict)
	}
}

func (r *report) prevention() {
	r.section("Prevention Measures")
	known, _ := diagnose.Explain(r.i.Cause)
	for _, measure := range r.x.Prevention {
		r.line("- %s", code(measure))
	}
	if r.x.Prevention == nil {
		for _, measure := range known.Prevention {
			r.line("- %s", measure)
		}
	}
	if len(r.x.Prevention)+len(known.Prevention)+len(r.x.Hints) == 0 {
		r.line("None is known for this cause.")
	}
	for _, h := range r.x.Hints {
		r.line("\n%s: %s\n", code(h.At), h.Why)
		for row := range strings.Lines(h.YAML) {
			r.line("    %s", plain(strings.TrimRight(row, "\n")))
		}
	}
}

func (r *report) followUps() {
	r.section("Follow-ups")
	steps := r.x.FollowUps
	if steps == nil {
		steps = r.checklist()
	}
	for _, step := range steps {
		r.line("- [ ] %s", step)
	}
}

// checklist is the runbook's post-incident checklist.
func (r *report) checklist() []string {
	var steps []string
	switch r.i.Impact.Data {
	case DataVerified:
	case DataCompromised:
		steps = append(steps, "Keep the volume as it is, and restore from a backup into another one: data integrity is compromised")
	default:
		steps = append(steps, "Verify data integrity: `composure baseline verify`")
	}
	if r.i.Deadlocks > 0 {
		steps = append(steps, "Read the stack dump, and find what the application waits for")
	}
	if !r.i.Impact.Confirmed {
		steps = append(steps, "Find out whether customers saw it: `composure incidents confirm "+safeID(r.i.ID)+"`")
	}
	return append(steps,
		"Apply the prevention measures above",
		"Update monitoring: a check that finds this root cause earlier",
		"Schedule a post-mortem meeting",
		"Update the runbook with the lessons learned")
}

func (r *report) evidence() {
	if len(r.x.Evidence) == 0 && len(r.i.Evidence) == 0 {
		return
	}
	r.section("Evidence")
	for _, e := range r.x.Evidence {
		r.line("- %s: %s, %d bytes, %s", code(e.Name), code(e.Kind), e.Size, clock(e.At))
	}
	if len(r.x.Evidence) == 0 {
		for _, name := range r.i.Evidence {
			r.line("- %s", code(name))
		}
	}
}

// plain is a text for a line of a code block: one line, without secrets and what cannot be seen.
func plain(text string) string { return clean(text) }

// code shows a text literally: in a code span whose fence is longer than any run of backticks in it.
func code(text string) string {
	text = clean(text)
	if strings.TrimSpace(text) == "" {
		return "(nothing)"
	}
	fence := "`"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	if strings.HasPrefix(text, "`") || strings.HasSuffix(text, "`") {
		text = " " + text + " "
	}
	return fence + text + fence
}

func codes(texts []string, none string) string {
	if len(texts) == 0 {
		return none
	}
	shown := make([]string, len(texts))
	for n, text := range texts {
		shown[n] = code(text)
	}
	return strings.Join(shown, ", ")
}

// safeID is an id that can stand in a command line.
func safeID(id string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", r) {
			return r
		}
		return -1
	}, id)
}
