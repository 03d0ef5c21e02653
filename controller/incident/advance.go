package incident

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"composure/controller/diagnose"
	"composure/controller/plan"
	"composure/spec"
)

// Observation is what a pass found and what was done since. Maps by service; an entry that is absent is not known.
type Observation struct {
	Now       time.Time
	Stack     string
	Policy    spec.Escalation // a time of zero switches its rule off
	Diagnoses []diagnose.Diagnosis
	Began     map[string]time.Time // since when a service is not well; absent: detected is the best that is known
	Well      map[string]time.Time // services that run well now, and since when
	// StableAfter has every service of the stack: an incident of one that is not in it is closed, unless it is empty.
	StableAfter map[string]time.Duration
	Attempts    []plan.Attempt       // ended attempts; those that an incident knows already are passed over
	Exhausted   map[string]string    // services left to people, and why
	Budget      map[string]int       // attempts of a replica before people are called; absent: 3
	Raised      map[string]time.Time // when the memory limit was last raised
	Window      map[string]string    // services in their maintenance window, and until when
	Outage      time.Time            // since when no service that is meant to run does; zero: one does, or nobody knows
	EngineDown  time.Time            // since when the engine does not answer; zero: it does
	EngineError string               // why
	DataChecks  map[string]string    // what the integrity checks say: DataVerified, DataCompromised, DataUnchecked
	Endpoints   map[string][]string  // endpoints that do not answer while the service is not well
}

// Advance returns what becomes of the incidents after a pass. open are those that are not resolved, recent those
// resolved within the policy's time of recurrence. It changes none of its arguments, and asked again with its own answer
// and the same observation it changes nothing: a pass whose record was cut short is simply recorded again.
func Advance(open, recent []Incident, o Observation) Change {
	a := begin(open, recent, o)
	a.stackWide()
	a.diagnosed()
	a.explained()
	a.attempted()
	a.affected()
	a.recovered()
	a.escalate()
	return a.change()
}

// advance is one Advance at work.
type advance struct {
	Observation
	before    map[string]Incident
	recent    []Incident
	live      []*Incident // not resolved before this pass, by detection
	diagnoses map[string]*diagnose.Diagnosis
	announced []Announcement
}

func begin(open, recent []Incident, o Observation) *advance {
	o.Now = o.Now.UTC().Truncate(time.Microsecond) // as the store keeps it
	a := &advance{Observation: o, before: map[string]Incident{}, recent: recent, diagnoses: map[string]*diagnose.Diagnosis{}}
	for _, i := range open {
		if i.State == Resolved {
			continue
		}
		a.before[i.ID] = i
		own := i.clone()
		own.settle(o.Now)
		a.live = append(a.live, &own)
	}
	slices.SortFunc(a.live, func(x, y *Incident) int {
		return cmp.Or(x.Detected.Compare(y.Detected), cmp.Compare(x.ID, y.ID))
	})
	for i := range o.Diagnoses {
		d := &o.Diagnoses[i]
		advice := d.Reason == "" && d.Finding != nil && d.Finding.Severity == "low"
		if (d.Finding != nil && !advice) || d.MaskedBy != "" {
			a.diagnoses[d.Service] = d
		}
	}
	return a
}

// of returns the open incident of a service, "" for the stack's, or nil.
func (a *advance) of(service string) *Incident {
	for _, i := range a.live {
		if i.Service == service && i.State != Resolved {
			return i
		}
	}
	return nil
}

// services are those with a diagnosis, by name, without the stack itself.
func (a *advance) services() []string {
	var names []string
	for name := range a.diagnoses {
		if name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// diagnosed opens, re-diagnoses or reopens the incident of every service with a cause of its own. What is waited for, such
// as a start that makes progress, is no incident, and tells nothing new about one.
func (a *advance) diagnosed() {
	for _, service := range a.services() {
		f := a.diagnoses[service].Finding
		if f == nil || f.Wait != "" {
			continue
		}
		i := a.of(service)
		switch {
		case a.covered(service):
			a.cover(i, service)
		case i != nil:
			a.rediagnose(i, a.diagnoses[service])
		default:
			a.open(service, a.diagnoses[service])
		}
	}
}

// explained adds the services whose symptoms another one explains to the incident of that one.
func (a *advance) explained() {
	for _, service := range a.services() {
		d := a.diagnoses[service]
		source := a.of(d.MaskedBy)
		if d.MaskedBy == "" || source == nil {
			continue
		}
		source.Impact.Services = include(source.Impact.Services, service)
		if own := a.of(service); own != nil && own != source {
			own.explain(a.Now, source)
		}
	}
}

// attempted tells the incidents what was tried.
func (a *advance) attempted() {
	for _, t := range a.Attempts {
		i := a.of(t.Service)
		ended := t.Outcome != "" && t.Outcome != plan.Stale
		if i != nil && t.Service != "" && ended && !t.At.Before(i.Began) && !i.knows(t) {
			i.try(t)
		}
	}
	for _, i := range a.live {
		if a.Exhausted[i.Service] != "" && i.ill() {
			i.inVain(func(Action) bool { return true })
		}
	}
}

// affected adds what is known about the impact.
func (a *advance) affected() {
	for _, i := range a.live {
		for _, service := range append([]string{i.Service}, i.Impact.Services...) {
			if !i.ill() || a.diagnoses[service] == nil {
				continue
			}
			for _, endpoint := range a.Endpoints[service] {
				i.Impact.Endpoints = include(i.Impact.Endpoints, clean(endpoint))
			}
		}
		if data := a.DataChecks[i.Service]; data != "" && data != i.Impact.Data {
			i.Impact.Data = data
			i.note(a.Now, "note", "data integrity: "+data)
		}
	}
}

// recovered mitigates what is well again and resolves what has stayed so for its stable time.
func (a *advance) recovered() {
	for _, i := range a.live {
		if a.gone(i.Service) {
			i.resolve(a.Now, "the service is no longer part of the stack")
			continue
		}
		since, well := a.well(i)
		if !well {
			continue
		}
		if i.ill() {
			i.mitigate(a.Now, since)
		}
		if a.DataChecks[i.Service] == DataCompromised { // people decide, also when all else is well
			continue
		}
		stable := i.MitigatedAt
		if since.After(stable) {
			stable = since
		}
		if after := a.stableAfter(i.Service); !a.Now.Before(stable.Add(after)) {
			i.resolve(a.Now, "stable for "+short(after))
		}
	}
}

// well says whether what an incident is about runs well now, and since when.
func (a *advance) well(i *Incident) (time.Time, bool) {
	if i.Service == "" {
		return i.Returned, !i.Returned.IsZero() && !a.settling(i)
	}
	since, ok := a.Well[i.Service]
	if d := a.diagnoses[i.Service]; d != nil || !a.EngineDown.IsZero() || since.After(a.Now) {
		return time.Time{}, false
	}
	return since.UTC(), ok
}

// gone says whether a service was taken out of the stack.
func (a *advance) gone(service string) bool {
	_, there := a.StableAfter[service]
	return service != "" && len(a.StableAfter) > 0 && !there
}

// defaultStable is how long what has no policy of its own is watched.
const defaultStable = 10 * time.Minute

// stableAfter is how long a service runs well before its incident is over; the stack as a whole, as long as the service of it
// that takes longest.
func (a *advance) stableAfter(service string) time.Duration {
	if after, ok := a.StableAfter[service]; ok {
		return after
	}
	if service == "" && len(a.StableAfter) > 0 {
		return slices.Max(slices.Collect(maps.Values(a.StableAfter)))
	}
	return defaultStable
}

// change is what differs from before.
func (a *advance) change() Change {
	c := Change{Announce: a.announced}
	bodies := map[string]Incident{}
	for _, i := range a.live {
		bodies[i.ID] = *i
		if before, known := a.before[i.ID]; !known || !reflect.DeepEqual(before, *i) {
			c.Changed = append(c.Changed, *i)
		}
	}
	for n := range c.Announce {
		c.Announce[n].Body = bodies[c.Announce[n].Incident].clone()
	}
	slices.SortFunc(c.Changed, func(x, y Incident) int { return cmp.Compare(x.ID, y.ID) })
	slices.SortStableFunc(c.Announce, func(x, y Announcement) int { return cmp.Compare(x.Incident, y.Incident) })
	return c
}

// number is a fresh id for an incident found now: by its time, so that ids sort, and no counter needs to be kept.
func (a *advance) number() string {
	taken := map[string]bool{}
	for _, i := range a.live {
		taken[i.ID] = true
	}
	for _, i := range a.recent {
		taken[i.ID] = true
	}
	base := fmt.Sprintf("%s-%s", a.Stack, a.Now.Format("20060102-150405"))
	id := base
	for n := 2; taken[id]; n++ {
		id = fmt.Sprintf("%s-%d", base, n)
	}
	return id
}
