package diagnose

import (
	"fmt"
	"strings"

	"composure/controller/drift"
)

// String is the diagnosis for people: the tree as it was walked, drawn like the runbook's, and what came of it. It is
// plain text; whatever a container wrote is bounded and made harmless.
func (d Diagnosis) String() string {
	r := &rendering{}
	r.line("%s", drift.Line(d.title()))
	for i, s := range d.Steps {
		r.step(s, s.Depth > 0 && lastOfProcedure(d.Steps, i))
	}
	switch {
	case d.MaskedBy != "":
		r.line("└─ explained by %s, which is to be healed first", drift.Line(d.MaskedBy))
	case d.Finding != nil:
		r.finding(*d.Finding)
	case len(d.Needs) > 0 && d.Reason != "":
		r.line("└─ not decided yet: %s to be looked at", joinNeeds(d))
	case d.Reason != "":
		r.line("└─ not decided: what would prove a cause could not be read")
	default:
		r.line("└─ well")
	}
	return r.String()
}

// Render is several diagnoses, one after the other.
func Render(all []Diagnosis) string {
	texts := make([]string, len(all))
	for i, d := range all {
		texts[i] = d.String()
	}
	return strings.Join(texts, "\n")
}

func (d Diagnosis) title() string {
	name := either(d.Service, "engine")
	if d.Reason == "" {
		return name + ": well"
	}
	return name + ": " + quoted(d.Reason)
}

func joinNeeds(d Diagnosis) string {
	names := make([]string, len(d.Needs))
	for i, n := range d.Needs {
		names[i] = string(n)
	}
	return strings.Join(names, ", ")
}

type rendering struct{ strings.Builder }

func (r *rendering) line(format string, args ...any) {
	r.WriteString(strings.TrimRight(fmt.Sprintf(format, args...), " ") + "\n")
}

// step draws one question. last says that it closes a procedure.
func (r *rendering) step(s Step, last bool) {
	branch, below := "├─ ", "│     "
	if s.Depth > 0 {
		branch, below = "│  ├─ ", "│  │     "
		if last {
			branch, below = "│  └─ ", "│        "
		}
	}
	text := s.Question + " → " + string(s.Answer)
	if s.Jump != "" {
		text += " → [" + s.Jump + "]"
	}
	r.line("%s%s", branch, drift.Line(text))
	if s.Checked != "" {
		r.line("%schecked: %s", below, drift.Line(s.Checked))
	}
	if s.Seen != "" {
		r.line("%sseen: %s", below, drift.Line(s.Seen))
	}
	for _, detail := range s.Details {
		r.line("%s  %s", below, drift.Line(detail))
	}
}

// lastOfProcedure says whether no further question of the same procedure follows.
func lastOfProcedure(steps []Step, i int) bool { return i+1 == len(steps) || steps[i+1].Depth == 0 }

// finding draws the cause, what proves it, and what is done about it in which order.
func (r *rendering) finding(f Finding) {
	c, _ := Explain(f.Cause)
	r.line("└─ cause: %s (%s): %s", drift.Line(f.Cause), drift.Line(f.Severity), c.Title)
	for _, fact := range f.Proof {
		r.line("      proof: %s", drift.Line(fact))
	}
	for _, line := range f.Log {
		r.line("      log: %s", drift.Line(line))
	}
	if f.Dependency != "" {
		r.line("      to be healed at: %s", drift.Line(f.Dependency))
	}
	if f.Wait != "" {
		r.line("      waiting: %s", drift.Line(f.Wait))
	}
	remedies := strings.Join(c.Remedies, ", ")
	if c.HandsOff {
		remedies += " (nothing else: people decide)"
	}
	r.line("      remedies: %s", remedies)
}
