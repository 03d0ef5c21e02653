package plan

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"composure/controller/observe"
	"composure/spec"
)

// The ladder: rung 0 is the engine's own restart policy, which the verdict waits for. Then the remedies of the cause,
// then graceful restart, hard restart, rollback, escalation, in the order that the cause gives them: what a deployment
// broke is rolled back first, no restart helps against it. Every rung waits for its verdict. The budget counts the
// attempts of the incident, until the service is proven stable: no window slides past slow checks. Used up, the service
// is left alone but for one try after each reset time, which doubles.

// rung is one way to heal a container that is not well.
type rung struct {
	name     string
	steps    func(pl *place) []Step // nil: the rung decides something else
	fits     func(pl *place) bool
	policy   bool // only when the policy has it on its ladder
	stateful bool // allowed for services that keep data
	replaces bool
	once     bool // for the whole service: it is not repeated for each replica
}

// rungs are what a ladder and the remedies of a cause can name. What they do not name here is no restart: waiting,
// the dependency's own healing, an override, a human.
var rungs = []rung{
	{name: "free_port", steps: freePort, fits: portStealer, stateful: true},
	{name: "rebuild", steps: rebuild, fits: mayBuild, replaces: true, once: true},
	{name: "terminate_idle", steps: endSessions, fits: sits, stateful: true, once: true},
	{name: "start", steps: start, fits: down, stateful: true},
	{name: "graceful", steps: graceful, fits: up, policy: true, stateful: true},
	{name: "hard", steps: hard, fits: up, policy: true, replaces: true},
	{name: "recreate", steps: recreate, fits: func(*place) bool { return true }, replaces: true},
}

// portStealer: a container outside the stack holds a port of this one, and the policy names it.
func portStealer(pl *place) bool { return pl.stealer != "" }

// freePort stops the container that the policy allows to be stopped, then starts ours.
func freePort(pl *place) []Step {
	return append([]Step{{Op: Stop, Target: pl.stealer, ID: pl.stealer, Detail: "it holds a port of this service, and the policy names it", Expect: Expect{Name: pl.stealer, Paused: true}}}, start(pl)...)
}

// mayBuild: the service is built, and the policy allows to build it anew.
func mayBuild(pl *place) bool { return pl.svc.Build != nil && pl.svc.Policy.Remediation.Rebuild }

// rebuild builds the image anew without its cache, from the commit that was deployed where that is known: healing deploys
// nobody's edits.
func rebuild(pl *place) []Step {
	svc, section := *pl.svc, *pl.svc.Build
	section.NoCache, section.Commit = true, pl.commit
	svc.Build = &section
	detail := "without cache"
	if pl.commit != "" {
		detail += fmt.Sprintf(", commit %.12s", pl.commit)
	}
	return []Step{{Op: ImageBuild, Target: svc.Image, Service: &svc, Detail: detail}}
}

// sits: the policy allows to end sessions that have been idle in a transaction for so long, and there are some.
func sits(pl *place) bool { return len(pl.idle) > 0 }

func endSessions(pl *place) []Step {
	c := pl.server
	return []Step{{
		Op: EndSessions, Target: c.Name, ID: c.ID, Service: pl.svc, Sessions: pl.idle, Expect: Expect{Name: c.Name, StartedAt: c.Inspect.State.StartedAt},
		Detail: fmt.Sprintf("%d idle in transaction, the longest for %s", len(pl.idle), pl.idle[0].For.Round(time.Second)),
	}}
}

// sitters are the sessions that may be ended, and the container of the stack that runs their server. The limit is that of
// the service that is not well, else of the database.
func (p *planner) sitters(svc *spec.Service) (*observe.Container, []observe.Session) {
	ill := p.Ill[svc.Name]
	database := p.Stack.Service(ill.Database)
	if database == nil {
		return nil, nil
	}
	limit := svc.Policy.Remediation.Terminate
	if limit == 0 {
		limit = database.Policy.Remediation.Terminate
	}
	c := observe.Current(database, p.Snapshot)
	if limit == 0 || c == nil || !c.Running() {
		return nil, nil
	}
	var idle []observe.Session
	for _, s := range ill.Idle {
		if s.For >= limit {
			idle = append(idle, s)
		}
	}
	return c, idle
}

func down(pl *place) bool {
	return !pl.slot.Container.Running() && pl.slot.Container.Status() != "restarting"
}
func up(pl *place) bool { return !down(pl) }

// graceful is the runbook's procedure 1: the service's own grace when it sets one, else the policy's 60 s.
func graceful(pl *place) []Step {
	steps := restart(pl)
	if pl.svc.StopGrace == 0 {
		grace := pl.svc.Policy.Remediation.StopGrace
		steps[0].Grace, steps[0].Detail = &grace, fmt.Sprintf("%s to end", grace)
	}
	return steps
}

// hard is the runbook's procedure 2: logs and state kept, killed, made anew.
func hard(pl *place) []Step {
	old := pl.slot.Container
	var steps []Step
	if signal := pl.svc.Policy.Remediation.StackDump; signal != "" && pl.hangs {
		// Through the engine a signal would switch its restart policy off; sent inside, it does not.
		steps = append(steps, Step{Op: Dump, Target: old.Name, ID: old.ID, Signal: signal, Detail: "SIG" + strings.TrimPrefix(signal, "SIG")})
	}
	steps = append(steps, Step{Op: Capture, Target: old.Name, ID: old.ID})
	for _, s := range recreate(pl) {
		switch {
		case s.Op == Stop && revived(old): // between two runs there is nothing to kill
			s.Grace = new(time.Duration)
		case s.Op == Stop:
			s.Op = Kill
		}
		steps = append(steps, s)
	}
	return steps
}

// climb plans the next rung for a container that is not well, or says why none is taken.
func (p *planner) climb(pl *place) bool {
	ill := p.illness(pl)
	if why := p.brakes(pl, ill); why != "" {
		p.wait(pl.key, pl.svc.Name, why, time.Time{})
		return false
	}
	tried, policy := pl.climbed(), pl.svc.Policy.Remediation
	steps := p.ladder(pl, ill)
	switch {
	case p.raise(pl, ill):
		return false
	case ill.Repaired:
		p.wait(pl.key, pl.svc.Name, "the engine has started it again", time.Time{})
		return false
	case p.rebuilt(pl, ill, tried), p.rollBack(pl, ill, steps, tried):
		return false
	case len(steps) == 0 || len(tried) >= policy.Attempts:
		return p.exhausted(pl, ill, steps, tried)
	case len(tried) > 0:
		if until := tried[len(tried)-1].At.Add(Pause(policy.Backoff, pl.key, len(tried))); p.Now.Before(until) {
			why := ill.Summary
			if last := tried[len(tried)-1]; last.Outcome == Failure { // such as a build, with the end of its output
				why += fmt.Sprintf("; %s failed: %s", verb(last.Kind), last.Reason)
			}
			p.wait(pl.key, pl.svc.Name, why+"; next try after the backoff", until)
			return false
		}
	}
	return p.take(pl, ill, next(steps, tried))
}

// next is the lowest rung that was not tried yet, else the last one. It is not the rung of the number of attempts: what
// is found out meanwhile, such as that somebody has the port, has remedies of its own.
func next(steps []*rung, tried []Attempt) *rung {
	for _, r := range steps {
		if !r.among(tried) {
			return r
		}
	}
	return steps[len(steps)-1]
}

// among says whether a rung was tried. One that was cut short, with the process or by an engine that did not answer, may
// not have been done: it is tried once more.
func (r *rung) among(tried []Attempt) bool {
	unknown := 0
	for _, a := range tried {
		switch {
		case a.Kind != r.name:
		case a.Outcome == Unknown && unknown == 0:
			unknown++
		default:
			return true
		}
	}
	return false
}

// ladder is the rungs for an illness, lowest first: the remedies of its cause, as far as the policy has them on its
// ladder and the service's data allows them. The last one is taken again while attempts are left.
func (p *planner) ladder(pl *place, ill Illness) []*rung {
	var usable []*rung
	for _, name := range ill.Remedies {
		for i := range rungs {
			r := &rungs[i]
			allowed := !r.policy || slices.Contains(pl.svc.Policy.Remediation.Ladder, name)
			if r.name == name && allowed && r.fits(pl) && (r.stateful || !Stateful(pl.svc)) && !(r.replaces && pl.precious) {
				usable = append(usable, r)
			}
		}
	}
	return usable
}

// take plans one rung.
func (p *planner) take(pl *place, ill Illness, r *rung) bool {
	j := Job{Key: pl.key, Service: pl.svc.Name, Kind: r.name, Cause: ill.Cause + ": " + ill.Summary, Steps: r.steps(pl), Counts: true}
	for _, w := range j.Waits() {
		switch why := p.hopeless(w); {
		case why == "":
			continue
		case p.Stack.Service(w.On) == nil: // a network: nobody is called for that alone
			p.exhaust(j.Key, j.Service, why, time.Time{})
		default:
			p.wait(j.Key, j.Service, why, time.Time{})
		}
		return false
	}
	if p.unsteady(j) {
		return false
	}
	if r.replaces && pl.weighing {
		p.wait(j.Key, j.Service, "what it has written outside its volumes is being measured", time.Time{})
		return false
	}
	if r.once && p.planned(pl.svc.Name) {
		p.wait(j.Key, j.Service, "is done for another replica", time.Time{})
		return false
	}
	p.plan.Jobs = append(p.plan.Jobs, j)
	return r.replaces
}

// raise decides on a higher memory limit, twice what it is and at most what the policy allows, before any restart. It is
// a rung as well, and waits for its verdict: what was killed before the limit was raised says nothing against it.
func (p *planner) raise(pl *place, ill Illness) bool {
	limit, most := pl.svc.Memory(), pl.svc.Policy.Memory.RaiseTo
	if !slices.Contains(ill.Remedies, "raise_memory") || limit == 0 || limit >= most {
		return false
	}
	raised := p.Raised[pl.svc.Name]
	switch until := raised.Add(toHelp); {
	case raised.IsZero(), ill.Killed.After(raised), !p.Now.Before(until):
		p.decide(pl, "raise_memory", strconv.FormatInt(min(2*limit, most), 10), ill)
	case down(pl):
		return false
	default:
		p.wait(pl.key, pl.svc.Name, "its memory limit was raised, which is given time to help: "+ill.Summary, until)
	}
	return true
}

// toHelp is how long a raised memory limit is waited for, unless memory runs out again: figures are a minute old.
const toHelp = 2 * time.Minute

// rollBack decides to go back to the last revision that was proven stable, when a deployment preceded the failure and
// what the cause puts before a rollback has been tried. It is a rung that needs no attempt left.
func (p *planner) rollBack(pl *place, ill Illness, steps []*rung, tried []Attempt) bool {
	back, known := p.Stable[pl.svc.Name]
	turn := slices.Index(ill.Remedies, "rollback")
	if !known || turn < 0 || !mayRollBack(pl.svc) {
		return false
	}
	for _, r := range steps {
		before := slices.Index(ill.Remedies, r.name) < turn
		if before && !r.among(tried) && len(tried) < pl.svc.Policy.Remediation.Attempts {
			return false
		}
	}
	p.decide(pl, "rollback", back.Revision, ill)
	return true
}

// rebuilt decides to run the image that was built anew; the recreation follows from that.
func (p *planner) rebuilt(pl *place, ill Illness, tried []Attempt) bool {
	id := p.Snapshot.Refs[pl.svc.Image]
	if len(tried) == 0 || tried[len(tried)-1].Kind != "rebuild" || tried[len(tried)-1].Outcome != Done || id == "" || id == pl.slot.Container.Inspect.Image {
		return false
	}
	p.decide(pl, "rebuild", id, ill)
	return true
}

// decide records a deliberate divergence; it is not an attempt, and the next pass acts on it.
func (p *planner) decide(pl *place, kind, value string, ill Illness) {
	p.plan.Decisions = append(p.plan.Decisions, Decision{Service: pl.svc.Name, Kind: kind, Value: value, Reason: ill.Cause + ": " + ill.Summary})
	p.wait(pl.key, pl.svc.Name, "decided: "+kind, p.Now)
}

// mayRollBack: never a service that keeps data, nor one whose policy forbids it.
func mayRollBack(svc *spec.Service) bool {
	return svc.Policy.Rollback != "never" && !Stateful(svc) && slices.Contains(svc.Policy.Remediation.Ladder, "rollback")
}

// illness is the diagnosis, or the bare verdict while there is none.
func (p *planner) illness(pl *place) Illness {
	if ill, ok := p.Ill[pl.svc.Name]; ok {
		return ill
	}
	return Illness{Cause: "unknown", Summary: pl.judge.Reason, Remedies: []string{"start", "graceful", "hard", "rollback", "escalate"}}
}

// own says whether a place is Composure's own container, or one that is being made in its stead.
func (p *planner) own(pl *place) bool {
	self := p.Snapshot.Engine.Self
	return self != "" && ((pl.slot.Container != nil && pl.slot.Container.ID == self) || (pl.slot.Replaced != nil && pl.slot.Replaced.ID == self))
}

// ownContainer is why Composure's own container is left alone (safety rule 2).
const ownContainer = "Composure runs in this container and does not touch it; `docker compose up -d` or a composure outside of it does"

// leave holds Composure's own container when it is not what it must be; nothing here mends it.
func (p *planner) leave(pl *place) {
	for _, r := range remedies {
		if r.deploys && !p.Deploy {
			continue
		}
		if cause := r.applies(pl); cause != "" {
			p.final(pl.key, pl.svc.Name, cause+"; "+ownContainer)
			return
		}
	}
	if _, asked := p.Asked[pl.svc.Name]; asked || pl.judge.Verdict == Failed {
		p.final(pl.key, pl.svc.Name, ownContainer)
	}
}

// handsOff returns why a place is left alone whatever its state: paused by hand, or by its operators, who do not mean a recreation
// that was begun.
func (p *planner) handsOff(pl *place) string {
	commanded := p.Deploy && !p.Patient
	if c := pl.slot.Container; !commanded && c != nil && c.Status() == "paused" {
		return "its container was paused by hand; `docker unpause` or `composure reconcile --once` resumes it"
	}
	if old := pl.slot.Replaced; !commanded && old != nil && old.Status() == "paused" {
		return old.Name + ", which is being replaced, was paused by hand; `docker unpause` or `composure reconcile --once` goes on"
	}
	if pl.slot.Replaced != nil {
		return ""
	}
	return p.paused(pl.svc.Name)
}

// paused is why a service, "" for the stack, is to be left alone, or "".
func (p *planner) paused(service string) string { return cmp.Or(p.Paused[""], p.Paused[service]) }

// brakes returns why a restart would be wrong now, or "".
func (p *planner) brakes(pl *place, ill Illness) string {
	switch {
	case p.Brake != "":
		return p.Brake
	case ill.MaskedBy != "":
		return fmt.Sprintf("explained by %s, which is healed first", ill.MaskedBy)
	case ill.Wait != "":
		return "waited for: " + ill.Wait
	case ill.Cause == "stopped" && p.stoppedByHand(pl):
		return "was stopped, and manual_stop is hold; `docker start` or `composure reconcile --once` starts it"
	}
	return ""
}

// How far from an outage of the engine a container may have ended to have ended by it: an engine that is told to end stops what
// it has first, and one that crashed ends at its start what it had left running.
const (
	endsBefore = 30 * time.Second
	endsAfter  = 10 * time.Second
)

// stoppedByHand says whether the policy holds a container that is down for having been stopped by a person. What an outage of the
// engine has ended looks the same, but for when it was. What is down in the middle of a recreation was stopped by that, whose answer may
// have been lost.
func (p *planner) stoppedByHand(pl *place) bool {
	c := pl.slot.Container
	if p.Stack.Policy.ManualStop != "hold" || c == nil || pl.slot.Replaced != nil || !down(pl) || c.Status() != "exited" {
		return false
	}
	end := c.FinishedAt()
	if end.IsZero() { // it was lost with the power; a stop by hand is stamped
		return false
	}
	return !slices.ContainsFunc(p.Outages, func(away Span) bool {
		return !end.Before(away.Began.Add(-endsBefore)) && !end.After(away.Ended.Add(endsAfter))
	})
}

// climbed returns the attempts on the ladder since the service was last stable. One that the engine did late ended when it
// took effect.
func (pl *place) climbed() []Attempt {
	var tried []Attempt
	for _, a := range pl.history {
		if a.Counts && a.Outcome != Stale {
			tried = append(tried, a)
		}
	}
	if n := len(tried) - 1; n >= 0 && pl.late(tried[n]) {
		tried[n].At = pl.slot.Container.StartedAt()
	}
	return tried
}

// late says whether the engine did an attempt that it had not answered after all: the container started later, and not by its
// restart policy.
func (pl *place) late(a Attempt) bool {
	c := pl.slot.Container
	return a.Outcome == Unknown && c != nil && c.Inspect.RestartCount == 0 && c.StartedAt().After(a.At)
}

// Pause is the backoff before the next try after n, with a jitter of a fifth that depends on the subject alone, so that
// services that failed together are not restarted together and the same history gives the same plan.
func Pause(b spec.Backoff, subject string, n int) time.Duration {
	h := fnv.New32a()
	fmt.Fprintf(h, "%s/%d", subject, n)
	jitter := float64(h.Sum32()%1000)/1000 - 0.5
	return time.Duration(float64(exponential(b.Initial, b.Factor, b.Max, n)) * (1 + jitter*0.4))
}

// Stateful says whether a service keeps data: it has a named volume, or its image is a database, unless its policy says
// otherwise. Such a service gets graceful rungs only.
func Stateful(svc *spec.Service) bool {
	if svc.Policy.Stateful != nil {
		return *svc.Policy.Stateful
	}
	return len(svc.VolumeKeys) > 0 || IsDatabase(svc.Image)
}

// IsDatabase says whether an image is one of the usual databases, by its name.
func IsDatabase(image string) bool { return database.MatchString(image) }

// database recognises the images of the usual databases by their last name.
var database = regexp.MustCompile(`(^|/)(postgres|postgis|timescaledb|mysql|mariadb|percona|mongo|redis|valkey|elasticsearch|opensearch|cassandra|clickhouse|influxdb|etcd|rabbitmq|kafka|minio)[^/]*$`)
