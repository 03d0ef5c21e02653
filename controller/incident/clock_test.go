package incident

import (
	"testing"
	"time"

	"composure/controller/diagnose"
)

// TestClockSetBack: a host boots with a clock that is eight hours ahead, an incident is opened and acknowledged by nobody, and
// the clock is set. People are called after half an hour and reminded after another quarter, by the clock as it is now.
func TestClockSetBack(t *testing.T) {
	ill := func(now time.Time) Observation {
		return Observation{Now: now, Stack: "shop", Policy: policy, Diagnoses: []diagnose.Diagnosis{diagnosis("api", "crash_loop")}}
	}
	i := Advance(nil, nil, ill(start.Add(8*time.Hour))).Changed[0]
	pass := func(at time.Duration) (kinds []string) {
		c := Advance([]Incident{i}, nil, ill(start.Add(at)))
		for _, changed := range c.Changed {
			i = changed
		}
		for _, a := range c.Announce {
			kinds = append(kinds, a.Kind)
		}
		return kinds
	}
	for _, step := range []struct {
		at   time.Duration
		want string
	}{{0, ""}, {29 * time.Minute, ""}, {30 * time.Minute, "escalated"}, {44 * time.Minute, ""}, {46 * time.Minute, "reminded-1"}} {
		got := ""
		if kinds := pass(step.at); len(kinds) > 0 {
			got = kinds[0]
		}
		if got != step.want {
			t.Errorf("%s after the clock was set: %q, not %q", step.at, got, step.want)
		}
	}
	notes := 0
	for _, e := range i.Timeline {
		if e.Text == "the clock was set back by 8h0m0s or more" || e.Text == "the clock was set back by 8h or more" {
			notes++
		}
	}
	if notes != 1 {
		t.Errorf("told %d times that the clock was set back: %+v", notes, i.Timeline)
	}

	escalated := i // as a clock that is ahead wrote it: nobody is called twice
	escalated.Escalated = map[Tier]time.Time{DevOps: start.Add(9 * time.Hour)}
	if c := Advance([]Incident{escalated}, nil, ill(start.Add(47*time.Minute))); len(c.Announce) > 0 {
		t.Errorf("called again: %+v", c.Announce[0].Kind)
	}
}
