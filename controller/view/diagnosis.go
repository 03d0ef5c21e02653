package view

import (
	"time"

	"composure/controller/diagnose"
	"composure/controller/observe"
)

// Diagnoses are the decision trees as they were walked ("composure.diagnose/v1").
type Diagnoses struct {
	Schema    string               `json:"schema"`
	Stack     string               `json:"stack"`
	Diagnoses []diagnose.Diagnosis `json:"diagnoses"`
	Gaps      []Gap                `json:"gaps"`
}

// Gap is a fact that could not be read.
type Gap struct {
	Subject string `json:"subject"`
	Service string `json:"service,omitempty"`
	Error   string `json:"error"`
}

// Walked is a decision tree, and when it was walked.
type Walked struct {
	At time.Time `json:"at"`
	diagnose.Diagnosis
}

// DiagnosesOf shows decision trees, and what could not be read for them.
func DiagnosesOf(stack string, found []diagnose.Diagnosis, gaps []observe.Gap) Diagnoses {
	d := Diagnoses{Schema: "composure.diagnose/v1", Stack: stack, Diagnoses: append([]diagnose.Diagnosis{}, found...), Gaps: []Gap{}}
	for _, g := range gaps {
		d.Gaps = append(d.Gaps, Gap{line(g.Subject), g.Service, line(g.Err)})
	}
	return d
}
