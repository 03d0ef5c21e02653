package diagnose

import "slices"

// Cause is one row of the table of causes: what `composure explain` prints and what the tree ends in.
type Cause struct {
	Code          string
	Title         string
	Text          string // what it means, in two or three sentences
	Severity      string
	Symptoms      []string
	Investigation []string // commands and views for a person; SERVICE and CONTAINER stand for the names
	Remedies      []string // names in plan's table, in the order they are tried; a rung of the ladder that is not among them cannot help
	Prevention    []string // what keeps it from coming back
	Runbook       string   // the step or table of the runbook it comes from
	HandsOff      bool     // people decide: an action cannot help, or could destroy data or evidence

	match     func(*patient) []string // the facts that prove it; none: it is something else. nil: a cause of the whole stack
	wait      func(*patient) string   // why to leave it alone for now
	unless    func(*patient) bool     // what speaks against a signature of it
	early     bool                    // the snapshot alone can prove it
	strict    bool                    // a signature and a failure together are not enough
	own       bool                    // of the service itself, whatever it needs: a broken dependency does not hide it
	advisory  bool                    // the service still works: nothing that others can suffer from
	elsewhere bool                    // to be healed or treated at the database
}

// Causes returns the table in the order of its priority: the first that fits is the finding. It is a copy.
func Causes() []Cause { return slices.Clone(causes) }

// Explain returns the cause of a code.
func Explain(code string) (Cause, bool) {
	for _, c := range causes {
		if c.Code == code {
			return c, true
		}
	}
	return Cause{}, false
}

// MoreParticular says whether a cause comes before another in the table.
func MoreParticular(code, other string) bool {
	place := func(code string) int {
		return slices.IndexFunc(causes, func(c Cause) bool { return c.Code == code })
	}
	return place(code) < place(other)
}

// bySignature is the match of a cause that only a log line names, beside a failure that the engine or a probe shows.
func bySignature(*patient) []string { return nil }
