package simengine

import (
	"strings"
	"time"

	"github.com/docker/docker/api/types/events"
)

// stop ends the process as `docker stop` does. It gives up the lock while it waits.
func (i *instance) stop(grace time.Duration) {
	i.manual = true
	i.terminate(grace)
	i.e.publish(i, events.ActionStop, nil)
}

// ownGrace is the time between the stop signal and SIGKILL.
func (i *instance) ownGrace() time.Duration {
	if t := i.config.StopTimeout; t != nil {
		return time.Duration(*t) * time.Second
	}
	return 10 * time.Second
}

// signals are the numbers of those that are used.
var signals = map[string]string{"HUP": "1", "INT": "2", "QUIT": "3", "KILL": "9", "USR1": "10", "USR2": "12", "TERM": "15"}

// signalNumber is the number of a signal by its name, which may begin with SIG, or by its number.
func signalNumber(name string) string {
	name = strings.TrimPrefix(strings.ToUpper(name), "SIG")
	if n := signals[name]; n != "" {
		return n
	}
	return name
}

// stopSignal is the number of the signal that a stop begins with.
func (i *instance) stopSignal() string {
	if s := i.config.StopSignal; s != "" {
		return signalNumber(s)
	}
	return signals["TERM"]
}

// terminate ends the process as its stop signal does: it gets it, and SIGKILL after grace. It gives up the lock while it
// waits.
func (i *instance) terminate(grace time.Duration) {
	if i.state.Restarting {
		i.end(i.state.ExitCode, true)
		return
	}
	i.state.Paused = false
	signal, code, run, ended := i.stopSignal(), 0, i.run, i.ended
	i.signalled(signal)
	takes := i.does.StopTakes
	if signal == "9" {
		takes, code = 0, 137
	}
	killed := grace >= 0 && takes > grace
	if killed {
		takes, code = grace, 137
	}
	if takes > 0 {
		i.e.mu.Unlock()
		timer := time.NewTimer(takes)
		select {
		case <-timer.C:
		case <-ended:
		}
		timer.Stop()
		i.e.mu.Lock()
	}
	if i.run != run || !i.state.Running {
		return
	}
	if killed {
		i.signalled("9")
	}
	i.end(code, false)
}

// signalled tells of a signal to the process.
func (i *instance) signalled(number string) {
	i.e.publish(i, events.ActionKill, map[string]string{"signal": number})
}
