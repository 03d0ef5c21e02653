package plan

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"

	"composure/controller/drift"
	"composure/controller/observe"
	"composure/spec"
)

// Input is all that a plan depends on.
type Input struct {
	Now      time.Time
	Stack    *spec.Stack // what is to be restored or deployed
	Snapshot *observe.Snapshot
	Drift    drift.Report
	Judge    map[string]Judgement // by container id
	Busy     map[string]string    // key of a job in flight → what it does
	History  []Attempt            // of this run or incident, oldest first
	Deploy   bool                 // the deployment verb: the file is applied as it is, images are fetched
	Prune    bool                 // orphans and surplus replicas are removed
	Services map[string]bool      // only these, and in a command what follows them; nil: all
	TakeOver bool                 // the stack moves to this project directory
	Asked    map[string]Asked     // by service: a rung that a person asks for, and nothing else is done to it; nil: no command by hand
	Tries    int                  // failed attempts of one kind before it is held for good; at least 1

	// The rest is about healing; the deployment verb leaves it empty.
	Ill       map[string]Illness   // by service: diagnosed, and not only because its container is down
	Sick      map[string]bool      // by container id: what makes its service ill; nil: every container of an ill service does
	Stable    map[string]Stable    // by service: where a rollback leads
	Raised    map[string]time.Time // by service: when its memory limit was last raised
	Returned  map[string]time.Time // by service: when a rollback, or a rebuilt image, was decided that is in force
	Paused    map[string]string    // by service, "" for the stack: why it is to be left alone
	Patient   bool                 // a deployment by nobody's command: it waits for the end of a pause
	Restoring bool                 // the engine has just come back: what is down is started, as one condition
	Outages   []Span               // when the engine was away, as far as is known
	Commits   map[string]string    // by service: the commit from which its image was built; a rebuild takes the same
	Pinned    map[string]string    // by service: the image id that was applied; healing never deploys a moved tag
	Written   map[string]int64     // by container id: bytes it wrote outside its volumes, which a recreation drops; absent: unknown, and no rung drops it
	Weighing  map[string]bool      // by container id: that is being measured, and waited for by what would drop it
	Brake     string               // why nothing is restarted now, such as a failure of the host
}

// Illness is what a diagnosis says is wrong with a service.
type Illness struct {
	Cause    string
	Summary  string
	Remedies []string          // of the cause, in the order in which they are tried; a rung that is not among them cannot help
	Wait     string            // why to leave it alone for now
	MaskedBy string            // service whose cause explains this one
	Holder   string            // container outside the stack that holds a port of this service
	Database string            // service of the stack whose PostgreSQL it is or uses
	Idle     []observe.Session // of that server, idle in transaction
	Repaired bool              // the engine has started it again: what keeps it from coming back is done, and no restart
	Killed   time.Time         // when the kernel last killed it, or a process of it, for memory; zero: not known
	HandsOff bool              // people decide: nothing at all is done to the service, since that could destroy data or evidence
}

// Span is a time from a begin to an end.
type Span struct{ Began, Ended time.Time }

// Stable is the last revision of a service that was proven stable and differs from the one that runs.
type Stable struct {
	Revision string
	Deployed time.Time // when the revision that runs now was applied
}

// Compute decides. It never changes its input.
func Compute(in Input) Plan {
	p := &planner{Input: in, facts: observe.FactsOf(in.Stack, in.Snapshot), blocked: map[string]string{}, broken: map[string]bool{}, byContainer: map[string][]drift.Drift{}}
	for _, d := range in.Drift.Drifts {
		if d.Container != "" {
			p.byContainer[d.Container] = append(p.byContainer[d.Container], d)
		}
	}
	if holds := StackHolds(in.Stack, in.Snapshot, in.TakeOver); len(holds) > 0 {
		for _, why := range holds {
			p.final("stack/"+in.Stack.Name, "", why)
		}
		return p.plan
	}
	p.networks()
	p.volumes()
	p.extras()
	followers := map[string]bool{}
	if in.Deploy || in.Asked != nil {
		followers = Followers(in.Stack, in.Services)
	}
	for _, svc := range Order(in.Stack) {
		switch {
		case in.Services == nil || in.Services[svc.Name]:
			p.service(svc)
		case followers[svc.Name]:
			p.follow(svc)
		}
	}
	p.definitions()
	p.holders()
	if p.impossible && p.Deploy { // half a deployment is worse than none
		p.plan.Jobs = nil
	}
	return p.plan
}

// planner collects the plan of one Input.
type planner struct {
	Input
	facts       func(*spec.Service, observe.Slot) spec.Facts
	plan        Plan
	byContainer map[string][]drift.Drift // by the container's name
	blocked     map[string]string        // service, network, volume, image, container → why it will not come by itself, or go; what waits for it is held
	broken      map[string]bool          // key of a place → its container does not work: another try to replace it takes nothing down
	going       []observe.Container      // being removed
	impossible  bool                     // a service is wanted in a way that no engine, or not this one, can honour
}

// holders notes for each new name who has it. A name that turns out to be another's was planned without that one; one that does not
// get free was not.
func (p *planner) holders() {
	ids := map[string]string{}
	for _, c := range p.Snapshot.Containers {
		ids[c.Name] = c.ID
	}
	for _, j := range p.plan.Jobs {
		for i, s := range j.Steps {
			switch s.Op {
			case Create:
				j.Steps[i].Holder = ids[s.Target]
			case Rename:
				j.Steps[i].Holder = ids[s.To]
			}
		}
	}
}

// service plans one service: its image, then each of its slots.
func (p *planner) service(svc *spec.Service) {
	_, byHand := p.Asked[svc.Name]
	if !byHand && !acts(svc) {
		p.plan.Notes = append(p.plan.Notes, fmt.Sprintf("%s: mode %s, nothing is done about it", svc.Name, svc.Policy.Mode))
		return
	}
	image := p.image(svc)
	moving := ""
	for _, slot := range observe.Slots(svc, p.Snapshot) {
		if slot.Surplus {
			continue
		}
		pl := p.place(svc, slot, image)
		if pl == nil {
			continue
		}
		pl.moving = moving
		if p.slot(pl) && slot.Container != nil {
			moving = pl.key
		}
	}
}

// acts says whether the policy of a service lets anything be done about it.
func acts(svc *spec.Service) bool { return svc.Policy.Mode != "ignore" && svc.Policy.Mode != "observe" }

// slot does what is to be done about a slot, if anything may be, and says whether its container is being replaced.
func (p *planner) slot(pl *place) bool {
	if doing, busy := p.Busy[pl.key]; busy {
		p.wait(pl.key, pl.svc.Name, "in progress: "+doing, time.Time{})
		return true
	}
	if p.own(pl) {
		p.leave(pl)
		return false
	}
	alone := p.handsOff(pl)
	if alone != "" && !p.Deploy && !pl.follows {
		p.leaveAlone(pl.key, pl.svc.Name, "", alone)
		return false
	}
	if ill := p.Ill[pl.svc.Name]; ill.HandsOff && !p.Deploy {
		p.exhaust(pl.key, pl.svc.Name, "nothing is done to it, people decide: "+ill.Summary, time.Time{})
		return false
	}
	if c := pl.slot.Container; c != nil && c.Status() == "removing" {
		p.wait(pl.key, pl.svc.Name, pl.judge.Reason, pl.judge.Until)
		return true
	}
	if why := p.endangers(pl); why != "" {
		p.final(pl.key, pl.svc.Name, why)
		return false
	}
	if asked, byHand := p.Asked[pl.svc.Name]; byHand && pl.slot.Replaced == nil { // else a recreation is ended first
		return p.byHand(pl, asked)
	}
	return p.mend(pl, alone)
}

// mend applies the first remedy that fits, unless the place is to be left alone.
func (p *planner) mend(pl *place, alone string) bool {
	fitting := remedies
	if pl.follows {
		fitting = following
	}
	for _, r := range fitting {
		if r.deploys && !p.Deploy && !(r.restores && p.Restoring && !p.stoppedByHand(pl)) {
			continue
		}
		cause := r.applies(pl)
		if cause == "" || r.replaces && !p.Deploy && p.stoppedByHand(pl) { // made anew it would run: whether it is to, the ladder tells
			continue
		}
		if alone != "" {
			p.leaveAlone(pl.key, pl.svc.Name, "", alone)
			return false
		}
		if r.corrects && p.madeOutside(pl) {
			p.wait(pl.key, pl.svc.Name, "was made anew by somebody else, and is not what was applied: "+cause+"; the file is waited for, which may say so", pl.slot.Container.Created().Add(settling))
			return true
		}
		if r.replaces && !r.settles && pl.moving != "" {
			if pl.slot.Replaced == nil || !p.failed(pl.moving) {
				p.queue(pl, "replicas are replaced one at a time; ")
				return false
			}
			r, cause = goBack, "a recreation was begun, and "+title(pl.moving)+" failed" // half done, nothing may run at all
		}
		p.try(Job{Key: pl.key, Service: pl.svc.Name, Kind: r.kind(pl), Cause: cause, Steps: r.steps(pl)}, r.tries)
		return r.replaces
	}
	return p.await(pl)
}

// await is about a slot that no remedy fits: its verdict is waited for, or the ladder climbed. It says whether the slot's container
// is being replaced.
func (p *planner) await(pl *place) bool {
	if pl.follows {
		return p.keepsUp(pl)
	}
	if why := p.nameless(pl); why != "" {
		p.plan.Held = append(p.plan.Held, Held{Key: pl.key, Service: pl.svc.Name, Reason: why, Final: true}) // what depends on it goes on
	}
	_, ill := p.Ill[pl.svc.Name]
	if c := pl.slot.Container; p.Sick != nil && c != nil {
		ill = ill && p.Sick[c.ID] // a replica that is well does not pay for another one
	}
	switch {
	case !p.Deploy && (pl.judge.Verdict == Failed || ill):
		return p.climb(pl)
	case pl.judge.Verdict == Pending:
		p.wait(pl.key, pl.svc.Name, pl.judge.Reason, pl.judge.Until)
		return pl.slot.Replaced != nil
	case pl.judge.Verdict == Failed:
		p.final(pl.key, pl.svc.Name, pl.judge.Reason)
	}
	return false
}

// leaveAlone holds what is paused from a command, and what needs it. Healing, and a deployment by nobody's command, wait.
func (p *planner) leaveAlone(key, service, subject, why string) {
	if p.Patient || !p.Deploy && p.Asked == nil {
		p.wait(key, service, why, time.Time{})
		return
	}
	p.final(key, service, why)
	if subject != "" {
		p.blocked[subject] = why
	}
}

// queue holds a replica until the one before it is done with. What has just failed with one is not given to the others.
func (p *planner) queue(pl *place, why string) {
	if p.failed(pl.moving) {
		p.final(pl.key, pl.svc.Name, "left as it is, since "+title(pl.moving)+" failed")
		return
	}
	p.wait(pl.key, pl.svc.Name, why+"after "+title(pl.moving), time.Time{})
}

// failed says whether a replica is held for good, or left to people.
func (p *planner) failed(key string) bool {
	return slices.ContainsFunc(p.plan.Held, func(h Held) bool { return (h.Final || h.Exhausted) && h.Key == key })
}

// try adds a job unless its attempts are used up, its backoff runs, or what it waits for will not come.
func (p *planner) try(j Job, tries int) {
	if tries == 0 {
		tries = max(p.Tries, 1)
	}
	failures, last := p.failures(j.Key, j.Kind)
	done, latest := p.done(j.Key, j.Kind)
	switch {
	case done >= tries+inVain:
		if p.giveUp(j, fmt.Sprintf("%s was done %d times and did not help: %s", verb(j.Kind), done, j.Cause), latest.At, done-tries-inVain) {
			return
		}
	case failures >= tries:
		if p.giveUp(j, fmt.Sprintf("%s failed: %s", verb(j.Kind), last.Reason), last.At, failures-tries) {
			return
		}
	case failures > 0:
		if until := last.At.Add(Delay(failures)); p.Now.Before(until) {
			p.wait(j.Key, j.Service, fmt.Sprintf("%s failed, tried again: %s", verb(j.Kind), last.Reason), until)
			return
		}
	}
	if p.unsteady(j) {
		return
	}
	for _, w := range j.Waits() {
		why := p.hopeless(w)
		switch {
		case why == "":
			continue
		case p.Deploy || p.Asked != nil:
			p.final(j.Key, j.Service, why)
		default: // it will not come by itself: people are called
			p.exhaust(j.Key, j.Service, why, time.Time{})
		}
		return
	}
	p.plan.Jobs = append(p.plan.Jobs, j)
}

// giveUp says whether to leave a job whose tries are used up. A command leaves it for good. Healing calls people, and goes on
// trying with a growing pause, since what was refused for a minute must not stay half done for a week. Only a recreation
// that came to its end in vain is not begun again while the container that there is works: each try takes it down.
func (p *planner) giveUp(j Job, reason string, last time.Time, beyond int) bool {
	if again := j.Steps[0].Op == Create && p.replaced(j) && !p.broken[j.Key]; again || p.Deploy || p.Asked != nil {
		p.final(j.Key, j.Service, reason)
		return true
	}
	until := last.Add(exponential(time.Minute, 2, 30*time.Minute, beyond+1))
	if !p.Now.Before(until) {
		return false
	}
	p.exhaust(j.Key, j.Service, reason, until)
	return true
}

// failures counts the failed attempts of one kind and returns the last of them. A recreation that had to be undone
// failed, whatever its steps answered.
func (p *planner) failures(key, kind string) (int, Attempt) {
	n, last, counted := 0, Attempt{}, false
	undone := "undo:" + strings.TrimPrefix(kind, "recreate:")
	for _, a := range p.sinceRung(key) {
		switch {
		case a.Kind == kind:
			if counted = a.Outcome == Failure || a.Outcome == Unknown; counted {
				n, last = n+1, a
			}
		case a.Kind == undone && a.Outcome == Done:
			if last = a; !counted {
				n++
			}
			last.Reason, counted = a.Cause, false
		}
	}
	return n, last
}

// replaced says whether a recreation has taken the old container down before: it came to its end, or was taken back.
func (p *planner) replaced(j Job) bool {
	back := "undo:" + strings.TrimPrefix(j.Kind, "recreate:")
	return verb(j.Kind) == "recreate" && slices.ContainsFunc(p.sinceRung(j.Key), func(a Attempt) bool {
		return a.Outcome == Done && (a.Kind == back || a.Kind == j.Kind)
	})
}

// unsteady holds a job whose last attempts were dropped because something had changed, for longer each time. One is nothing, but what
// never holds still must not keep the loop busy, and people are told what it is.
func (p *planner) unsteady(j Job) bool {
	n, last := p.staleRow(j.Key, j.Kind)
	until := last.At.Add(Delay(n - 1))
	if n < 2 || !p.Now.Before(until) {
		return false
	}
	reason := fmt.Sprintf("%s was dropped %d times in a row: %s", verb(j.Kind), n, last.Reason)
	if n < restless || p.Deploy || p.Asked != nil {
		p.wait(j.Key, j.Service, reason, until)
	} else {
		p.exhaust(j.Key, j.Service, reason, until)
	}
	return true
}

// restless is how many attempts in a row are dropped before people are called, which takes some minutes.
const restless = 9

// staleRow counts the last attempts of one kind that were dropped as stale, and returns the last of them.
func (p *planner) staleRow(key, kind string) (n int, last Attempt) {
	for _, a := range p.History {
		switch {
		case a.Key != key || a.Kind != kind:
		case a.Outcome == Stale:
			n, last = n+1, a
		default:
			n = 0
		}
	}
	return n, last
}

// inVain is how often a remedy may succeed, beyond its failures allowed, and be called for again: a job that had to
// wait in its middle is begun more than once, but what does not help must not go on for ever.
const inVain = 2

// done counts the attempts of one kind that ran to their end and returns the last of them.
func (p *planner) done(key, kind string) (int, Attempt) {
	n, last := 0, Attempt{}
	for _, a := range p.sinceRung(key) {
		if a.Kind == kind && a.Outcome == Done {
			n, last = n+1, a
		}
	}
	return n, last
}

// sinceRung returns the attempts on a subject from its last rung on. What belongs to a rung, such as to end or to undo
// its recreation, is bounded by rung: else an incident of many rungs would forbid to finish the last one.
func (p *planner) sinceRung(key string) []Attempt {
	var found []Attempt
	for _, a := range p.History {
		if a.Key != key {
			continue
		}
		if a.Counts && a.Outcome != Stale {
			found = nil
		}
		found = append(found, a)
	}
	return found
}

// wait holds a subject for something that happens by itself.
func (p *planner) wait(key, service, reason string, until time.Time) {
	p.plan.Held = append(p.plan.Held, Held{Key: key, Service: service, Reason: reason, Until: until})
}

// final holds a subject for good, and with it whatever depends on the service.
func (p *planner) final(key, service, reason string) {
	p.plan.Held = append(p.plan.Held, Held{Key: key, Service: service, Reason: reason, Final: true})
	if service != "" && p.blocked[service] == "" {
		p.blocked[service] = reason
	}
}

// Delay is the backoff after the n-th failure in a row (n from 1) of a step that is no rung: 1 s, doubled, at most a
// minute, without jitter.
func Delay(n int) time.Duration { return exponential(time.Second, 2, time.Minute, n) }

// exponential replays a backoff to its n-th delay (n from 1): the attempt count is what persists.
func exponential(initial time.Duration, factor float64, limit time.Duration, n int) time.Duration {
	b := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(initial), backoff.WithMultiplier(factor), backoff.WithMaxInterval(limit),
		backoff.WithRandomizationFactor(0), backoff.WithMaxElapsedTime(0))
	var d time.Duration
	for range n {
		d = b.NextBackOff()
	}
	return d
}

// Order returns the services with every dependency before its dependents, else by name. Cycles are refused by spec.
func Order(stack *spec.Stack) []*spec.Service {
	services := append([]*spec.Service(nil), stack.Services...)
	sort.Slice(services, func(i, j int) bool { return services[i].Name < services[j].Name })
	var ordered []*spec.Service
	seen := map[string]bool{}
	var visit func(svc *spec.Service)
	visit = func(svc *spec.Service) {
		if seen[svc.Name] {
			return
		}
		seen[svc.Name] = true
		for _, d := range svc.DependsOn {
			if other := stack.Service(d.Service); other != nil {
				visit(other)
			}
		}
		ordered = append(ordered, svc)
	}
	for _, svc := range services {
		visit(svc)
	}
	return ordered
}

// verb is the part of a kind that people read.
func verb(kind string) string {
	word, _, _ := strings.Cut(kind, ":")
	return word
}
