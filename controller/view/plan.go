package view

import (
	"strings"
	"time"

	"composure/controller/plan"
)

// Plan is what would be done now, and what is decided against ("composure.plan/v1").
type Plan struct {
	Schema string     `json:"schema"`
	Stack  string     `json:"stack"`
	Jobs   []Job      `json:"jobs"`
	Held   []HeldBack `json:"held"`
	Notes  []string   `json:"notes"`
}

// Job is an ordered list of steps on one subject.
type Job struct {
	Subject string   `json:"subject"`
	Service string   `json:"service,omitempty"`
	Kind    string   `json:"kind"` // remedy, with what identifies the try
	Cause   string   `json:"cause"`
	Steps   []string `json:"steps"`
	Waits   []string `json:"waits"` // what must be true first
}

// HeldBack is what is decided against, and why.
type HeldBack struct {
	Subject string     `json:"subject"`
	Service string     `json:"service,omitempty"`
	Reason  string     `json:"reason"`
	Until   *time.Time `json:"until,omitempty"` // when it is looked at again; nil: with the next event
}

// PlanOf shows a plan. Paths below root are shown relative to it.
func PlanOf(p plan.Plan, stack, root string) Plan {
	text := func(s string) string { return line(strings.ReplaceAll(s, root+"/", "")) }
	shown := Plan{Schema: "composure.plan/v1", Stack: stack, Jobs: []Job{}, Held: []HeldBack{}, Notes: []string{}}
	for _, j := range p.Jobs {
		job := Job{Subject: j.Title(), Service: j.Service, Kind: j.Kind, Cause: text(j.Cause), Steps: []string{}, Waits: []string{}}
		for _, s := range j.Steps {
			job.Steps = append(job.Steps, text(s.String()))
		}
		for _, w := range j.Waits() {
			job.Waits = append(job.Waits, text(w.Text))
		}
		shown.Jobs = append(shown.Jobs, job)
	}
	for _, h := range p.Held {
		shown.Held = append(shown.Held, HeldBack{h.Title(), h.Service, text(h.Reason), When(h.Until)})
	}
	for _, n := range p.Notes {
		shown.Notes = append(shown.Notes, text(n))
	}
	return shown
}
