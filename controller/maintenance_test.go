package controller

import (
	"testing"
	"time"

	"composure/spec"
)

func TestMaintenanceWindow(t *testing.T) {
	nightly := spec.Window{Cron: "0 2 * * *", Duration: time.Hour}
	day := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	for clock, end := range map[string]string{
		"01:59:59": "", "02:00:00": "03:00", "02:30:00": "03:00", "02:59:59": "03:00", "03:00:00": "", "14:00:00": "",
	} {
		at, err := time.Parse(time.TimeOnly, clock)
		if err != nil {
			t.Fatal(err)
		}
		now := day.Add(time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute + time.Duration(at.Second())*time.Second)
		got := ""
		if until := windowEnd(nightly, now); !until.IsZero() {
			got = until.Format("15:04")
		}
		if got != end {
			t.Errorf("at %s the window ends %q, want %q", clock, got, end)
		}
	}
}

func TestWindowOverMidnight(t *testing.T) {
	w := spec.Window{Cron: "30 23 * * 0", Duration: 2 * time.Hour} // Sundays
	monday := time.Date(2026, 11, 23, 1, 0, 0, 0, time.UTC)
	if end := windowEnd(w, monday); !end.Equal(monday.Add(30 * time.Minute)) {
		t.Errorf("ends %s", end)
	}
	if end := windowEnd(w, monday.AddDate(0, 0, 1)); !end.IsZero() {
		t.Errorf("open on a Tuesday, until %s", end)
	}
}

func TestMaintenanceKeepsAPause(t *testing.T) {
	stack := &spec.Stack{Services: []*spec.Service{{Name: "web"}, {Name: "db"}}}
	always := spec.Window{Cron: "* * * * *", Duration: time.Hour}
	stack.Services[0].Policy.Maintenance = []spec.Window{always}
	paused := map[string]string{"web": "paused by ops"}
	got := maintenance(stack, paused, time.Date(2026, 11, 23, 1, 0, 0, 0, time.UTC))
	if got["web"] != "paused by ops" || got["db"] != "" || len(paused) != 1 {
		t.Errorf("%v", got)
	}
}
