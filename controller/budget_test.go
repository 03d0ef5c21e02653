package controller

import (
	"slices"
	"testing"
	"time"

	"composure/controller/incident"
	"composure/controller/observe"
	"composure/controller/plan"
)

// TestUndisturbed: what has run well counts from the last start, the last illness, and the last attempt on it.
func TestUndisturbed(t *testing.T) {
	start := time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)
	c := New(Config{})
	c.heal = &healer{unwell: map[string]time.Time{"api": start.Add(time.Hour), "db": start.Add(-time.Hour)}}
	history := []plan.Attempt{
		{Service: "db", Counts: true, At: start.Add(2 * time.Hour)}, // ended sessions: nothing was started
		{Service: "web", At: start.Add(2 * time.Hour)},              // no rung
	}
	for service, want := range map[string]time.Time{"api": start.Add(time.Hour), "db": start.Add(2 * time.Hour), "web": start} {
		if got := c.undisturbed(service, start, history); !got.Equal(want) {
			t.Errorf("%s: %s, not %s", service, got, want)
		}
	}
}

// TestForgiveOthers: what belongs to no service counts no more when it was done some time ago, and nothing is left to do about it.
func TestForgiveOthers(t *testing.T) {
	now := time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)
	c := New(Config{History: []plan.Attempt{
		{Key: "network/app_default", Kind: "create network", At: now.Add(-11 * time.Minute)},
		{Key: "network/app_back", Kind: "create network", At: now.Add(-11 * time.Minute)},
		{Key: "network/app_default", Kind: "create network", At: now.Add(-9 * time.Minute)},
		{Key: "service/web/1", Service: "web", Kind: "start", At: now.Add(-time.Hour)},
	}})
	c.forgiveOthers(Pass{
		Snapshot: &observe.Snapshot{At: now},
		Plan:     plan.Plan{Held: []plan.Held{{Key: "network/app_back"}}},
	})
	_, history := c.inFlight()
	var left []string
	for _, a := range history {
		left = append(left, a.Key)
	}
	if want := []string{"network/app_back", "network/app_default", "service/web/1"}; !slices.Equal(left, want) {
		t.Errorf("%q are left, not %q", left, want)
	}
}

// TestRecallAilments: of several incidents of a service an open one says that it is ill, else the one that was mitigated last until when it was,
// in whatever order they come.
func TestRecallAilments(t *testing.T) {
	at := time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)
	early := incident.Incident{Service: "api", State: incident.Mitigated, MitigatedAt: at}
	late := incident.Incident{Service: "api", State: incident.Mitigated, MitigatedAt: at.Add(time.Minute)}
	open := incident.Incident{Service: "api", State: incident.Open, IllSince: at}
	for _, found := range [][]incident.Incident{{early, late}, {late, early}, {open, late}, {late, open}, {early, open, late}} {
		c := New(Config{})
		c.heal = &healer{ailed: map[string]ailment{}}
		c.recall(found)
		got, ill := c.heal.ailed["api"], slices.ContainsFunc(found, func(i incident.Incident) bool { return i.State == incident.Open })
		if want := late.MitigatedAt; ill != got.over.IsZero() || !ill && !got.over.Equal(want) {
			t.Errorf("%d incidents, open: %v: over at %s", len(found), ill, got.over)
		}
	}
}

// TestClockSetBack: an attempt of a time that has not come yet counts from now, once.
func TestClockSetBack(t *testing.T) {
	now := time.Now()
	c := New(Config{History: []plan.Attempt{{Service: "api", At: now.Add(8 * time.Hour)}, {Service: "db", At: now.Add(-time.Hour)}}})
	c.settleHistory(now)
	c.settleHistory(now.Add(time.Minute))
	_, history := c.inFlight()
	if !history[0].At.Equal(now) || !history[1].At.Equal(now.Add(-time.Hour)) {
		t.Errorf("%s, %s", history[0].At, history[1].At)
	}
}
