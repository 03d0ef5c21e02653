package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"composure/controller/observe"
	"composure/controller/store"
	"composure/controller/view"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// TestStatusText is the whole picture of a stack in trouble, without colours.
func TestStatusText(t *testing.T) {
	soon := noon.Add(40 * time.Second)
	s := view.Status{
		Stack: "app", At: noon, Holder: "reconcile, pid 7 on host, since 2026-11-23 11:00:00 UTC",
		Services: []view.Service{
			{Service: "api", State: "running", Health: "unhealthy", Running: 1, Replicas: 1, Restarts: 2, Drift: 1, Verdict: "failed", Reason: "unhealthy: HTTP 503",
				Memory: 192 << 20, MemoryLimit: 256 << 20, Budget: 3, BudgetLeft: 1, Incident: "app-20261123-115900", Cause: "healthcheck_failing",
				Probes: []view.Probe{{Probe: "http", P50: 12.4, P95: 840, Asked: 360, Failures: 4, Spark: "▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▂█!"}},
				Held:   []view.Held{{Subject: "api 1", Reason: "unhealthy; next try after the backoff", Until: &soon}}},
			{Service: "datenbank", State: "running", Health: "healthy", Running: 1, Replicas: 1, Verdict: "recovered", Budget: 3, BudgetLeft: 3},
		},
		Decisions: []view.Decision{{Service: "api", Kind: overrideMemory, Value: "268435456", Owner: "composure", Reason: "memory_exhaustion"}, {Kind: store.Pause, Owner: "operator", Reason: "migration\x1b[31m", Until: &soon}},
		Gaps:      []string{"container app-old-1: timeout"},
	}
	want := `app at 2026-11-23 12:00:00 UTC
in the hands of reconcile, pid 7 on host, since 2026-11-23 11:00:00 UTC

SERVICE    STATE    HEALTH     RUN  RESTARTS  DRIFT  VERDICT    MEMORY             BUDGET  INCIDENT
api        running  unhealthy  1/1  2         1      failed     192MiB/256MiB 75%  1/3     healthcheck_failing
datenbank  running  healthy    1/1                   recovered                     3/3

PROBE     P50      P95     FAILED  LAST HOUR
api http  12.4 ms  840 ms  4/360   ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▂█!

Not well:
  api: unhealthy: HTTP 503
  api: incident app-20261123-115900, healthcheck_failing

Held:
  api 1: unhealthy; next try after the backoff; looked at again in 40s

Decided:
  api: memory raised to 268435456 bytes by composure: memory_exhaustion, until released
  the stack: pause by operator: migration[31m, until 2026-11-23 12:00:40 UTC

Could not be observed:
  container app-old-1: timeout
`
	if diff := cmp.Diff(want, statusText(s, false, noon)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !strings.Contains(statusText(s, true, noon), "\x1b[31mfailed\x1b[0m") {
		t.Error("what failed is not red where colours are wanted")
	}
}

func TestCompare(t *testing.T) {
	captured := []store.Baseline{
		{Service: "db", Name: "orders", Value: []byte(`{"value": 100, "system": "7"}`)},
		{Service: "db", Name: "users", Value: []byte(`{"value": 10}`)},
		{Service: "other", Name: "orders", Value: []byte(`{"value": 1000}`)},
	}
	known, err := baselineOf("db", captured)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		measured observe.Measurement
		want     string // states by check
		data     string
	}{
		"grown":          {observe.Measurement{Values: map[string]float64{"orders": 101, "users": 10}, System: "7"}, "orders ok, users ok", "verified"},
		"fallen":         {observe.Measurement{Values: map[string]float64{"orders": 99, "users": 10}, System: "7"}, "orders fell, users ok", "compromised"},
		"other database": {observe.Measurement{Values: map[string]float64{"orders": 200}, System: "8"}, "orders fell", "compromised"},
		"system unknown": {observe.Measurement{Values: map[string]float64{"orders": 200}}, "orders ok", "verified"},
		"broken":         {observe.Measurement{Values: map[string]float64{"users": 10}, Broken: map[string]string{"orders": "invalid page"}}, "users ok, orders broken", "compromised"},
		"new":            {observe.Measurement{Values: map[string]float64{"lines": 1}}, "lines new", "not checked"},
		"not reached":    {observe.Measurement{Gaps: []observe.Gap{{Subject: "integrity check orders", Err: "refused"}}}, "integrity check orders unknown", "not checked"},
	} {
		t.Run(name, func(t *testing.T) {
			all := compare("db", c.measured, known)
			var states []string
			for _, one := range all {
				states = append(states, one.Check+" "+one.State)
			}
			if got := strings.Join(states, ", "); got != c.want {
				t.Errorf("got %s, expected %s", got, c.want)
			}
			if data, _ := verdictOf(all); data != c.data {
				t.Errorf("the data are %s, expected %s", data, c.data)
			}
		})
	}
}
