package controller

import (
	"testing"
	"time"

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
