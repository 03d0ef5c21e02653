package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"

	"composure/controller/drift"
	"composure/controller/observe"
	"composure/spec"
)

// remedy is one way to bring a slot closer to what it must be.
type remedy struct {
	name     string
	applies  func(pl *place) string // the cause, or "" when it does not fit
	steps    func(pl *place) []Step
	tries    int  // failed attempts before it is held; 0: as many as the plan allows
	replaces bool // the container goes away: other replicas wait for it
	settles  bool // it only ends what is decided, takes down nothing that works, and waits for no other replica
	deploys  bool // only the deployment verb does it; healing climbs the ladder instead
	corrects bool // it undoes what differs: what somebody else has just made may be what the file says, which is read now
	restores bool // healing does it too when the engine has just come back
	perSpec  bool // an attempt counts for the exact desired container only, so that an edited file is tried anew
}

// What ends a recreation that was begun: by the old container, by the new one once it is proven, or by going on.
var (
	goBack = remedy{name: "undo", applies: undoes, steps: undo, tries: 5, replaces: true, settles: true, perSpec: true}
	proven = remedy{name: "finish", applies: finishes, steps: finish, tries: 5, replaces: true, settles: true, perSpec: true}
	goOn   = remedy{name: "recreate", applies: continues, steps: recreate, tries: 5, replaces: true, perSpec: true}
)

// remedies are tried from the top; the first that applies is planned. What was begun is ended first (undo, finish,
// continue), with more tries than what is begun: half done, nothing may run at all. Then what cannot be repaired in place
// is made anew, then come the cheap repairs.
var remedies = []remedy{
	goBack,
	{name: "revert", applies: outdated, steps: undo, tries: 5, replaces: true},
	proven,
	goOn,
	{name: "create", applies: missing, steps: create, perSpec: true},
	{name: "recreate", applies: recreates, steps: recreate, replaces: true, corrects: true, perSpec: true},
	{name: "rename", applies: misnamed, steps: rename},
	{name: "unpause", applies: paused, steps: unpause, deploys: true},
	{name: "repair", applies: differs, steps: repair, corrects: true, perSpec: true},
	{name: "start", applies: unstarted, steps: start},
	{name: "start", applies: stopped, steps: start, deploys: true, restores: true},
	{name: "restart", applies: severed, steps: restart},
	{name: "restart", applies: ails, steps: restart, deploys: true},
}

// Remedies are the names of all that is done to a container: the remedies, and the rungs of the ladder.
func Remedies() []string {
	var names []string
	for _, r := range remedies {
		names = append(names, r.name)
	}
	for _, r := range rungs {
		names = append(names, r.name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// kind identifies an attempt: the remedy, and the desired container where it matters.
func (r remedy) kind(pl *place) string {
	if r.perSpec {
		return r.name + ":" + pl.digest()
	}
	return r.name
}

// missing: the slot is empty.
func missing(pl *place) string {
	if pl.slot.Container != nil {
		return ""
	}
	return "does not exist"
}

func create(pl *place) []Step {
	c := pl.desired
	return []Step{
		{Op: Create, Target: c.Name, Create: &c, Waits: pl.needs},
		{Op: Start, Target: c.Name, Waits: pl.waits},
	}
}

// misnamed: renamed by hand, or left by a recreation that was cut short after its old container had gone.
func misnamed(pl *place) string {
	if pl.slot.Replaced != nil || pl.slot.Container.Name == pl.desired.Name {
		return ""
	}
	if holder := pl.holder(); holder != nil && !holder.Dead() { // a leftover, which is reported: it has to go first
		return ""
	}
	return "is called " + pl.slot.Container.Name
}

// nameless is why a deployment cannot give a container its name, or "": the container of another service has it, which works
// and is not touched for that. What an interrupted recreation left is told of by extras.
func (p *planner) nameless(pl *place) string {
	c := pl.slot.Container
	if !p.Deploy || c == nil || pl.slot.Replaced != nil || c.Name == pl.desired.Name {
		return ""
	}
	if holder := pl.holder(); holder != nil && holder.Service != pl.svc.Name && p.Stack.Service(holder.Service) != nil {
		return fmt.Sprintf("is called %s, and %s, a container of %s, has its name; rename one of them by hand", c.Name, holder.Name, holder.Service)
	}
	return ""
}

func rename(pl *place) []Step {
	var steps []Step
	if holder := pl.holder(); holder != nil {
		steps = append(steps, pl.rename(holder.ID, holder.Name, pl.aside(holder)))
	}
	return append(steps, pl.rename(pl.slot.Container.ID, pl.slot.Container.Name, pl.desired.Name))
}

// holder is the container of the stack that has the name which the slot's is to have, or nil.
func (pl *place) holder() *observe.Container {
	for i, other := range pl.snap.Containers {
		if other.Name == pl.desired.Name {
			return &pl.snap.Containers[i]
		}
	}
	return nil
}

// paused by hand: the deployment verb resumes it, healing leaves it alone (safety rule 5).
func paused(pl *place) string {
	if pl.deploy && pl.slot.Container.Status() == "paused" {
		return "is paused"
	}
	return ""
}

func unpause(pl *place) []Step {
	c := pl.slot.Container
	return []Step{{Op: Unpause, Target: c.Name, ID: c.ID, Expect: Expect{Name: c.Name, StartedAt: c.Inspect.State.StartedAt}}}
}

// stopped: meant to run, complete in every field, and not running. A container whose start failed is started again
// only by a new run.
func stopped(pl *place) string {
	c := pl.slot.Container
	status := c.Status()
	if c.Running() || status == "restarting" || status == "removing" || status == "dead" {
		return ""
	}
	if pl.judge.Verdict == Recovered {
		return ""
	}
	if status == "created" {
		return "was never started"
	}
	if pl.begun() {
		return ""
	}
	return "is " + status + ", " + pl.judge.Reason
}

// settling is how long whoever created a container may take to start it: docker compose creates all of them first.
const settling = time.Minute

// unstarted: created, and the start never came about, because the process that wanted it died or the engine refused. A
// start that failed in the container leaves its error there, and is for the ladder.
func unstarted(pl *place) string {
	c := pl.slot.Container
	if pl.deploy || pl.slot.Replaced != nil || c.Status() != "created" || c.Inspect.State.Error != "" {
		return ""
	}
	if c.Created().IsZero() || pl.justMade() && !pl.ownCreation() {
		return ""
	}
	return "was never started"
}

// justMade says whether the container was created a moment ago. What was stamped later than that was so by a clock that was set back since.
func (pl *place) justMade() bool {
	created := pl.slot.Container.Created()
	return pl.snap.At.Before(created.Add(settling)) && !created.After(pl.snap.At.Add(settling))
}

// ownCreation says whether the container is one that this process has created, as far as it remembers.
func (pl *place) ownCreation() bool {
	created := pl.slot.Container.Created()
	return slices.ContainsFunc(pl.history, func(a Attempt) bool { return verb(a.Kind) == "create" && !a.At.Before(created) })
}

// madeOutside says whether somebody else has just made the container as something else than what was applied, such as by `docker
// compose up` after an edit of the file. What was decided since is no edit, and is not waited for.
func (p *planner) madeOutside(pl *place) bool {
	c := pl.slot.Container
	decided := p.Returned[pl.svc.Name].After(c.Created()) || p.Raised[pl.svc.Name].After(c.Created())
	return !decided && !p.Deploy && p.Asked == nil && pl.justMade() && !pl.ownCreation() && c.Label(spec.LabelRecreates) == "" &&
		!slices.Contains(pl.desired.Hashes, c.Label(spec.LabelConfigHash))
}

func start(pl *place) []Step {
	c := pl.slot.Container
	return []Step{{Op: Start, Target: c.Name, ID: c.ID, Waits: slices.Concat(pl.waits, pl.lacks), Expect: Expect{Name: c.Name, StartedAt: c.Inspect.State.StartedAt, Stopped: true}}}
}

// ails: runs, and does not do its work, or carries something that only a start picks up.
func ails(pl *place) string {
	c := pl.slot.Container
	if !c.Running() || pl.begun() {
		return ""
	}
	if drifts := pl.all(drift.RemedyRestart); len(drifts) > 0 {
		return because(drifts)
	}
	if pl.renewed != "" {
		return "depends on " + pl.renewed + " with restart: true, which was made anew"
	}
	if c.Health() == "unhealthy" && pl.judge.Verdict == Failed {
		return pl.judge.Reason
	}
	return ""
}

// severed: it runs with what is left of a network whose owner was started again. No healthcheck need tell, and nothing but
// a restart helps: so healing does it, too, once the owner has proven that it stays. A deployment does it as any restart.
func severed(pl *place) string {
	if pl.deploy {
		return ""
	}
	return cutOff(pl)
}

func cutOff(pl *place) string {
	if pl.slot.Replaced != nil || !pl.joins {
		return ""
	}
	for _, d := range pl.all(drift.RemedyRestart, func(d drift.Drift) bool { return d.Field == drift.FieldSevered }) {
		return d.Cause
	}
	return ""
}

func restart(pl *place) []Step {
	c := pl.slot.Container
	return []Step{{Op: Restart, Target: c.Name, ID: c.ID, Waits: pl.waits, Expect: Expect{Name: c.Name, StartedAt: c.Inspect.State.StartedAt, Paused: c.Inspect.State.Paused}}}
}

// differs: in fields that the engine changes in place.
func differs(pl *place) string {
	return because(pl.all(drift.RemedyInPlace, repairable, pl.attachable))
}

// repairable says whether repair has a step for the drift: the others of its class have a remedy of their own.
func repairable(d drift.Drift) bool {
	return strings.HasPrefix(d.Field, "networks.") || drift.Updatable(d.Field)
}

// attachable says whether a drift is not about a network that does not exist, to which nothing can be attached.
func (pl *place) attachable(d drift.Drift) bool {
	network := exists("network " + drift.NetworkOf(d))
	return !slices.Contains(pl.lacks, network)
}

// repair updates limits and restart policy with one call, then attaches and detaches networks.
func repair(pl *place) []Step {
	c := pl.slot.Container
	expect := Expect{Name: c.Name}
	var steps []Step
	var updates []string
	edited := false
	touched := map[string]bool{}
	for _, d := range pl.all(drift.RemedyInPlace, repairable, pl.attachable) {
		if drift.Updatable(d.Field) {
			updates = append(updates, d.Field+" "+d.Desired)
			edited = edited || d.Origin != drift.OriginLive
			continue
		}
		if name := drift.NetworkOf(d); name != "" && !touched[name] {
			touched[name] = true
			steps = append(steps, pl.reconnect(name, expect)...)
		}
	}
	if edited { // labels cannot change: nobody is to be surprised by what follows from that
		updates = append(updates, "its label keeps the hash of before, docker compose up would recreate it")
	}
	if len(updates) > 0 {
		policy := pl.desired.Host.RestartPolicy
		if policy.Name == "" { // to an update that means "as it is", where to a create it meant "no"
			policy.Name = container.RestartPolicyDisabled
		}
		update := Step{Op: Update, Target: c.Name, ID: c.ID, Detail: strings.Join(updates, ", "), Expect: expect,
			Update: &container.UpdateConfig{Resources: pl.desired.Host.Resources, RestartPolicy: policy}}
		steps = append([]Step{update}, steps...)
	}
	return steps
}

// reconnect attaches a container to a network as the file says, after detaching it where it is attached otherwise.
func (pl *place) reconnect(network string, expect Expect) []Step {
	c := pl.slot.Container
	var steps []Step
	if _, attached := c.Inspect.NetworkSettings.Networks[network]; attached {
		steps = append(steps, Step{Op: Disconnect, Target: c.Name, ID: c.ID, To: network, Expect: expect})
	}
	for _, e := range pl.desired.Networks {
		if e.Network == network {
			detail := ""
			if e.Settings != nil && len(e.Settings.Aliases) > 0 {
				detail = "aliases " + strings.Join(e.Settings.Aliases, ", ")
			}
			steps = append(steps, Step{Op: Connect, Target: c.Name, ID: c.ID, To: network, Detail: detail, Endpoint: e.Settings, Expect: expect})
		}
	}
	return steps
}

// rename is the step, with the name it starts from checked.
func (pl *place) rename(id, from, to string) Step {
	return Step{Op: Rename, Target: from, ID: id, To: to, Expect: Expect{Name: from}}
}

// recreates: differs in a field that only a new container can have.
func recreates(pl *place) string {
	if pl.slot.Replaced != nil { // one recreation is ended before the next
		return ""
	}
	drifts := pl.all(drift.RemedyRecreate)
	if len(drifts) == 0 {
		return ""
	}
	return fmt.Sprintf("differs in %s", because(drifts))
}
