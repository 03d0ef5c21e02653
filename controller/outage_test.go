package controller

import (
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"composure/controller/observe"
)

// TestWasAway: a stream breaks with the engine, and with the connection alone, which is no outage.
func TestWasAway(t *testing.T) {
	broke := time.Date(2026, 11, 23, 1, 0, 0, 0, time.UTC)
	one := func(status string, began, ended time.Duration) observe.Container {
		state := &container.State{Status: status, Running: status == "running", StartedAt: broke.Add(began).Format(time.RFC3339Nano)}
		if ended != 0 {
			state.FinishedAt = broke.Add(ended).Format(time.RFC3339Nano)
		}
		return observe.Container{Inspect: &container.InspectResponse{ContainerJSONBase: &container.ContainerJSONBase{State: state}}}
	}
	const hour, s = time.Hour, time.Second
	runsOn, startedAgain := one("running", -hour, 0), one("running", 3*s, -s)
	killed, stoppedBefore := one("exited", -hour, 3*s), one("exited", -hour, -20*s)
	for name, c := range map[string]struct {
		containers []observe.Container
		want       bool
	}{
		"nothing is there":                         {nil, false},
		"everything runs on":                       {[]observe.Container{runsOn, runsOn}, false},
		"one was stopped by hand meanwhile":        {[]observe.Container{runsOn, killed}, false},
		"one was stopped by hand just before":      {[]observe.Container{stoppedBefore}, false},
		"the engine killed all":                    {[]observe.Container{killed, killed}, true},
		"it brought one back, and left the other":  {[]observe.Container{startedAgain, killed}, true},
		"it stopped all in order, and brought one": {[]observe.Container{startedAgain, stoppedBefore}, true},
		"it was started long after":                {[]observe.Container{one("running", hour, -hour)}, false},
	} {
		if got := wasAway(&observe.Snapshot{Containers: c.containers}, broke, broke.Add(5*s)); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
