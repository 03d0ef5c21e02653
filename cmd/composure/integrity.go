package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"composure/controller"
	"composure/controller/incident"
	"composure/controller/observe"
	"composure/controller/store"
	"composure/spec"
)

// baselineValue is what a check of data integrity gave when the service was known to be well.
type baselineValue struct {
	Value  float64 `json:"value"`
	System string  `json:"system,omitempty"` // identifier of the PostgreSQL cluster: another one is another database
}

// States of a check beside its baseline.
const (
	checkOK      = "ok"
	checkFell    = "fell"    // below the baseline, or the data are those of another database
	checkBroken  = "broken"  // a server that answers refused to give the value
	checkUnknown = "unknown" // it could not be asked
	checkNew     = "new"     // there is no baseline yet
)

// checked is one check of `baseline -o json` ("composure.baseline/v1").
type checked struct {
	Service  string   `json:"service"`
	Check    string   `json:"check"`
	State    string   `json:"state"`
	Value    *float64 `json:"value,omitempty"`
	Baseline *float64 `json:"baseline,omitempty"`
	Detail   string   `json:"detail,omitempty"`
}

// baselineOf is what was captured of a service, by check.
func baselineOf(service string, all []store.Baseline) (map[string]baselineValue, error) {
	known := map[string]baselineValue{}
	for _, b := range all {
		if b.Service != service {
			continue
		}
		var v baselineValue
		if err := json.Unmarshal(b.Value, &v); err != nil {
			return nil, fmt.Errorf("read the baseline %s of %s: %w", b.Name, service, err)
		}
		known[b.Name] = v
	}
	return known, nil
}

// compare holds a measurement against what was captured: figures must not fall, commands and endpoints must answer.
// Checks are in the order of their names; those that could not be asked come last.
func compare(service string, m observe.Measurement, before map[string]baselineValue) []checked {
	var all []checked
	for _, name := range slices.Sorted(maps.Keys(m.Values)) {
		all = append(all, judgeCheck(service, name, m, before))
	}
	for _, name := range slices.Sorted(maps.Keys(m.Broken)) {
		all = append(all, checked{Service: service, Check: name, State: checkBroken, Detail: m.Broken[name]})
	}
	for _, g := range m.Gaps {
		all = append(all, checked{Service: service, Check: g.Subject, State: checkUnknown, Detail: g.Err})
	}
	return all
}

// judgeCheck judges one figure.
func judgeCheck(service, name string, m observe.Measurement, before map[string]baselineValue) checked {
	value := m.Values[name]
	c := checked{Service: service, Check: name, State: checkOK, Value: &value}
	was, known := before[name]
	if !known {
		c.State, c.Detail = checkNew, "no baseline; `composure baseline capture "+service+"` records one"
		return c
	}
	c.Baseline = &was.Value
	switch {
	case value < was.Value:
		c.State, c.Detail = checkFell, fmt.Sprintf("was %g", was.Value)
	case was.System != "" && m.System != "" && was.System != m.System:
		c.State, c.Detail = checkFell, "it is another database: its system identifier was "+was.System+" and is "+m.System
	}
	return c
}

// kept records what a measurement gave as the baseline of a service.
func kept(ctx context.Context, save func(context.Context, store.Baseline) error, stack, service string, m observe.Measurement, at time.Time) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(m.Values)) {
		value, err := json.Marshal(baselineValue{m.Values[name], m.System})
		if err != nil {
			return fmt.Errorf("encode the baseline %s of %s: %w", name, service, err)
		}
		errs = append(errs, save(ctx, store.Baseline{Stack: stack, Service: service, Name: name, Value: value, Captured: at}))
	}
	return errors.Join(errs...)
}

// captureBaseline records the figures of a service that has run well for its stable time. It never takes a lower figure
// for a baseline: that a loss lasts does not make it right, and a person who knows better captures by hand.
func (m *healMemory) captureBaseline(ctx context.Context, stack *spec.Stack, snapshot *observe.Snapshot, service string) error {
	all, values, _, err := m.measured(ctx, stack, snapshot, service)
	if err != nil || len(all) == 0 {
		return err
	}
	if data, reason := verdictOf(all); data == incident.DataCompromised {
		return fmt.Errorf("the baseline of %s stays as it is: %s", service, reason)
	}
	return kept(ctx, m.SaveBaseline, m.stack, service, values, time.Now())
}

// dataChecks is what the integrity checks last said. It is safe for concurrent use.
type dataChecks struct {
	mu        sync.Mutex
	mitigated map[string]string // service → its incident, and since when it runs well again
	asked     map[string]string // service → what it was last asked about, so that it is asked once
	said      map[string]answer
}

// answer is what the integrity checks of a service said.
type answer struct {
	about  string // the incident that is over, or ""
	data   string // incident.DataVerified …
	reason string
	at     time.Time // when it was asked for last
	since  time.Time // since when it says that the data are compromised
	m      observe.Measurement
	before map[string]float64
	system string // of the PostgreSQL when the baseline was taken
}

// note keeps which services run well again after an incident: their data are checked for it.
func (d *dataChecks) note(i incident.Incident) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mitigated == nil {
		d.mitigated, d.asked, d.said = map[string]string{}, map[string]string{}, map[string]answer{}
	}
	delete(d.mitigated, i.Service)
	if i.State == incident.Mitigated {
		d.mitigated[i.Service] = i.ID + " " + i.MitigatedAt.String()
	}
}

// recheck is how often the integrity checks are made again while they say that something is wrong, since people are at work;
// and how long they must say so to be believed, since one failure may be a start that has not ended.
const recheck = time.Minute

// ask says whether a service is to be asked: about something that it was not asked about before, or again. And for which
// incident.
func (d *dataChecks) ask(service, about string, now time.Time) (incident string, anew bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	incident = d.mitigated[service]
	about += " " + incident
	last := d.said[service]
	again := !last.since.IsZero() && now.Sub(last.at) >= recheck
	if d.asked[service] == about && !again {
		return "", false
	}
	if d.asked == nil {
		d.asked, d.said = map[string]string{}, map[string]answer{}
	}
	if again {
		last.at = now
		d.said[service] = last
	}
	d.asked[service] = about
	return incident, true
}

// say takes over an answer, unless one to a later question has come before it.
func (d *dataChecks) say(service string, a answer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if a.at.Before(d.said[service].at) {
		return
	}
	if a.data == incident.DataCompromised {
		if a.since = d.said[service].since; a.since.IsZero() {
			a.since = a.at
		}
	}
	d.said[service] = a
}

// Data returns what the integrity checks last said. That all is well is only said of the incident that was checked for.
func (m *healMemory) Data() controller.Data {
	d := controller.Data{
		Said: map[string]string{}, Baseline: map[string]map[string]float64{}, Measured: map[string]map[string]float64{},
		Broken: map[string]map[string]string{}, Clusters: map[string]string{}, Systems: map[string]string{}, Failing: map[string]string{},
	}
	m.data.mu.Lock()
	defer m.data.mu.Unlock()
	for service, a := range m.data.said {
		d.Baseline[service], d.Measured[service], d.Broken[service] = a.before, a.m.Values, a.m.Broken
		d.Clusters[service], d.Systems[service] = a.system, a.m.System
		if a.data == incident.DataCompromised || (a.about != "" && a.about == m.data.mitigated[service]) {
			d.Said[service] = a.data
		}
		if a.data == incident.DataCompromised && a.at.Sub(a.since) >= recheck {
			d.Failing[service] = "its integrity check fails: " + a.reason
		}
	}
	return d
}

// CheckData makes the integrity checks of a service in the background: counting rows takes its time, and no pass waits
// for it.
func (m *healMemory) CheckData(ctx context.Context, stack *spec.Stack, snapshot *observe.Snapshot, service, about string, done func()) {
	asked := time.Now()
	over, anew := m.data.ask(service, about, asked)
	if !anew {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		all, values, known, err := m.measured(ctx, stack, snapshot, service)
		if err != nil {
			m.log.Warn("data not checked", "service", service, "error", err)
			return
		}
		a := answer{about: over, at: asked, m: values, before: map[string]float64{}}
		a.data, a.reason = verdictOf(all)
		for name, b := range known {
			a.before[name], a.system = b.Value, cmp.Or(b.System, a.system)
		}
		if a.data != incident.DataVerified || over != "" {
			m.log.Info("data checked", "service", service, "incident", over, "data", a.data, "reason", a.reason)
		}
		m.data.say(service, a)
		done()
	}()
}

// captureSoon captures in the background: counting the rows of a large table takes its time, and no pass waits for it.
func (m *healMemory) captureSoon(ctx context.Context, service string) {
	stack := m.file
	if stack == nil || stack.Service(service) == nil || len(stack.Service(service).Policy.Integrity) == 0 {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		snapshot, err := observe.Collect(ctx, m.eng, stack)
		if err == nil {
			err = m.captureBaseline(ctx, stack, snapshot, service)
		}
		if err != nil {
			m.log.Warn("baseline not captured", "service", service, "error", err)
		}
	}()
}

// measured makes the checks of a service and holds them against its baseline, which is returned too.
func (m *healMemory) measured(ctx context.Context, stack *spec.Stack, snapshot *observe.Snapshot, service string) ([]checked, observe.Measurement, map[string]baselineValue, error) {
	values := m.measure(ctx, stack, snapshot, service)
	all, err := m.Baselines(ctx)
	if err != nil {
		return nil, values, nil, err
	}
	known, err := baselineOf(service, all)
	if err != nil {
		return nil, values, nil, err
	}
	return compare(service, values, known), values, known, nil
}

// verdictOf sums up the checks of a service: one that fell outweighs any that could not be asked.
func verdictOf(all []checked) (data, reason string) {
	data = incident.DataVerified
	for _, c := range all {
		text := c.Check + ": " + c.State + ", " + c.Detail
		switch c.State {
		case checkFell, checkBroken:
			return incident.DataCompromised, text
		case checkUnknown, checkNew:
			data, reason = incident.DataUnchecked, text
		}
	}
	return data, reason
}
