// Package view is how a stack is shown: the types that the commands, the pages, the API and the metrics render, and how
// they follow from what a pass saw and what the store remembers. It is pure, and there is nothing beside it: what two
// surfaces say of a stack cannot differ.
//
// Texts are single lines without control characters, terminal escapes or invisible characters; secrets are masked where
// the texts come from.
package view

import (
	"time"

	"composure/controller/drift"
	"composure/controller/incident"
	"composure/controller/observe"
	"composure/controller/plan"
	"composure/controller/store"
	"composure/spec"
)

// Input is all that a Status depends on.
type Input struct {
	Stack    *spec.Stack // as the files say now
	Snapshot *observe.Snapshot
	Judged   map[string]plan.Judgement // by container id
	Drift    drift.Report              // of the files against what there is
	Plan     plan.Plan                 // what would be done to restore what was last applied
	Figures  map[string]observe.Stats  // by container id
	Probes   []observe.ProbeResult     // as they stand; nil: nobody probes
	Ill      map[string]string         // service → why it is diagnosed; nil: nobody does
	Memory   Memory

	Next   time.Time // when the remediator looks at everything again at the latest; zero: nobody does
	Down   time.Time // since when the engine does not answer, and Snapshot is the last one; zero: it does
	Reason string    // why not
}

// Memory is what the store remembers that a Status shows. The zero value is a store that was never written.
type Memory struct {
	Overrides []store.Override             // in force
	Attempts  []plan.Attempt               // since each service was last stable
	Open      map[string]incident.Incident // by service, "" for the stack: those that are not resolved
	Samples   map[string][]store.Sample    // by service, of the last Span
	Holder    string                       // who has the lease; empty: nobody
}

// Span is how far back verdicts and response times are summed up.
const Span = time.Hour

// line makes a text of somebody else's safe to show, on one line.
func line(text string) string { return drift.Line(text) }

// When is a time that may be unknown: nil for the zero time, else in UTC.
func When(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
