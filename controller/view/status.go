package view

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"composure/controller/observe"
	"composure/controller/plan"
	"composure/spec"
)

// Status is how a stack is ("composure.status/v1").
type Status struct {
	Schema    string     `json:"schema"`
	Stack     string     `json:"stack"`
	At        time.Time  `json:"at"`
	Holder    string     `json:"holder,omitempty"`      // who has the lease; empty: nobody
	Next      *time.Time `json:"next,omitempty"`        // when the remediator looks at everything again at the latest
	Down      *time.Time `json:"engine_down,omitempty"` // since when the engine does not answer: everything below is as it was then
	Reason    string     `json:"engine_error,omitempty"`
	Services  []Service  `json:"services"`
	Decisions []Decision `json:"decisions"` // in force
	Notes     []string   `json:"notes"`
	Gaps      []string   `json:"gaps"`
}

// Service is how a service is.
type Service struct {
	Service     string   `json:"service"`
	State       string   `json:"state"` // of the container that is worst off; missing when one does not exist
	Running     int      `json:"running"`
	Replicas    int      `json:"replicas"`
	Health      string   `json:"health"`
	Restarts    int      `json:"restarts"` // by the engine
	Drift       int      `json:"drift"`    // fields
	Verdict     string   `json:"verdict"`
	Reason      string   `json:"reason,omitempty"`
	Beats       []string `json:"beats"`        // verdict of each minute of the last hour, the worst of it, oldest first; empty: unknown
	Memory      int64    `json:"memory"`       // bytes, of all containers
	MemoryLimit int64    `json:"memory_limit"` // bytes, of all containers; 0: none
	Probes      []Probe  `json:"probes"`
	Budget      int      `json:"budget"` // attempts
	BudgetLeft  int      `json:"budget_left"`
	Incident    string   `json:"incident,omitempty"`
	Cause       string   `json:"cause,omitempty"`
	Next        []string `json:"next"` // what would be done now
	Held        []Held   `json:"held"`
}

// Held is what is decided against, and why.
type Held struct {
	Subject string     `json:"subject"`
	Reason  string     `json:"reason"`
	Until   *time.Time `json:"until,omitempty"` // when it is looked at again; nil: with the next event
}

// StatusOf puts together how a stack is.
func StatusOf(in Input) Status {
	now := Status{
		Schema: "composure.status/v1", Stack: in.Stack.Name, At: in.Snapshot.At.UTC(), Holder: in.Memory.Holder,
		Next: When(in.Next), Down: When(in.Down), Reason: line(in.Reason),
		Services: []Service{}, Decisions: []Decision{}, Notes: []string{}, Gaps: []string{},
	}
	for _, svc := range in.Stack.Services {
		now.Services = append(now.Services, serviceOf(in, svc))
	}
	for _, o := range in.Memory.Overrides {
		if o.Kind != Handover {
			now.Decisions = append(now.Decisions, DecisionOf(o))
		}
	}
	for _, g := range in.Snapshot.Gaps {
		now.Gaps = append(now.Gaps, line(g.Subject+": "+g.Err))
	}
	for _, n := range in.Plan.Notes {
		now.Notes = append(now.Notes, line(n))
	}
	if i, open := in.Memory.Open[""]; open {
		now.Notes = append(now.Notes, "incident "+i.ID+" of the whole stack: "+i.Cause)
	}
	return now
}

func serviceOf(in Input, svc *spec.Service) Service {
	one := engineSays(in, svc)
	one.Beats = beats(in.Memory.Samples[svc.Name], one.Verdict, in.Snapshot.At)
	for _, d := range in.Drift.Drifts {
		if d.Service == svc.Name && d.Override == nil {
			one.Drift++
		}
	}
	one.Probes = probesOf(in.Memory.Samples[svc.Name], in.Snapshot.At)
	for _, r := range in.Probes {
		if r.Service == svc.Name {
			one.Probes = standing(one.Probes, r)
		}
	}
	one.Budget = svc.Policy.Remediation.Attempts
	one.BudgetLeft = max(one.Budget-spent(in.Memory.Attempts, svc.Name), 0)
	if i, open := in.Memory.Open[svc.Name]; open {
		one.Incident, one.Cause = i.ID, i.Cause
	}
	one.Next, one.Held = ahead(in.Plan, svc.Name)
	return one
}

// engineSays is what the engine and the probes say of a service, by the container that is worst off. What is diagnosed
// though it runs, such as memory near its limit, is not yet a failure.
func engineSays(in Input, svc *spec.Service) Service {
	one := Service{Service: svc.Name, Replicas: svc.Replicas, State: "missing", Health: "none", Verdict: string(plan.Recovered)}
	worst := -1
	for _, slot := range observe.Slots(svc, in.Snapshot) {
		c := slot.Container
		if c == nil && unread(in.Snapshot, svc.Name) {
			one.State, one.Health, one.Verdict, one.Reason, worst = "unknown", "unknown", string(plan.Pending), "could not be read", 1
			continue
		}
		if c == nil {
			one.State, one.Health, one.Verdict, one.Reason, worst = "missing", "none", string(plan.Failed), "does not exist", 3
			continue
		}
		if c.Running() {
			one.Running++
		}
		one.Restarts += c.Inspect.RestartCount
		one.Memory += in.Figures[c.ID].MemoryUsage
		one.MemoryLimit += in.Figures[c.ID].MemoryLimit
		judged := in.Judged[c.ID]
		if bad := slices.Index([]plan.Verdict{plan.Recovered, plan.Pending, plan.Failed}, judged.Verdict); bad > worst {
			worst = bad
			one.State, one.Health, one.Verdict, one.Reason = c.Status(), c.Health(), string(judged.Verdict), line(judged.Reason)
		}
	}
	why, ill := in.Ill[svc.Name]
	if !ill || one.Verdict == string(plan.Failed) {
		return one
	}
	one.Verdict, one.Reason = string(plan.Pending), line(why)
	for _, r := range in.Probes {
		if r.Service == svc.Name && r.State == observe.ProbeFailing {
			one.Verdict = string(plan.Failed)
		}
	}
	return one
}

// unread says whether a container of a service is there and could not be read.
func unread(s *observe.Snapshot, service string) bool {
	return slices.ContainsFunc(s.Gaps, func(g observe.Gap) bool { return g.Service == service })
}

// spent is how many attempts of the budget are used: the most of any of the service's containers.
func spent(attempts []plan.Attempt, service string) int {
	used := map[string]int{}
	most := 0
	for _, t := range attempts {
		if t.Service == service && t.Counts && t.Outcome != plan.Stale {
			used[t.Key]++
			most = max(most, used[t.Key])
		}
	}
	return most
}

// ahead is what would be done to a service now, and what is held.
func ahead(next plan.Plan, service string) (jobs []string, waits []Held) {
	jobs, waits = []string{}, []Held{}
	for _, j := range next.Jobs {
		if j.Service == service {
			jobs = append(jobs, fmt.Sprintf("%s: %s, %s", j.Title(), verb(j.Kind), line(j.Cause)))
		}
	}
	for _, h := range next.Held {
		if h.Service == service || (h.Service == "" && strings.HasPrefix(h.Key, "stack/")) {
			waits = append(waits, Held{h.Title(), line(h.Reason), When(h.Until)})
		}
	}
	return jobs, waits
}

// verb is the part of an operation that people read.
func verb(operation string) string {
	word, _, _ := strings.Cut(operation, ":")
	return word
}
