package controller

import (
	"fmt"
	"time"

	"github.com/adhocore/gronx"

	"composure/spec"
)

// maintenance adds the services that are in a maintenance window to those that are left alone.
func maintenance(stack *spec.Stack, paused map[string]string, now time.Time) map[string]string {
	alone := make(map[string]string, len(paused))
	for service, why := range paused {
		alone[service] = why
	}
	for _, svc := range stack.Services {
		for _, w := range svc.Policy.Maintenance {
			if end := windowEnd(w, now.UTC()); !end.IsZero() && alone[svc.Name] == "" {
				alone[svc.Name] = fmt.Sprintf("in its maintenance window until %s (%s)", end.Format("15:04 UTC"), w.Pos)
			}
		}
	}
	return alone
}

// windowEnd is when the window ends that is open at a time; zero when it is closed. The expression was checked when the
// file was read.
func windowEnd(w spec.Window, now time.Time) time.Time {
	opened, err := gronx.PrevTickBefore(w.Cron, now, true)
	if err != nil || !now.Before(opened.Add(w.Duration)) {
		return time.Time{}
	}
	return opened.Add(w.Duration)
}
