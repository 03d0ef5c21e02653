package incident

import (
	"fmt"
	"time"

	"composure/controller/diagnose"
)

// settle is how long after the engine came back, or a mass failure ended, services that are not well yet belong to that
// one incident: the engine leaves containers down after a crash, and they are started again first.
const settle = 2 * time.Minute

// unexplained is the cause of what no cause explains.
const unexplained = "unknown"

// stackWide keeps the incident of the stack as a whole: an engine that does not answer, a failure of most services at
// once. While it lasts there is no incident of each service.
func (a *advance) stackWide() {
	i, d := a.of(""), a.stackDiagnosis()
	switch {
	case d != nil && i == nil:
		i = a.open("", d)
	case d != nil:
		i.Returned = time.Time{}
		a.rediagnose(i, d)
	case i != nil && i.Returned.IsZero() && (i.Cause != unexplained || a.Outage.IsZero()):
		i.Returned = a.Now
		i.note(a.Now, "note", "it is over; services that are not well within "+short(settle)+" of it belong to it")
	}
	if a.EngineDown.IsZero() {
		return
	}
	for _, own := range a.live {
		if own != i && own.ill() {
			own.explain(a.Now, i)
		}
	}
}

// stackDiagnosis is what is wrong with the stack as a whole, or nil.
func (a *advance) stackDiagnosis() *diagnose.Diagnosis {
	if d := a.diagnoses[""]; d != nil && d.Finding != nil {
		return d
	}
	if a.EngineDown.IsZero() {
		return nil
	}
	proof := "the engine does not answer"
	if a.EngineError != "" {
		proof += ": " + a.EngineError
	}
	return &diagnose.Diagnosis{Reason: proof, Finding: &diagnose.Finding{
		Cause: "engine_unreachable", Severity: "critical", Summary: proof, Proof: []string{proof},
	}}
}

// covered says whether the incident of the stack explains a service that is not well. A cause that endangers data
// always stands on its own.
func (a *advance) covered(service string) bool {
	i := a.of("")
	if i == nil || i.Cause == unexplained || grave(a.diagnoses[service].Finding.Cause) {
		return false
	}
	return i.Returned.IsZero() || a.Now.Before(i.Returned.Add(settle))
}

// cover adds a service to the incident of the stack.
func (a *advance) cover(own *Incident, service string) {
	i := a.of("")
	i.Impact.Services = include(i.Impact.Services, service)
	if own != nil {
		own.explain(a.Now, i)
	}
}

// settling says whether services of a stack's incident that is over are still waited for.
func (a *advance) settling(i *Incident) bool {
	if !a.Now.Before(i.Returned.Add(settle)) {
		return false
	}
	for _, service := range i.Impact.Services {
		if a.diagnoses[service] != nil {
			return true
		}
	}
	return false
}

// grave says whether a cause endangers data or points to an attack.
func grave(cause string) bool {
	return cause == "data_loss" || cause == "data_corruption_suspected" || cause == "unusual_errors"
}

// outage returns the incident that stands for a complete outage of longer than the policy allows, with the reason: the
// oldest open one, so that people are called once for it. An outage that nothing explains gets an incident of its own.
func (a *advance) outage() (*Incident, string) {
	if a.Outage.IsZero() || a.Policy.Outage <= 0 || a.Now.Before(a.Outage.Add(a.Policy.Outage)) {
		return nil, ""
	}
	why := fmt.Sprintf("complete outage: no service has run since %s", clock(a.Outage))
	var oldest *Incident
	for _, i := range a.live {
		if !i.ill() {
			continue
		}
		if at, told := i.Escalated[Emergency]; told && !at.Before(a.Outage) {
			return nil, ""
		}
		if oldest == nil || (oldest.ExplainedBy != "" && i.ExplainedBy == "") {
			oldest = i
		}
	}
	if oldest == nil {
		oldest = a.unexplainedOutage(why)
	}
	return oldest, why
}

// unexplainedOutage is the stack's incident, opened or taken up again for an outage that no other one explains.
func (a *advance) unexplainedOutage(why string) *Incident {
	d := &diagnose.Diagnosis{Reason: why, Finding: &diagnose.Finding{
		Cause: unexplained, Severity: "critical", Summary: why, Proof: []string{why},
	}}
	i := a.of("")
	if i == nil {
		return a.open("", d)
	}
	i.Returned = time.Time{}
	a.rediagnose(i, d)
	return i
}
