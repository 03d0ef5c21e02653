// Package lint holds the runbook's prevention measures as rules on a compose file: what will hurt one night, at which
// line it stands, and what to write instead. It is pure and asks no engine.
package lint

import (
	"cmp"
	"fmt"
	"slices"

	"composure/controller/plan"
	"composure/spec"
)

// Severity says how much a finding matters.
type Severity string

// Severities, the worst first.
const (
	Error   Severity = "error"   // it cannot work, or it loses data or the host
	Warning Severity = "warning" // it makes an outage likely, or long
	Notice  Severity = "notice"  // it is worth a thought
)

// Severities returns all of them, the worst first.
func Severities() []Severity { return []Severity{Error, Warning, Notice} }

// Finding is one rule that one place of the file does not keep.
type Finding struct {
	Rule     string
	Severity Severity
	Service  string
	Pos      spec.Position // of the key, or of the nearest one that encloses where it should stand
	Text     string        // what is wrong, one line, without values of the file that may be secret
	Fix      string        // what to do
}

// Rule is one prevention measure.
type Rule struct {
	Code     string // what --ignore names
	Severity Severity
	Text     string // what the rule asks for
	Fix      string
	check    func(*subject) []breach
}

// breach is one place that does not keep a rule: what is wrong, and the path of the key below the service.
type breach struct {
	text string
	path []string
}

// subject is a service as the rules look at it.
type subject struct {
	stack    *spec.Stack
	svc      *spec.Service
	want     spec.Container // of its first replica
	job      bool           // it ends by itself, and another service waits for that
	database bool
}

// Check holds every service to every rule. Services that the policy says to ignore are left out, and so are the rules
// that skip names. Findings are in the order of the file, the worst first where they stand at one line. An error is
// about the file.
func Check(stack *spec.Stack, skip map[string]bool) ([]Finding, error) {
	var found []Finding
	for _, svc := range stack.Services {
		if svc.Policy.Mode == "ignore" {
			continue
		}
		want, err := stack.Container(svc, 1, spec.Facts{})
		if err != nil {
			return nil, err
		}
		s := &subject{stack: stack, svc: svc, want: want, job: svc.OneShot(), database: plan.IsDatabase(svc.Image)}
		for _, r := range rules {
			if skip[r.Code] {
				continue
			}
			for _, b := range r.check(s) {
				found = append(found, Finding{r.Code, r.Severity, svc.Name, svc.Pos(b.path...), b.text, r.Fix})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(rank(a.Severity), rank(b.Severity)))
	})
	return found, nil
}

// AtLeast says whether a severity is as bad as a level.
func (s Severity) AtLeast(level Severity) bool { return rank(s) <= rank(level) }

func rank(s Severity) int { return slices.Index(Severities(), s) }

// Rules returns the rules, in the order of the table.
func Rules() []Rule { return slices.Clone(rules) }

// at is one breach.
func at(text string, path ...string) []breach { return []breach{{text, path}} }

func atf(path []string, format string, args ...any) []breach {
	return at(fmt.Sprintf(format, args...), path...)
}
