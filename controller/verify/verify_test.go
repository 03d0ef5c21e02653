package verify_test

import (
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"composure/controller/observe"
	"composure/controller/plan"
	"composure/controller/verify"
)

var now = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// TestJudge: each state that an engine reports, and what a user is told of it.
func TestJudge(t *testing.T) {
	checked := &container.HealthConfig{Interval: 5 * time.Second, Timeout: time.Second, Retries: 2, StartPeriod: 20 * time.Second} // 32 s, and slack
	service := verify.Rule{MeantToRun: true, MinHealthy: 10 * time.Second}
	up := func(ago time.Duration) *container.State {
		return &container.State{Status: "running", Running: true, StartedAt: now.Add(-ago).Format(time.RFC3339Nano)}
	}
	with := func(s *container.State, change func(*container.State)) *container.State { change(s); return s }
	health := func(status container.HealthStatus, streak int, log ...*container.HealthcheckResult) func(*container.State) {
		return func(s *container.State) {
			s.Health = &container.Health{Status: status, FailingStreak: streak, Log: log}
		}
	}
	ended := func(code int) *container.State {
		return &container.State{Status: "exited", ExitCode: code, StartedAt: now.Add(-time.Minute).Format(time.RFC3339Nano)}
	}
	for name, test := range map[string]struct {
		state    *container.State
		restarts int
		rule     verify.Rule
		want     plan.Verdict
		reason   string
		until    time.Duration // from now; 0: no time is named
	}{
		"runs for long":                     {up(time.Minute), 0, service, plan.Recovered, "running", 0},
		"runs for the minimum, to the tick": {up(10 * time.Second), 0, service, plan.Recovered, "running", 0},
		"runs for less":                     {up(9 * time.Second), 0, service, plan.Pending, "until it has run for 10s", time.Second},
		"healthy for long":                  {with(up(time.Minute), health("healthy", 0)), 0, service, plan.Recovered, "running", 0},
		"healthy for less":                  {with(up(4*time.Second), health("healthy", 0)), 0, service, plan.Pending, "until it has run", 6 * time.Second},
		"starting within its allowance":     {with(up(40*time.Second), health("starting", 1)), 0, service, plan.Pending, "healthcheck starting", 2 * time.Second},
		"starting beyond its allowance":     {with(up(43*time.Second), health("starting", 1)), 0, service, plan.Failed, "still starting 43s after the start", 0},
		"unhealthy": {with(up(time.Minute), health("unhealthy", 3, &container.HealthcheckResult{ExitCode: 0}, &container.HealthcheckResult{ExitCode: 7})),
			0, service, plan.Failed, "3 checks failed, last exit 7", 0},
		"unhealthy because it was paused": {with(up(time.Minute), health("unhealthy", 0)), 0, service, plan.Pending, "not checked again", 0},
		"paused":                          {with(up(time.Minute), func(s *container.State) { s.Status, s.Paused = "paused", true }), 0, service, plan.Failed, "paused", 0},
		"never started":                   {&container.State{Status: "created"}, 0, service, plan.Pending, "not started yet", 0},
		"cannot start":                    {&container.State{Status: "created", Error: "port is taken", ExitCode: 128}, 0, service, plan.Failed, "does not start: port is taken", 0},
		"an old error does not count":     {with(up(time.Minute), func(s *container.State) { s.Error = "port was taken" }), 0, service, plan.Recovered, "running", 0},
		"dead":                            {&container.State{Status: "dead", Dead: true}, 0, service, plan.Failed, "dead", 0},
		"being removed":                   {&container.State{Status: "removing"}, 0, service, plan.Pending, "being removed", time.Second},
		"restarted by the engine":         {with(up(0), func(s *container.State) { s.Restarting, s.ExitCode = true, 3 }), 1, service, plan.Pending, "restarted by the engine, exited with 3", time.Second},
		"restarted too often":             {with(up(0), func(s *container.State) { s.Restarting, s.ExitCode = true, 3 }), 5, service, plan.Failed, "crash loop: restarted 5 times, exited with 3", 0},
		"up for a moment between crashes": {up(time.Second), 5, service, plan.Failed, "crash loop", 0},
		"up since a clock was set back":   {up(-time.Hour), 50, service, plan.Pending, "until it has run for 10s", time.Hour + 10*time.Second},
		"up again after many crashes":     {up(time.Minute), 50, service, plan.Recovered, "running", 0},
		"a service that ended well":       {ended(0), 0, service, plan.Failed, "exited with 0", 0},
		"a service killed for memory":     {with(ended(137), func(s *container.State) { s.OOMKilled = true }), 0, service, plan.Failed, "exited with 137, killed for memory", 0},
		"a job that ended well":           {ended(0), 0, verify.Rule{}, plan.Recovered, "completed", 0},
		"a job that ended badly":          {ended(2), 0, verify.Rule{}, plan.Failed, "exited with 2", 0},
		"a job that somebody waits for":   {up(time.Hour), 0, verify.Rule{OneShot: true}, plan.Pending, "counts when it completes", 0},
		"nothing is known":                {nil, 0, service, plan.Pending, "state unknown", 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := observe.Container{Inspect: &container.InspectResponse{
				ContainerJSONBase: &container.ContainerJSONBase{State: test.state, RestartCount: test.restarts},
				Config:            &container.Config{Healthcheck: checked},
			}}
			got := verify.Judge(c, test.rule, now)
			if got.Verdict != test.want || !strings.Contains(got.Reason, test.reason) {
				t.Errorf("%v: %s, want %v: …%s…", got.Verdict, got.Reason, test.want, test.reason)
			}
			if until := got.Until; (test.until == 0) != until.IsZero() || (test.until > 0 && !until.Equal(now.Add(test.until))) {
				t.Errorf("to be looked at again at %v, want in %s", until, test.until)
			}
		})
	}
}

// TestAllowance: what is not set is as the engine's own defaults.
func TestAllowance(t *testing.T) {
	for name, test := range map[string]struct {
		check *container.HealthConfig
		want  time.Duration
	}{
		"none":            {nil, verify.Slack},
		"nothing is set":  {&container.HealthConfig{}, 3*time.Minute + verify.Slack},
		"all of it is":    {&container.HealthConfig{Interval: time.Second, Timeout: 2 * time.Second, Retries: 4, StartPeriod: time.Minute}, 72*time.Second + verify.Slack},
		"only the period": {&container.HealthConfig{StartPeriod: time.Hour}, time.Hour + 3*time.Minute + verify.Slack},
	} {
		if got := verify.Allowance(test.check); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}
