package incident

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"composure/controller/diagnose"
	"composure/controller/plan"
)

// TestProperties runs days of random passes, with restarts in which a pass is recorded twice, and holds every step to
// what people rely on.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, all: map[string]Incident{}, told: map[string]bool{}, well: map[string]time.Time{}}
		now := start
		for range rapid.IntRange(1, 60).Draw(t, "passes") {
			now = now.Add(rapid.SampledFrom([]time.Duration{time.Second, 20 * time.Second, 3 * time.Minute, 10 * time.Minute, 5 * time.Hour}).Draw(t, "later"))
			w.pass(now)
		}
	})
}

// world is the memory of a run.
type world struct {
	t    *rapid.T
	all  map[string]Incident
	told map[string]bool // keys of announcements
	well map[string]time.Time
}

var subjects = []string{"api", "db", "web"}

func (w *world) pass(now time.Time) {
	o := w.observation(now)
	open, recent := w.split(now)
	c := Advance(open, recent, o)
	if again := Advance(reload(w.t, open), recent, o); !reflect.DeepEqual(c, again) {
		w.t.Fatalf("not deterministic: %s", cmp.Diff(c, again))
	}
	w.check(now, c, o)
	fresh := map[string]bool{}
	for _, a := range c.Announce {
		fresh[a.Key] = true
	}
	for _, i := range reload(w.t, c.Changed) {
		w.all[i.ID] = i
	}
	w.again(fresh)
	if rapid.IntRange(0, 9).Draw(w.t, "person") == 0 {
		w.person(now)
	}
}

func (w *world) observation(now time.Time) Observation {
	o := Observation{
		Now: now, Stack: "shop", Policy: policy, Well: map[string]time.Time{}, StableAfter: map[string]time.Duration{}, Exhausted: map[string]string{},
	}
	if rapid.IntRange(0, 9).Draw(w.t, "engine") == 0 {
		o.EngineDown, w.well = now.Add(-time.Second), map[string]time.Time{}
	}
	down := 0
	for _, service := range subjects {
		o.StableAfter[service] = 10 * time.Minute
		switch state := rapid.IntRange(0, 5).Draw(w.t, service); {
		case !o.EngineDown.IsZero():
		case state < 2:
			delete(w.well, service)
			down++
			cause := rapid.SampledFrom([]string{"crash_loop", "application_deadlock", "data_loss", "memory_exhaustion"}).Draw(w.t, "cause")
			o.Diagnoses = append(o.Diagnoses, diagnosis(service, cause))
		case state == 2 && service != "db":
			delete(w.well, service)
			down++
			o.Diagnoses = append(o.Diagnoses, diagnose.Diagnosis{Service: service, Reason: "exited", MaskedBy: "db"})
		default:
			if w.well[service].IsZero() {
				w.well[service] = now
			}
			o.Well[service] = w.well[service]
		}
		if rapid.Bool().Draw(w.t, "tried") {
			o.Attempts = append(o.Attempts, plan.Attempt{Key: "service/" + service + "/1", Service: service, Kind: "graceful", Outcome: plan.Done, Counts: true, At: now})
		}
	}
	if down == len(subjects) {
		o.Outage = now.Add(-2 * time.Hour)
	}
	return o
}

func (w *world) split(now time.Time) (open, recent []Incident) {
	for _, i := range w.all {
		if i.State != Resolved {
			open = append(open, i)
		} else if now.Sub(i.ResolvedAt) <= policy.Recurrence {
			recent = append(recent, i)
		}
	}
	return open, recent
}

// check holds a change to the promises of the package.
func (w *world) check(now time.Time, c Change, o Observation) {
	services := map[string]string{}
	for id, i := range w.all {
		for _, changed := range c.Changed {
			if changed.ID == id {
				i = changed
			}
		}
		w.unique(services, i)
	}
	for _, i := range c.Changed {
		before, known := w.all[i.ID]
		if !known {
			w.unique(services, i)
		} else if before.State == Resolved {
			w.t.Fatalf("%s was resolved and changed", i.ID)
		}
		if i.State == Resolved && i.Service != "" && now.Sub(o.Well[i.Service]) < o.StableAfter[i.Service] {
			w.t.Fatalf("%s resolved after %s", i.ID, now.Sub(o.Well[i.Service]))
		}
		if i.State == Resolved && (i.MitigatedAt.IsZero() || i.ResolvedAt.Before(i.MitigatedAt)) {
			w.t.Fatalf("%s resolved before it was mitigated", i.ID)
		}
		for n, e := range i.Timeline {
			if n > 0 && e.At.Before(i.Timeline[n-1].At) {
				w.t.Fatalf("%s: the timeline goes back at %d", i.ID, n)
			}
		}
	}
	w.once(c.Announce)
}

func (w *world) unique(services map[string]string, i Incident) {
	if i.State == Resolved {
		return
	}
	if other := services[i.Service]; other != "" && other != i.ID {
		w.t.Fatalf("two open incidents of %q: %s and %s", i.Service, other, i.ID)
	}
	services[i.Service] = i.ID
}

func (w *world) once(announced []Announcement) {
	for _, a := range announced {
		if w.told[a.Key] && a.Kind != "acknowledged" {
			w.t.Fatalf("announced twice: %s", a.Key)
		}
		w.told[a.Key] = true
		if a.Kind == "resolved" && !w.told[fmt.Sprintf("%s/%s/escalated", a.Incident, a.Tier)] {
			w.t.Fatalf("good news for who was never called: %s", a.Key)
		}
	}
}

// again holds what a process that starts would announce again to what was announced: the last of each kind, nothing else.
func (w *world) again(before map[string]bool) {
	for _, i := range w.all {
		for _, a := range Announcements(i) {
			if !w.told[a.Key] {
				w.t.Fatalf("was never announced: %s", a.Key)
			}
			delete(before, a.Key)
		}
	}
	for key := range before {
		w.t.Fatalf("would be lost: %s", key)
	}
}

func (w *world) person(now time.Time) {
	open, _ := w.split(now)
	for _, i := range open {
		verb := rapid.SampledFrom([]func(Incident, string, time.Time) Change{Ack, Confirm}).Draw(w.t, "verb")
		c := verb(i, "ops", now)
		w.once(c.Announce)
		for _, changed := range reload(w.t, c.Changed) {
			w.all[changed.ID] = changed
		}
	}
}

// reload is what a store gives back.
func reload(t *rapid.T, all []Incident) []Incident {
	var loaded []Incident
	document, err := json.Marshal(all)
	if err == nil {
		err = json.Unmarshal(document, &loaded)
	}
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// TestNothingUnsafeIsKept: what comes from containers is kept as single lines without secrets and control characters.
func TestNothingUnsafeIsKept(t *testing.T) {
	const bad = "crash\x1b[31m\npassword=hunter2-canary https://u:hunter2-canary@db\u202e"
	d := diagnosis("api", "crash_loop")
	d.Reason, d.Finding.Summary, d.Finding.Proof = bad, bad, []string{bad}
	d.Steps[0].Seen, d.Steps[0].Checked = bad, bad
	o := Observation{
		Now: start, Stack: "shop", Policy: policy, Diagnoses: []diagnose.Diagnosis{d}, Endpoints: map[string][]string{"api": {bad}},
		Exhausted: map[string]string{"api": bad}, EngineError: bad,
		Attempts: []plan.Attempt{{Key: "service/api/1", Service: "api", Kind: "hard", Cause: bad, Reason: bad, Outcome: plan.Failure, At: start, Counts: true}},
	}
	c := Advance(nil, nil, o)
	o.EngineDown, o.Now = start, start.Add(time.Minute)
	engine := Advance(c.Changed, nil, o)
	c = Change{Changed: append(c.Changed, engine.Changed...), Announce: append(c.Announce, engine.Announce...)}
	by := Ack(c.Changed[0], bad, start)
	document, err := json.Marshal([]Change{c, by, Confirm(c.Changed[0], bad, start), Resolve(c.Changed[0], bad, start)})
	if err != nil {
		t.Fatal(err)
	}
	var texts any
	if err := json.Unmarshal(document, &texts); err != nil {
		t.Fatal(err)
	}
	noUnsafe(t, fmt.Sprintf("%q", texts))
}
