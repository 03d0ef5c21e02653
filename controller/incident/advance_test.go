package incident

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"composure/controller/diagnose"
	"composure/controller/observe"
	"composure/controller/plan"
	"composure/spec"
)

var update = flag.Bool("update", false, "write what the cases give into their files")

var start = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

// policy is what a stack has that says nothing.
var policy = spec.Escalation{Unresolved: 30 * time.Minute, Outage: time.Hour, Acknowledge: 15 * time.Minute, Recurrence: 24 * time.Hour}

// TestAdvance plays the cases in testdata/advance. The file `script` has a line a pass: when, as a time since 10:00 UTC
// (or from..to/step for many passes), then what was found. The file `want` is what became of it: every line added to a
// timeline, every announcement, and the states at the end.
//
//	api:CAUSE     not well, with that root cause        api:CAUSE@AGO  … since so long
//	api<db        not well, explained by db             api=AGO        runs well since so long ago
//	wait:api:CAUSE                                      not well, and better left alone for now
//	early:api:CAUSE                                     not well, and the evidence is still to be collected
//	try:api/1:KIND:OUTCOME                              an attempt has ended now; all but finish count
//	exhausted:api   raised:api=AGO   data:api=verified   endpoint:api=/health
//	without:api   the file does not have the service any more
//	outage=AGO   engine-down=AGO   stack:CAUSE
//	ack:NAME   confirm:NAME   resolve:NAME              by a person, of the open incident
func TestAdvance(t *testing.T) {
	files, err := filepath.Glob("testdata/advance/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p := &play{t: t}
			for line := range strings.Lines(string(archive.Files[0].Data)) {
				if line = strings.TrimSpace(line); line != "" {
					p.line(line)
				}
			}
			got := p.transcript()
			if *update {
				archive.Files = []txtar.File{archive.Files[0], {Name: "want", Data: []byte(got)}}
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(archive.Files[1].Data), got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// play keeps the incidents of a case as a store would: as JSON.
type play struct {
	t     *testing.T
	saved []json.RawMessage
	out   strings.Builder
}

func (p *play) incidents(now time.Time) (open, recent []Incident) {
	for _, document := range p.saved {
		var i Incident
		if err := json.Unmarshal(document, &i); err != nil {
			p.t.Fatal(err)
		}
		switch {
		case i.State != Resolved:
			open = append(open, i)
		case now.Sub(i.ResolvedAt) <= policy.Recurrence:
			recent = append(recent, i)
		}
	}
	return open, recent
}

func (p *play) line(line string) {
	when, rest, _ := strings.Cut(line, " ")
	span, step, many := strings.Cut(when, "/")
	from, to, _ := strings.Cut(span, "..")
	if !many {
		p.pass(duration(p.t, from), strings.Fields(rest))
		return
	}
	for at := duration(p.t, from); at <= duration(p.t, to); at += duration(p.t, step) {
		p.pass(at, strings.Fields(rest))
	}
}

func (p *play) pass(at time.Duration, words []string) {
	now := start.Add(at)
	o := Observation{
		Now: now, Stack: "shop", Policy: policy, Began: map[string]time.Time{}, Well: map[string]time.Time{},
		StableAfter: map[string]time.Duration{"api": 10 * time.Minute, "db": 10 * time.Minute, "web": 10 * time.Minute},
		Exhausted:   map[string]string{}, Raised: map[string]time.Time{}, DataChecks: map[string]string{}, Endpoints: map[string][]string{},
	}
	open, recent := p.incidents(now)
	for _, word := range words {
		if by, verb := person(word); verb != nil {
			p.keep(at, verb(open[0], by, now))
			open, recent = p.incidents(now)
			continue
		}
		found(p.t, &o, word)
	}
	before := fmt.Sprintf("%+v", open)
	change := Advance(open, recent, o)
	if after := fmt.Sprintf("%+v", open); before != after {
		p.t.Fatalf("%s: Advance changed its argument", at)
	}
	p.keep(at, change)
	open, recent = p.incidents(now)
	if again := Advance(open, recent, o); slices.ContainsFunc(again.Changed, known(open)) {
		p.t.Fatalf("%s: the same pass again changes something:\n%s", at, cmp.Diff(open, again.Changed))
	}
}

func known(open []Incident) func(Incident) bool {
	return func(i Incident) bool {
		return slices.ContainsFunc(open, func(o Incident) bool { return o.ID == i.ID })
	}
}

func person(word string) (string, func(Incident, string, time.Time) Change) {
	verb, by, _ := strings.Cut(word, ":")
	switch verb {
	case "ack":
		return by, Ack
	case "confirm":
		return by, Confirm
	case "resolve":
		return by, Resolve
	}
	return "", nil
}

// found adds one word of a script to an observation.
func found(t *testing.T, o *Observation, word string) {
	ago := func(text string) time.Time { return o.Now.Add(-duration(t, text)) }
	key, value, assigned := strings.Cut(word, "=")
	what, service, _ := strings.Cut(key, ":")
	switch {
	case what == "outage":
		o.Outage = ago(value)
	case what == "engine-down":
		o.EngineDown, o.EngineError = ago(value), "connection refused"
	case what == "data":
		o.DataChecks[service] = value
	case what == "raised":
		o.Raised[service] = ago(value)
	case what == "endpoint":
		o.Endpoints[service] = []string{value}
	case what == "exhausted":
		o.Exhausted[service] = "3 attempts did not help"
	case what == "wait":
		name, cause, _ := strings.Cut(service, ":")
		d := diagnosis(name, cause)
		d.Finding.Wait = "it makes progress"
		o.Diagnoses = append(o.Diagnoses, d)
	case what == "early":
		name, cause, _ := strings.Cut(service, ":")
		d := diagnosis(name, cause)
		d.Needs, d.Finding.Summary = []observe.Need{observe.NeedPorts}, "the engine says so"
		o.Diagnoses = append(o.Diagnoses, d)
	case what == "without":
		delete(o.StableAfter, service)
	case what == "try":
		parts := strings.Split(service, ":")
		name, _, _ := strings.Cut(parts[0], "/")
		o.Attempts = append(o.Attempts, plan.Attempt{
			Key: "service/" + parts[0], Service: name, Kind: parts[1], Outcome: plan.Outcome(parts[2]), Counts: parts[1] != "finish", At: o.Now, Cause: "crash_loop",
		})
	case assigned:
		o.Well[key] = ago(value)
	case strings.Contains(word, "<"):
		service, by, _ := strings.Cut(word, "<")
		o.Diagnoses = append(o.Diagnoses, diagnose.Diagnosis{Service: service, Reason: "exited", MaskedBy: by})
	default:
		cause, since, begun := strings.Cut(service, "@")
		if begun {
			o.Began[what] = ago(since)
		}
		if what == "stack" {
			what = ""
		}
		o.Diagnoses = append(o.Diagnoses, diagnosis(what, cause))
	}
}

func diagnosis(service, cause string) diagnose.Diagnosis {
	return diagnose.Diagnosis{
		Service: service, Reason: "not well",
		Steps:   []diagnose.Step{{Question: "container running?", Answer: diagnose.No, Jump: "Container Not Running", Checked: "state", Seen: "exited"}},
		Finding: &diagnose.Finding{Service: service, Cause: cause, Severity: "high", Summary: "found " + cause, Proof: []string{"a fact"}},
	}
}

// keep saves a change and writes down what is new.
func (p *play) keep(at time.Duration, c Change) {
	for _, i := range c.Changed {
		document, err := json.Marshal(i)
		if err != nil {
			p.t.Fatal(err)
		}
		told := 0
		n := slices.IndexFunc(p.saved, func(old json.RawMessage) bool {
			var before Incident
			_ = json.Unmarshal(old, &before)
			told = len(before.Timeline)
			return before.ID == i.ID
		})
		if n < 0 {
			n, told, p.saved = len(p.saved), 0, append(p.saved, nil)
		}
		var before Incident
		if told > 0 {
			_ = json.Unmarshal(p.saved[n], &before)
		}
		p.saved[n] = document
		for _, e := range i.Timeline {
			if !slices.Contains(before.Timeline, e) {
				fmt.Fprintf(&p.out, "%s #%d %s %s: %s\n", e.At.Sub(start), n+1, i.Service, e.Kind, e.Text)
			}
		}
	}
	for _, a := range c.Announce {
		fmt.Fprintf(&p.out, "%s   tell %s, %s: %s\n", at, a.Tier, a.Kind, a.Reason)
		if a.Body.ID != a.Incident || a.Key != a.Incident+"/"+string(a.Tier)+"/"+a.Kind {
			p.t.Errorf("announcement %q is about %q", a.Key, a.Body.ID)
		}
	}
}

func (p *play) transcript() string {
	for n, document := range p.saved {
		var i Incident
		if err := json.Unmarshal(document, &i); err != nil {
			p.t.Fatal(err)
		}
		fmt.Fprintf(&p.out, "#%d %s %s, %s, %d actions, %d failed", n+1, i.ID, i.State, i.Cause, i.Actions, i.Failed)
		if i.Impact.Services != nil || i.Impact.Endpoints != nil || i.Impact.Data != DataUnchecked {
			fmt.Fprintf(&p.out, ", impact %s %s %s", i.Impact.Services, i.Impact.Endpoints, i.Impact.Data)
		}
		p.out.WriteByte('\n')
	}
	return p.out.String()
}

func duration(t *testing.T, text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
