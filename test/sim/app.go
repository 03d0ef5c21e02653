package sim

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"

	"composure/spec"
	"composure/test/simengine"
)

// app is what the processes of a service do: nothing wrong, but for the conditions that a script puts on it. The engine's
// lock guards it.
type app struct {
	oneShot bool
	needs   []string             // services without which it is not healthy
	until   map[string]time.Time // condition → when it ends
	value   map[string]int64     // of a condition
}

// Conditions of an app.
const (
	sick      = "sick"      // its healthcheck fails
	crashing  = "crashing"  // every run ends by itself after a moment; value: exit code
	gluttony  = "gluttony"  // every run ends for memory after 20 s, unless the limit is at least its value
	stubborn  = "stubborn"  // it does not end when told to
	sluggish  = "sluggish"  // it is not healthy before it has run for its value of seconds
	unstarted = "unstarted" // the engine cannot start it
)

func (a *app) has(condition string) bool { return time.Now().Before(a.until[condition]) }

// afflict puts a condition on a service, for a time.
func (w *world) afflict(service, condition string, d time.Duration, value int64) {
	w.sim.Locked(func() {
		a := w.app(service)
		a.until[condition], a.value[condition] = time.Now().Add(d), value
	})
	w.sim.Reconsider(service)
	time.AfterFunc(d, func() { w.sim.Reconsider(service) })
}

// afflicted says whether something was wrong with a service's applications, or their probes, after a time. The engine's lock
// is held.
func (c *checker) afflicted(service string, after time.Time) bool {
	for name, a := range c.w.apps {
		for _, until := range a.until {
			if (name == service || slices.Contains(c.w.apps[service].needs, name)) && until.After(after) {
				return true
			}
		}
	}
	return c.w.probed.Load() > after.UnixNano()
}

// app is the one of a service. The engine's lock is held.
func (w *world) app(service string) *app {
	if w.apps[service] == nil {
		w.apps[service] = &app{until: map[string]time.Time{}, value: map[string]int64{}}
	}
	return w.apps[service]
}

// learn takes from a compose file how its services behave.
func (w *world) learn(stack *spec.Stack) {
	for _, svc := range stack.Services {
		w.sim.Locked(func() {
			a := w.app(svc.Name)
			a.oneShot, a.needs = svc.OneShot(), nil
			for _, d := range svc.DependsOn {
				if d.Condition == spec.ConditionHealthy {
					a.needs = append(a.needs, d.Service)
				}
			}
		})
		w.sim.Behave(svc.Name, w.behave)
	}
}

// behave is what a container does from a start on. The engine's lock is held.
func (w *world) behave(s simengine.Start) simengine.Behaviour {
	a := w.app(s.Service)
	b := simengine.Behaviour{Log: fmt.Sprintf("%s starts for the %d. time", s.Service, s.N)}
	switch {
	case a.has(unstarted):
		b.StartError = `OCI runtime create failed: container_linux.go:380: starting container process caused: exec: "/server": stat /server: no such file or directory: unknown`
	case strings.HasSuffix(w.sim.RefOf(s.Image), ":broken"):
		b.ExitAfter, b.ExitCode, b.Log = time.Second, 1, "ModuleNotFoundError: No module named 'yesterday'"
	case a.has(crashing):
		b.ExitAfter, b.ExitCode = time.Second, int(a.value[crashing])
	case a.oneShot:
		b.ExitAfter = 2 * time.Second
	case a.has(gluttony) && w.sim.MemoryOf(s.Service) < a.value[gluttony]:
		b.ExitAfter, b.OOM = 20*time.Second, true
	}
	if a.has(stubborn) {
		b.StopTakes = 10 * time.Minute
	}
	b.Healthy = func(up time.Duration) bool {
		if a.has(sick) || a.has(sluggish) && up < time.Duration(a.value[sluggish])*time.Second {
			return false
		}
		for _, other := range a.needs {
			if !w.check.answers(other) {
				return false
			}
		}
		return true
	}
	return b
}

var imageKey = regexp.MustCompile(`(?m)^\s*image: (\S+)$`)

// images makes the images of all the scenario's files present.
func (w *world) images() {
	for _, text := range w.Files {
		for _, match := range imageKey.FindAllStringSubmatch(text, -1) {
			w.sim.Image(match[1], dockerspec.DockerOCIImageConfig{})
		}
	}
	w.sim.Image("sim/bystander:1", dockerspec.DockerOCIImageConfig{})
}
