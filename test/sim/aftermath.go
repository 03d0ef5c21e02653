package sim

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"composure/spec"
	"composure/test/simengine"
)

// grace is how long a stack may take to converge once everything that went wrong is over and its last budget has closed.
const grace = 10 * time.Minute

// forever is how long it may take in any case: budgets that close one after the other are no end.
const forever = 3 * time.Hour

// silence is how long nothing may be done to a converged stack.
const silence = time.Minute

// aftermath is the end of a run: everything that goes wrong is over, what a person did is undone by that person, and the
// stack has to come to rest, as the file says.
func (w *world) aftermath() {
	w.trace.add("> everything that went wrong is over")
	w.calm()
	w.sim.Skew(0)
	w.restoreByHand()
	w.until(w.check.engineIsBack() + 5*time.Second)
	w.oneIsEnough()
	w.revive()
	w.resume()
	if w.check.edited {
		w.deployByHand()
	}
	over := time.Since(w.began)
	w.check.mu.Lock()
	w.check.over = time.Now()
	w.check.mu.Unlock()
	for closed := over; !w.check.converged() && !w.check.broken(); {
		now := time.Since(w.began)
		closed = max(closed, w.check.budgetCloses()) // a budget that has closed is not spoken of any more
		if now > min(closed+grace, over+forever) {
			w.check.violated("converges", "not %s after everything was over (at %s): %s", grace, over, w.check.why())
			return
		}
		w.until(now + 10*time.Second)
	}
	w.check.mu.Lock()
	w.check.quiet = time.Now()
	w.check.mu.Unlock()
	w.trace.add("> converged")
	w.until(time.Since(w.began) + silence)
	w.resolved()
}

// oneIsEnough ends the remediators that were started by mistake.
func (w *world) oneIsEnough() {
	w.mu.Lock()
	all := slices.Clone(w.remediators)
	w.mu.Unlock()
	for _, p := range all[:len(all)-1] {
		if p.alive() {
			p.stop()
		}
	}
	for _, p := range all[:len(all)-1] {
		<-p.ended
	}
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// restoreByHand undoes what a person did and only a person may undo.
func (w *world) restoreByHand() {
	everything := w.sim.Everything()
	for _, f := range everything {
		switch {
		case f.Paused:
			w.noted(w.sim.ByHand(f.Name, "unpause", ""))
		case slices.ContainsFunc(everything, func(other simengine.Facts) bool { return other.Recreates == f.ID || other.ID == f.Recreates }): // no person has stopped it
		case f.Project == "" && f.Name != "bystander":
			w.noted(w.sim.ByHand(f.Name, "remove", ""))
		case strings.Contains(f.Name, ".failed-"): // a person does not start what was kept for its log
		case f.Status == "exited" && w.check.stack.Policy.ManualStop == "hold" && !oneShot(w.check.stack, f):
			w.noted(w.sim.ByHand(f.Name, "start", ""))
		}
	}
}

func oneShot(stack *spec.Stack, f simengine.Facts) bool {
	svc := stack.Service(f.Service)
	return svc == nil || svc.OneShot()
}

// resume ends the pauses that were asked for by command.
func (w *world) resume() {
	w.check.mu.Lock()
	services := slices.Sorted(maps.Keys(w.check.toResume))
	w.check.mu.Unlock()
	for _, s := range services {
		args := []string{"resume"}
		if s != "" {
			args = append(args, s)
		}
		p := w.command(args...)
		<-p.ended
	}
}

// deployByHand deploys what the file says now, as often as it takes, within reason.
func (w *world) deployByHand() {
	if data, err := os.ReadFile(w.file); err == nil && strings.Contains(string(data), ":broken\n") {
		w.trace.add("> the file is mended")
		w.edit(0)
	}
	for n := 1; n <= 4; n++ {
		p := w.command("reconcile", "--once", "--timeout", "5m")
		for !isClosed(p.ended) && !w.check.broken() {
			w.until(time.Since(w.began) + time.Second)
		}
		if w.check.broken() { // whoever runs is ended with the run
			return
		}
		w.check.mu.Lock()
		code := w.check.codes[len(w.check.codes)-1]
		w.check.mu.Unlock()
		if code == 0 || w.check.broken() {
			return
		}
		w.until(time.Since(w.began) + 70*time.Second) // the engine itself may pause a minute between two starts
	}
	w.check.violated("deploys", "reconcile --once does not end with 0: %s", w.check.why())
}

// resolved waits for the incidents to be resolved.
func (w *world) resolved() {
	limit := time.Since(w.began) + w.check.longestStable() + 5*time.Minute
	for !w.check.broken() {
		open := w.check.open()
		if len(open) == 0 {
			return
		}
		if time.Since(w.began) > limit {
			w.check.violated("resolves", "incidents stay open on a converged stack: %s", strings.Join(open, ", "))
			return
		}
		w.until(time.Since(w.began) + 10*time.Second)
	}
}

func (c *checker) longestStable() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	longest := 10 * time.Minute // of incidents of the stack as a whole
	for _, svc := range c.stack.Services {
		longest = max(longest, svc.Policy.Remediation.Stable)
	}
	return longest
}

// engineIsBack is when the engine's daemon works again, and has done all that it does late.
func (c *checker) engineIsBack() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(time.Since(c.w.began), c.troubles["engine"].Sub(c.w.began))
}

// budgetCloses is when the last budget closes that is exhausted now: then there is one more try.
func (c *checker) budgetCloses() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	var last time.Duration
	for _, h := range c.last.Plan.Held {
		if h.Exhausted && !h.Until.IsZero() {
			last = max(last, h.Until.Sub(c.w.began))
		}
	}
	return last
}

// converged says whether the stack is as the file says, and Composure finds that too.
func (c *checker) converged() bool { return c.why() == "" }

// why says what is missing.
func (c *checker) why() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []string
	for _, svc := range c.stack.Services {
		found = append(found, c.lacks(svc)...)
	}
	for _, f := range c.all {
		if svc := c.stack.Service(f.Service); c.ours(f) && svc == nil {
			found = append(found, f.Name+" is an orphan")
		}
	}
	slices.Sort(found)
	switch p := c.last; {
	case c.lastAt.IsZero():
		found = append(found, "there was no pass")
	case c.lastAt.Before(c.over), c.lastAt.Before(c.changed):
		found = append(found, "there was no pass since the last change")
	case time.Since(c.lastAt) > 2*c.w.interval:
		found = append(found, fmt.Sprintf("no pass since %s", c.lastAt.Sub(c.w.began)))
	case p.Elsewhere:
		found = append(found, "somebody else has the stack")
	case !p.Plan.Settled():
		found = append(found, "plan:\n"+p.Plan.String())
	case p.Drift.Differs() && !c.edited:
		found = append(found, fmt.Sprintf("drift: %+v", p.Drift.Drifts))
	}
	return strings.Join(found, "; ")
}

// lacks says what is missing of a service.
func (c *checker) lacks(svc *spec.Service) []string {
	var found []string
	n := 0
	for _, f := range c.all {
		if f.Service != svc.Name || !c.ours(f) {
			continue
		}
		n++
		want := fmt.Sprintf("%s-%s-%d", c.stack.Name, svc.Name, f.Number)
		if svc.ContainerName != "" {
			want = svc.ContainerName
		}
		if f.Name != want {
			found = append(found, f.Name+" is not called "+want)
		}
		switch {
		case svc.OneShot() && (f.Status != "exited" || f.ExitCode != 0):
			found = append(found, f.Name+" has not completed: "+state(f))
		case !svc.OneShot() && f.Status == "exited" && f.ExitCode == 0 && !c.meantToRun(svc):
		case !svc.OneShot() && (!f.Running || f.Restarting || f.Paused || f.Health != "" && f.Health != "healthy"):
			found = append(found, f.Name+" does not run well: "+state(f))
		}
	}
	if n != svc.Replicas {
		found = append(found, fmt.Sprintf("%s has %d containers", svc.Name, n))
	}
	return found
}

// meantToRun says whether a service is to be up whatever its processes answer; else an end with 0 is an end.
func (c *checker) meantToRun(svc *spec.Service) bool {
	made, err := c.stack.Container(svc, 1, spec.Facts{})
	if err != nil {
		return true
	}
	policy, check := made.Host.RestartPolicy, made.Config.Healthcheck
	return policy.IsAlways() || policy.IsUnlessStopped() || (check != nil && len(check.Test) > 0) || len(svc.Ports) > 0
}
