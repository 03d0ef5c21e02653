package simengine

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
)

// checks says whether there is a healthcheck.
func (i *instance) checks() bool {
	h := i.config.Healthcheck
	return h != nil && len(h.Test) > 0 && h.Test[0] != "NONE"
}

func (i *instance) interval() time.Duration { return orElse(i.config.Healthcheck.Interval) }

func (i *instance) timeout() time.Duration { return orElse(i.config.Healthcheck.Timeout) }

// orElse is a time of a healthcheck, or the engine's own.
func orElse(d time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return 30 * time.Second
}

// uncheck stops checking: the engine calls that unhealthy, and tells nobody (engine fact 20).
func (i *instance) uncheck() {
	if i.state.Health != nil {
		own := *i.state.Health
		own.Status = container.Unhealthy
		i.state.Health = &own
	}
}

// check begins a run of the healthcheck: the engine makes three events of it (engine fact 6), and goes on after its timeout
// with one that hangs, whose processes stay (engine fact 22).
func (i *instance) check() {
	if i.state.Paused {
		i.later(i.interval(), i.check)
		return
	}
	command := strings.Join(i.config.Healthcheck.Test[1:], " ")
	if i.config.Healthcheck.Test[0] == "CMD-SHELL" {
		command = "/bin/sh -c " + command
	}
	i.e.tell(i, events.Action("exec_create: "+command), nil)
	i.e.tell(i, events.Action("exec_start: "+command), nil)
	began := i.e.now()
	if i.does.CheckHangs {
		i.leaked++
		i.later(i.timeout(), func() {
			i.checked(began, -1, fmt.Sprintf("Health check exceeded timeout (%s)", i.timeout()))
		})
		return
	}
	code, output := 0, i.does.CheckSays
	if i.does.Healthy != nil && !i.does.Healthy(i.up()) {
		code = 1
	}
	if output == "" {
		output = fmt.Sprintf("check answered %d", code)
	}
	i.e.tell(i, "exec_die", map[string]string{"exitCode": fmt.Sprint(code)})
	i.checked(began, code, output)
}

// longestOutput is how much of a check's output the engine keeps before it says that there was more.
const longestOutput = 4096

// checked is the end of a run of the healthcheck.
func (i *instance) checked(began time.Time, code int, output string) {
	defer i.later(i.interval(), i.check)
	if i.state.Paused {
		return
	}
	if len(output) > longestOutput {
		output = output[:longestOutput] + "..."
	}
	h := i.state.Health
	before := h.Status
	if code == 0 {
		h.Status, h.FailingStreak = container.Healthy, 0
	} else {
		retries := i.config.Healthcheck.Retries
		if retries == 0 {
			retries = 3
		}
		if h.Status != container.Starting || i.up() >= i.config.Healthcheck.StartPeriod {
			h.FailingStreak++
		}
		if h.FailingStreak >= retries {
			h.Status = container.Unhealthy
		}
	}
	h.Log = append(h.Log, &container.HealthcheckResult{Start: began, End: i.e.now(), ExitCode: code, Output: output})
	h.Log = h.Log[max(0, len(h.Log)-5):]
	if h.Status != before {
		i.e.publish(i, events.Action("health_status: "+h.Status), nil)
	}
}

// top lists the processes of a container.
func top(w http.ResponseWriter, _ *http.Request, i *instance) error {
	if !i.state.Running {
		return &answer{http.StatusConflict, fmt.Sprintf("Container %s is not running", i.id)}
	}
	processes := [][]string{{"999999999", strings.Join(i.config.Cmd, " ")}}
	for range i.leaked {
		processes = append(processes, []string{"999999998", strings.Join(i.config.Healthcheck.Test[1:], " ")})
	}
	reply(w, http.StatusOK, container.TopResponse{Titles: []string{"PID", "CMD"}, Processes: processes})
	return nil
}
