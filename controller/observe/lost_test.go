package observe

import (
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
)

// What belongs to a run that the engine calls ended, and what to one that is beginning right now.
func TestLostOf(t *testing.T) {
	now := time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC)
	const s = time.Second
	for _, c := range []struct {
		name           string
		started, ended time.Duration // before now; no end where nobody saw it
		ages           []time.Duration
		want           int
	}{
		{"it began before the run was called started, a few seconds ago", 3 * s, 0, []time.Duration{3*s + 80*time.Millisecond}, 1},
		{"with what it began later", 8 * s, 0, []time.Duration{8*s + 80*time.Millisecond, s / 2, 2 * s}, 3},
		{"the end was written down when the engine came back", 3 * s, s, []time.Duration{3*s + 80*time.Millisecond}, 1},
		{"a long run", time.Hour, time.Minute, []time.Duration{time.Hour, 2 * s}, 2},
		{"the clock was set ahead meanwhile", 2 * time.Hour, 0, []time.Duration{time.Hour}, 1},
		{"the clock was set back meanwhile, and it begins anew", -time.Hour, 0, []time.Duration{s / 2}, 0},
		{"begins anew, right after the end", 5 * s, s, []time.Duration{s}, 0},
		{"begins anew, the end was not seen", time.Hour, 0, []time.Duration{2 * s}, 0},
		{"nothing is there", time.Hour, time.Minute, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			state := &container.State{StartedAt: now.Add(-c.started).Format(time.RFC3339Nano), FinishedAt: "0001-01-01T00:00:00Z", ExitCode: 255}
			if c.ended > 0 {
				state.FinishedAt = now.Add(-c.ended).Format(time.RFC3339Nano)
			}
			one := &Container{Inspect: &container.InspectResponse{ContainerJSONBase: &container.ContainerJSONBase{State: state}}}
			var left []leftover
			for i, age := range c.ages {
				left = append(left, leftover{Process{PID: 100 - i, Command: "sleep"}, age})
			}
			lost := lostOf(one, left, now)
			if len(lost) != c.want {
				t.Fatalf("%d of %d: %+v", len(lost), len(left), lost)
			}
			for i := 1; i < len(lost); i++ {
				if lost[i-1].PID > lost[i].PID {
					t.Errorf("out of order: %+v", lost)
				}
			}
		})
	}
}
