package view

import (
	"slices"
	"time"

	"composure/controller/diagnose"
	"composure/controller/drift"
	"composure/controller/incident"
	"composure/controller/observe"
	"composure/controller/store"
)

// Detail is all that is known of one service ("composure.service/v1").
type Detail struct {
	Schema     string        `json:"schema"`
	Stack      string        `json:"stack"`
	At         time.Time     `json:"at"`
	Service    Service       `json:"service"`
	Containers []Container   `json:"containers"`
	Tree       Walked        `json:"tree"`               // as it is answered now
	Ill        *Walked       `json:"last_ill,omitempty"` // as it was last walked for a reason, when it is well now
	Drift      []drift.Entry `json:"drift"`              // against the file
	Plots      []Plot        `json:"plots"`              // memory, then each probe
	Incidents  []Short       `json:"incidents"`          // newest first
}

// Container is one container of a service.
type Container struct {
	Name     string     `json:"name"`
	State    string     `json:"state"`
	Health   string     `json:"health"`
	Started  *time.Time `json:"started,omitempty"`
	Restarts int        `json:"restarts"` // by the engine
	Image    string     `json:"image"`
}

// Plot is a figure over the last Span, oldest first.
type Plot struct {
	Name   string  `json:"name"`            // memory, or a probe
	Unit   string  `json:"unit"`            // bytes, ms
	Limit  float64 `json:"limit,omitempty"` // of memory
	Points []Point `json:"points"`
}

// Point is one value, or a failure at that time.
type Point struct {
	At     time.Time `json:"at"`
	Value  float64   `json:"value"`
	Failed bool      `json:"failed,omitempty"`
}

// Short is an incident in a list.
type Short struct {
	ID       string     `json:"id"`
	Service  string     `json:"service,omitempty"`
	Cause    string     `json:"cause"`
	State    string     `json:"state"`
	Severity string     `json:"severity"`
	Summary  string     `json:"summary"`
	Detected time.Time  `json:"detected"`
	Ended    *time.Time `json:"ended,omitempty"`
	Seconds  float64    `json:"seconds"` // users were without the service, so far
}

// Trees are the decision trees of a service: as it is answered now, and when it was last walked for a reason.
type Trees struct {
	Now  Walked
	Last *Walked
}

// DetailOf puts together what is known of one service of a status. Paths below root are shown relative to it.
func DetailOf(in Input, service Service, trees Trees, all []incident.Incident, root string) Detail {
	d := Detail{
		Schema: "composure.service/v1", Stack: in.Stack.Name, At: in.Snapshot.At.UTC(), Service: service, Tree: trees.Now, Ill: trees.Last,
		Containers: []Container{}, Drift: []drift.Entry{}, Plots: plotsOf(in.Memory.Samples[service.Service], service.MemoryLimit), Incidents: []Short{},
	}
	for _, c := range in.Snapshot.Of(service.Service) {
		d.Containers = append(d.Containers, containerOf(c))
	}
	for _, e := range drift.DocumentOf(in.Drift, drift.RenderOptions{Root: root}).Drifts {
		if e.Service == service.Service {
			d.Drift = append(d.Drift, e)
		}
	}
	for _, i := range all {
		if i.Service == service.Service && len(d.Incidents) < maxShort {
			d.Incidents = append(d.Incidents, ShortOf(i, in.Snapshot.At))
		}
	}
	return d
}

// maxShort is how many incidents of a service are listed.
const maxShort = 10

func containerOf(c observe.Container) Container {
	return Container{
		Name: line(c.Name), State: c.Status(), Health: c.Health(), Started: When(c.StartedAt()), Restarts: c.Inspect.RestartCount, Image: line(c.Inspect.Config.Image),
	}
}

// ShortOf is an incident in a list.
func ShortOf(i incident.Incident, now time.Time) Short {
	return Short{
		ID: i.ID, Service: i.Service, Cause: i.Cause, State: string(i.State), Severity: i.Severity, Summary: line(i.Summary), Detected: i.Detected.UTC(),
		Ended: When(i.MitigatedAt), Seconds: Lasted(i, now).Seconds(),
	}
}

// WalkedAt is a tree with its time, its texts safe to show.
func WalkedAt(d diagnose.Diagnosis, at time.Time) Walked {
	d.Reason = line(d.Reason)
	d.Steps = slices.Clone(d.Steps)
	for i := range d.Steps {
		s := &d.Steps[i]
		s.Checked, s.Seen, s.Details = line(s.Checked), line(s.Seen), lines(s.Details)
	}
	if d.Finding != nil {
		f := *d.Finding
		f.Summary, f.Wait, f.Proof, f.Log = line(f.Summary), line(f.Wait), lines(f.Proof), lines(f.Log)
		d.Finding = &f
	}
	return Walked{At: at.UTC(), Diagnosis: d}
}

func lines(texts []string) []string {
	var all []string
	for _, t := range texts {
		all = append(all, line(t))
	}
	return all
}

// maxPoints is how many points a plot has at most; more are thinned out, but no failure is lost.
const maxPoints = 240

// plotsOf are memory and the probes of a service, over the last Span.
func plotsOf(samples []store.Sample, limit int64) []Plot {
	bySeries, names := map[string][]Point{}, []string{}
	for _, s := range samples {
		p := Point{At: s.At, Value: float64(s.Latency.Microseconds()) / 1000, Failed: s.Outcome == store.SampleFailure}
		switch {
		case s.Probe == store.SeriesVerdict, s.Outcome == store.SampleUnknown && s.Probe != store.SeriesMemory:
			continue
		case s.Probe == store.SeriesMemory:
			p.Value = float64(s.Bytes)
		}
		if bySeries[s.Probe] == nil {
			names = append(names, s.Probe)
		}
		bySeries[s.Probe] = append(bySeries[s.Probe], p)
	}
	slices.Sort(names) // @memory comes first
	plots := []Plot{}
	for _, name := range names {
		p := Plot{Name: name, Unit: "ms", Points: thinned(bySeries[name])}
		if name == store.SeriesMemory {
			p.Name, p.Unit, p.Limit = "memory", "bytes", float64(limit)
		}
		plots = append(plots, p)
	}
	return plots
}

// thinned keeps failures, and of the other points the highest of each few.
func thinned(points []Point) []Point {
	few := (len(points) + maxPoints - 1) / maxPoints
	if few <= 1 {
		return points
	}
	var kept []Point
	for part := range slices.Chunk(points, few) {
		highest := part[0]
		for _, p := range part {
			if p.Failed || (!highest.Failed && p.Value > highest.Value) {
				highest = p
			}
		}
		kept = append(kept, highest)
	}
	return kept
}
