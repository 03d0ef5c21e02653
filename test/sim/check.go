package sim

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"composure/controller"
	"composure/controller/observe"
	"composure/controller/plan"
	"composure/spec"
	"composure/test/simengine"
)

// checker holds a run against the rules. The engine tells it what is asked and what happens, each pass what was decided.
type checker struct {
	w *world

	mu         sync.Mutex
	violations []string
	up         bool        // the stack came up: from now on the rules about healing hold
	stack      *spec.Stack // as the file says
	stacks     []*spec.Stack
	edited     bool
	last       controller.Pass
	lastAt     time.Time
	changed    time.Time // when something last happened
	over       time.Time // when all that went wrong was over; zero: not yet
	passes     int
	calls      int
	all        map[string]simengine.Facts // by id
	places     map[string]*placeState     // by service and number
	byHand     map[string]time.Time       // container → when a person last did something to it
	planned    map[string]time.Time       // container id → of the look on which the job in flight was planned
	deploys    map[string]bool            // container id → the job that was last planned for it is no rung, but a deployment's, with bounds of its own
	commands   map[*process]bool          // that run now
	codes      []int
	ended      time.Time            // when the last command ended
	paused     map[string]time.Time // service, "" for the stack → since when it is paused by command
	toResume   map[string]bool      // service, "" for the stack → a person asked for a pause, and has not ended it
	raised     map[string]raise     // service → limit that an override asks for
	meant      map[string]time.Time // service → when a person last changed what is meant of it
	forgotten  map[string]bool      // process that died while the store did not work: what the engine still does for it is on record nowhere
	quiet      time.Time            // from when on nothing may be done; zero: not yet
	troubles   map[string]time.Time // what Composure needs → until when it did not work
	storeLeft  time.Time            // since when the store does not work, or last did not
	unseen     time.Time            // since when something has happened that no pass has looked at; zero: none
	spent      map[string]time.Time // service → since when its budget is used up
	holder     string               // process that acted last
	held       time.Time            // when it did
	editedAt   time.Time            // when the file was last edited
	late       map[string]bool      // container → a start of it was executed long after it was asked for
	meddles    bool                 // the next container that is to be restarted is restarted by hand first
}

// raise is a memory limit that a process has raised.
type raise struct {
	limit int64
	by    string
	sent  time.Time
}

// placeState is what has become of one replica of a service.
type placeState struct {
	well      time.Time   // since when it runs well; zero: it does not
	rungs     []time.Time // when the restarts and kills by the remediator were asked for, in order, since its budget last began anew
	anew      time.Time   // when that was
	completed bool        // a one-shot that has ended with 0
}

func newChecker(w *world) *checker {
	return &checker{
		w: w, all: map[string]simengine.Facts{}, places: map[string]*placeState{}, byHand: map[string]time.Time{}, planned: map[string]time.Time{}, deploys: map[string]bool{},
		commands: map[*process]bool{}, paused: map[string]time.Time{}, toResume: map[string]bool{}, raised: map[string]raise{}, meant: map[string]time.Time{}, forgotten: map[string]bool{}, late: map[string]bool{}, troubles: map[string]time.Time{},
	}
}

// violated notes that a rule is broken. The run ends soon after the first.
func (c *checker) violated(rule, format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.violate(rule, format, args...)
}

func (c *checker) violate(rule, format string, args ...any) {
	text := fmt.Sprintf("%s %s: %s", time.Since(c.w.began), rule, fmt.Sprintf(format, args...))
	c.violations = append(c.violations, text)
	c.w.trace.add("VIOLATION %s: %s", rule, fmt.Sprintf(format, args...))
}

func (c *checker) broken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.violations) > 0
}

// file tells what the compose file says now.
func (c *checker) file(stack *spec.Stack, n int) {
	c.mu.Lock()
	for _, svc := range stack.Services {
		if c.stack != nil && hash(c.stack, svc.Name) != hash(stack, svc.Name) { // an override is of the service as it was
			c.meant[svc.Name] = time.Now()
			delete(c.raised, svc.Name)
		}
	}
	c.stack, c.edited = stack, c.edited || n > 0
	c.stacks = append(c.stacks, stack)
	if stack.Policy.Deploy == "auto" { // a deployment that somebody asked for: its budgets are its own
		c.editedAt = time.Now()
		for _, p := range c.places {
			p.beginAnew(c.editedAt)
		}
	}
	c.mu.Unlock()
	c.w.learn(stack)
}

// now is what the compose file says.
func (c *checker) now() *spec.Stack {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stack
}

// hash is by what docker compose knows the definition of a service.
func hash(stack *spec.Stack, service string) string {
	made, err := stack.Container(stack.Service(service), 1, spec.Facts{})
	if err != nil {
		return err.Error()
	}
	return made.Hash
}

func (c *checker) booted() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.up = true
}

func (c *checker) touchedByHand(container, _ string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byHand[container] = time.Now()
}

func (c *checker) daemonLeft(_ string, away time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.excuse("engine", time.Now().Add(away))
}

func (c *checker) commandEnded(p *process, args []string, code int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.commands, p)
	c.codes, c.ended = append(c.codes, code), time.Now()
	if len(args) > 0 {
		c.pauses(args[0], args[1:], code == 0)
	}
}

// pauses notes that a pause was asked for, or its end. One whose answer was an error can be on record nevertheless: nothing
// is held against it, but who asked for it ends it in any case.
func (c *checker) pauses(verb string, services []string, done bool) {
	if len(services) == 0 {
		services = []string{""}
	}
	for _, s := range services {
		switch verb {
		case "pause":
			c.toResume[s] = true
			if done {
				c.paused[s] = time.Now()
			}
		case "resume":
			delete(c.paused, s)
			if done {
				delete(c.toResume, s)
			}
		}
	}
}

// place is the state of a replica.
func (c *checker) place(f simengine.Facts) *placeState {
	key := fmt.Sprintf("%s/%d", f.Service, f.Number)
	if c.places[key] == nil {
		c.places[key] = &placeState{}
	}
	return c.places[key]
}

// took notes a rung by when it was asked for: so does the budget, and the engine may execute it long after, when its process is dead
// and the next one has taken rungs, or even after the budget began anew.
func (p *placeState) took(sent time.Time) {
	if sent.After(p.anew) {
		p.rungs = append(p.rungs, sent)
		slices.SortFunc(p.rungs, time.Time.Compare)
	}
}

// before are the rungs that were asked for before a time.
func (p *placeState) before(sent time.Time) []time.Time {
	n, _ := slices.BinarySearchFunc(p.rungs, sent, time.Time.Compare)
	return p.rungs[:n]
}

// beginAnew gives a replica its whole budget back, as of a time.
func (p *placeState) beginAnew(at time.Time) { p.rungs, p.anew = nil, at }

func (c *checker) ours(f simengine.Facts) bool { return f.Project == c.stack.Name }

// answers says whether some container of a service runs. The engine's lock is held.
func (c *checker) answers(service string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.all {
		if f.Service == service && c.ours(f) && f.Running && !f.Restarting && !f.Paused {
			return true
		}
	}
	return false
}

// Called implements simengine.Witness.
func (c *checker) Called(call simengine.Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	subject := call.Of.Name
	if call.Of.ID == "" {
		subject = call.On
	} else if call.On != "" {
		subject += " " + call.On
	}
	c.w.trace.add("%s: %s %s", call.From, call.Op, subject)
	c.calls++
	for _, r := range callRules {
		if why := r.broken(c, call); why != "" {
			c.violate(r.name, "%s: %s %s: %s", call.From, call.Op, subject, why)
		}
	}
	if isRung(call) && c.remediator(call.From) && !c.deploys[call.Of.ID] && !c.forgotten[call.From] {
		c.place(call.Of).took(call.Sent)
	}
	if call.Op == "start" || call.Op == "restart" {
		c.late[call.Of.ID] = time.Since(call.Sent) > time.Second
	}
	c.raises(call)
}

// Happened implements simengine.Witness.
func (c *checker) Happened(h simengine.Happening) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !strings.HasPrefix(h.Action, "exec") {
		c.w.trace.add("  %s %s %s", h.Of.Name, h.Action, state(h.Of))
	}
	for _, r := range stateRules {
		if why := r.broken(c, h); why != "" {
			c.violate(r.name, "%s %s: %s", h.Of.Name, h.Action, why)
		}
	}
	c.occurred(h)
	c.all[h.Of.ID], c.changed = h.Of, time.Now()
	if h.Action == "destroy" {
		delete(c.all, h.Of.ID)
	}
	if c.ours(h.Of) {
		c.develop(h)
	}
}

// develop keeps how a replica is: well while a container of it is, also when the one that it replaced is removed.
func (c *checker) develop(h simengine.Happening) {
	p, well := c.place(h.Of), c.well(h.Of)
	if !well || h.Action == "start" {
		p.well = time.Time{}
	}
	if well && p.well.IsZero() {
		p.well = time.Now()
	}
	if h.Action == "die" && h.Of.ExitCode == 0 {
		p.completed = true
	}
	if h.Action == "destroy" {
		p.completed = false
	}
}

// well says whether a container of the same replica runs well.
func (c *checker) well(replica simengine.Facts) bool {
	for _, f := range c.all {
		same := f.Project == replica.Project && f.Service == replica.Service && f.Number == replica.Number
		if same && f.Running && !f.Restarting && !f.Paused && (f.Health == "" || f.Health == "healthy") {
			return true
		}
	}
	return false
}

func state(f simengine.Facts) string {
	text := f.Status
	if f.Health != "" {
		text += " " + f.Health
	}
	if f.Status == "exited" {
		text += fmt.Sprintf(" %d", f.ExitCode)
	}
	return text
}

// remediator says whether a line is that of a remediator, and not of a command by hand.
func (c *checker) remediator(from string) bool { return strings.HasPrefix(from, "remediator") }

// service is one of the file.
func (c *checker) service(name string) *spec.Service {
	for _, stack := range slices.Backward(c.stacks) {
		if svc := stack.Service(name); svc != nil {
			return svc
		}
	}
	return nil
}

// passed takes what each pass of a process decided.
func (c *checker) passed(p *process) func(controller.Pass) {
	return func(pass controller.Pass) {
		if p.dead.Load() {
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		now := time.Now()
		c.passes++
		if p == c.w.current() {
			c.last, c.lastAt = pass, now
			c.looked(pass)
		}
		p.passes = append(p.passes, now)
		if n := len(p.passes); n > maxPasses {
			if since := now.Sub(p.passes[n-maxPasses]); since < 10*time.Second {
				c.violate("spins", "%d passes within %s:\n%s", maxPasses, since, pass.Plan)
			}
			p.passes = p.passes[n-maxPasses:]
		}
		if pass.Elsewhere {
			return
		}
		for _, j := range pass.Plan.Due() {
			if since, is := c.pausedSince(j.Service); is && j.Service != "" && now.Sub(since) > 5*time.Second && !strings.HasPrefix(j.Kind, "undo") && !strings.HasPrefix(j.Kind, "finish") && !recreation(pass, j.Service) {
				c.violate("paused", "%s is paused since %s: %s %s", j.Service, since.Sub(c.w.began), j.Kind, j.Cause)
			}
			for _, s := range j.Steps {
				if s.ID != "" {
					c.planned[s.ID], c.deploys[s.ID] = seenAt(pass.Snapshot, s.ID), !j.Counts
				}
			}
			if first := j.Due()[0]; first.Op == plan.Restart && c.meddles {
				c.meddles = false
				c.w.running.Go(func() { c.w.docker([]string{"restart", first.Target}) })
			}
		}
	}
}

// seenAt is when a look has seen a container: a slow engine answers about one that was started while the look went on.
func seenAt(seen *observe.Snapshot, id string) time.Time {
	for _, one := range seen.Containers {
		if one.ID != id || one.Inspect.State == nil {
			continue
		}
		if started, err := time.Parse(time.RFC3339Nano, one.Inspect.State.StartedAt); err == nil && started.After(seen.At) {
			return started
		}
	}
	return seen.At
}

// maxPasses within ten seconds are a loop that spins.
const maxPasses = 150

func (c *checker) pausedSince(service string) (time.Time, bool) {
	if at, is := c.paused[""]; is {
		return at, true
	}
	at, is := c.paused[service]
	return at, is
}

// recreation says whether a service has a recreation that has not ended, which also a paused one ends.
func recreation(pass controller.Pass, service string) bool {
	for _, c := range pass.Snapshot.Of(service) {
		if c.Label(spec.LabelRecreates) != "" {
			for _, other := range pass.Snapshot.Of(service) {
				if other.ID == c.Label(spec.LabelRecreates) {
					return true
				}
			}
		}
	}
	return false
}
