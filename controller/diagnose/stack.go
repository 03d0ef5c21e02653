package diagnose

import (
	"fmt"
	"time"
)

// together is how close the beginnings of failures lie that count as one event.
const together = 2 * time.Minute

// fewest is the least number of services that a mass failure has.
const fewest = 3

// MassFailure returns one finding in place of many when more than half of the services, and at least three, stopped
// being well together, and neither a dependency nor a cause of their own explains it: the host or the engine is to
// blame, and one escalation is better than as many restarts. It is nil otherwise. Services that were merely stopped do
// not count: an engine that was restarted leaves them so, and starting them is right.
func MassFailure(in Input, found []Diagnosis) *Finding {
	names, _ := fallen(in, found)
	services := watched(in)
	if !mostOf(len(names), services) {
		return nil
	}
	c, _ := Explain("mass_failure")
	f := &Finding{Cause: c.Code, Severity: c.Severity, Summary: fmt.Sprintf("%s: %d of %d services", c.Title, len(names), services)}
	for _, name := range names {
		f.Proof = append(f.Proof, fmt.Sprintf("%s: %s", name, quoted(in.Ill[name])))
	}
	return f
}

// MassFailureLooms says whether what is still to be looked at may turn out to be a mass failure: until that is known no service is
// treated as if it had failed alone.
func MassFailureLooms(in Input, found []Diagnosis) bool {
	names, undecided := fallen(in, found)
	return undecided > 0 && mostOf(len(names)+undecided, watched(in))
}

// fallen are the services that stopped being well together for a cause that could as well be the host's, and how many more did of
// which the cause is not known yet.
func fallen(in Input, found []Diagnosis) (names []string, undecided int) {
	for _, d := range found {
		switch {
		case in.Now.Sub(since(in, d.Service)) > together:
		case d.Finding != nil && general(d.Finding.Cause):
			names = append(names, d.Service)
		case d.Finding == nil && d.MaskedBy == "" && len(d.Needs) > 0:
			undecided++
		}
	}
	return names, undecided
}

// watched is how many services there are to fail.
func watched(in Input) (services int) {
	for _, svc := range in.Stack.Services {
		if svc.Replicas > 0 && svc.Policy.Mode != "ignore" {
			services++
		}
	}
	return services
}

func mostOf(failed, services int) bool { return failed >= fewest && 2*failed > services }

// general says whether a cause could as well be the host's doing.
func general(code string) bool {
	switch code {
	case "application_deadlock", "startup_stuck", "crash_loop", "healthcheck_failing", "database_unavailable", "unknown":
		return true
	}
	return false
}

// since is when a service stopped being well; now when that is not recorded.
func since(in Input, service string) time.Time {
	if t := in.Began[service]; !t.IsZero() {
		return t
	}
	return in.Now
}
