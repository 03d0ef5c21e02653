package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"

	"composure/controller/drift"
	"composure/controller/observe"
	"composure/spec"
)

// There is one recreation, for deployment and for healing:
//
//	create name.<digest> with the old one's volumes → old one's restart policy to no → rename old aside → rename new →
//	stop old → start new → (verified) remove old
//
// Between the stop and the start stands nothing: that is the outage. Names can change before it, since other containers
// find a service by its aliases. Every step is planned from what is observed, so a recreation that was cut short
// anywhere goes on where it stands, or is undone. The old container carries the way back until the new one is proven:
// the policy it had and whether it ran stand in a label of the new one.

// labelRestore of a new container is what undo gives back to the old one: "<restart policy>[:<retries>] <status>".
const labelRestore = spec.LabelOwnPrefix + "restore"

// recreate returns the steps that are left, in any state from "nothing done" to "only the start is missing".
func recreate(pl *place) []Step {
	old, fresh := pl.slot.Container, (*observe.Container)(nil)
	if pl.slot.Replaced != nil {
		old, fresh = pl.slot.Replaced, pl.slot.Container
	}
	name, id := pl.temporary(), ""
	var steps []Step
	if fresh == nil {
		steps = append(steps, Step{Op: Create, Target: name, Create: pl.successor(old), Detail: "with the volumes of " + old.Name, Waits: pl.needs})
	} else {
		name, id = fresh.Name, fresh.ID
	}
	created := len(steps)
	steps = append(steps, pl.disarm(old)...)
	looping := revived(old)
	if looping {
		steps = append(steps, stop(old, old.Name))
	}
	aside := old.Name
	if aside == pl.desired.Name {
		aside = pl.aside(old)
		steps = append(steps, pl.rename(old.ID, old.Name, aside))
	}
	if name != pl.desired.Name {
		steps = append(steps, pl.rename(id, name, pl.desired.Name))
	}
	if !looping {
		steps = append(steps, halt(old, aside)...)
	}
	steps = append(steps, Step{Op: Start, Target: pl.desired.Name, ID: id, Beside: old.ID, Expect: Expect{Name: pl.desired.Name, Stopped: true}})
	steps[created].Waits = pl.waits // what works is not touched before what the new one depends on is there
	return steps
}

// disarm keeps the old container from coming back by itself: a daemon restart would revive it beside the new one.
func (pl *place) disarm(old *observe.Container) []Step {
	if policy := old.Inspect.HostConfig.RestartPolicy.Name; old.Dead() || policy == "" || policy == container.RestartPolicyDisabled {
		return nil
	}
	return []Step{{Op: Update, Target: old.Name, ID: old.ID, Detail: "restart no", Expect: Expect{Name: old.Name}, Update: restartNever()}}
}

// halt stops a container that is not stopped, by the name it has by then.
func halt(c *observe.Container, name string) []Step {
	s := c.Inspect.State
	if !s.Running && !s.Restarting && !s.Paused {
		return nil
	}
	return []Step{stop(c, name)}
}

// stop ends the run that was seen, or a later one where the engine begins one after the other: one that a person has begun meanwhile
// was not looked at.
func stop(c *observe.Container, name string) Step {
	s := c.Inspect.State
	return Step{Op: Stop, Target: name, ID: c.ID, Expect: Expect{Name: name, StartedAt: s.StartedAt, Revived: s.Restarting || revived(c), Paused: s.Paused}}
}

// revived says whether the engine restarts a container again and again. Between two runs it looks ended, and cannot be
// renamed: its network is gone. Stopping it ends that.
func revived(c *observe.Container) bool {
	policy := c.Inspect.HostConfig.RestartPolicy.Name
	return !c.Dead() && c.Inspect.RestartCount > 0 && policy != "" && policy != container.RestartPolicyDisabled
}

// continues: the new container exists beside the old one and was not started yet.
func continues(pl *place) string {
	if pl.slot.Replaced == nil || pl.slot.Container.Status() != "created" {
		return ""
	}
	return "a recreation was begun"
}

// undoes: the new container failed, or the attempt did. One that somebody has paused has not failed.
func undoes(pl *place) string {
	if pl.slot.Replaced == nil || pl.slot.Container.Status() == "paused" || pl.stranded() != "" {
		return ""
	}
	if pl.judge.Verdict == Failed {
		return "the new container failed: " + pl.judge.Reason
	}
	if pl.slot.Container.Status() != "created" {
		return ""
	}
	created := pl.slot.Container.Created()
	for i := len(pl.history) - 1; i >= 0; i-- {
		a := pl.history[i]
		if verb(a.Kind) == "recreate" && a.Outcome == Failure && !a.At.Before(created) {
			return "the recreation failed: " + a.Reason
		}
	}
	return ""
}

// undo goes back to the old container at once: the new one's log is kept, it is stopped, and the old one, when it ran,
// runs again; then it gets back its name and its policy, and the new one is removed, its volumes are not.
func undo(pl *place) []Step {
	old, fresh := pl.slot.Replaced, pl.slot.Container
	policy, ran := restore(fresh)
	var steps []Step
	if fresh.Status() != "created" {
		steps = append(steps, Step{Op: Capture, Target: fresh.Name, ID: fresh.ID})
	}
	name := fresh.Name
	steps = append(steps, pl.disarm(fresh)...)
	steps = append(steps, halt(fresh, name)...)
	if ran && !old.Running() && old.Status() != "restarting" { // that is started by the engine
		steps = append(steps, Step{Op: Start, Target: old.Name, ID: old.ID, Beside: fresh.ID, Expect: Expect{Name: old.Name, Stopped: true}})
	}
	if name == pl.desired.Name {
		name = pl.desired.Name + drift.Failed(fresh.ID)
		steps = append(steps, pl.rename(fresh.ID, fresh.Name, name))
	}
	if old.Name != pl.desired.Name {
		steps = append(steps, pl.rename(old.ID, old.Name, pl.desired.Name))
	}
	steps = append(steps, Step{Op: Update, Target: pl.desired.Name, ID: old.ID, Detail: "restart " + policyText(policy), Update: &container.UpdateConfig{RestartPolicy: policy}})
	return append(steps, Step{Op: Remove, Target: name, ID: fresh.ID, Detail: "its volumes stay", Expect: Expect{Name: name, Stopped: true}})
}

// outdated: what the new container was made for is not wanted any more, as when a deployment was cut short and healing
// restores what was applied before, or the file was corrected. The old one is still there: it is taken. One that has never
// run goes for anything that it lacks: its creation may have been cut short as well, before its files and networks.
func outdated(pl *place) string {
	if pl.slot.Replaced == nil || pl.stranded() != "" {
		return ""
	}
	drifts := pl.all(drift.RemedyRecreate)
	if pl.slot.Container.Status() == "created" {
		drifts = append(drifts, pl.all(drift.RemedyInPlace, repairable)...)
	}
	if len(drifts) > 0 {
		return "the new container is not what is wanted any more: " + because(drifts)
	}
	return ""
}

// stranded is why the old container of a recreation is no way back, or "": the engine refused to start it, since the container
// whose namespaces it shares is gone for good.
func (pl *place) stranded() string {
	old := pl.slot.Replaced
	if old == nil || old.Running() {
		return ""
	}
	host, said := old.Inspect.HostConfig, old.Inspect.State.Error
	for _, mode := range []string{string(host.NetworkMode), string(host.IpcMode), string(host.PidMode)} {
		owner, shares := strings.CutPrefix(mode, "container:")
		there := slices.ContainsFunc(pl.snap.Containers, func(c observe.Container) bool { return c.ID == owner })
		if shares && owner != "" && !there && strings.Contains(said, owner) {
			return "the old container cannot run again: " + said
		}
	}
	return ""
}

// finishes: the new container is proven, or ended as it should; or there is no way back, and what becomes of the new one is no
// matter of the recreation any more.
func finishes(pl *place) string {
	if pl.slot.Replaced != nil && pl.judge.Verdict == Recovered {
		return "the new container is " + pl.judge.Reason
	}
	return pl.stranded()
}

func finish(pl *place) []Step {
	old, fresh := pl.slot.Replaced, pl.slot.Container
	steps := append(pl.disarm(old), halt(old, old.Name)...)
	name := old.Name
	if name == pl.desired.Name {
		name = pl.aside(old)
		steps = append(steps, pl.rename(old.ID, old.Name, name))
	}
	if fresh.Name != pl.desired.Name {
		steps = append(steps, pl.rename(fresh.ID, fresh.Name, pl.desired.Name))
	}
	return append(steps, Step{Op: Remove, Target: name, ID: old.ID, Detail: "its volumes stay", Expect: Expect{Name: name, Stopped: true}})
}

// temporary is the name of a new container until the old one has given up its own: the same for the same desired
// container, so that a create that was answered too late is found and not repeated.
func (pl *place) temporary() string { return pl.desired.Name + "." + pl.digest() }

// aside is the name of an old container while it waits for the verdict on the new one.
func (pl *place) aside(old *observe.Container) string { return pl.desired.Name + observe.Aside(old.ID) }

// successor is the create request of the new container, with the labels that tie it to the old one.
func (pl *place) successor(old *observe.Container) *spec.Container {
	c := pl.desired
	config := *c.Config
	config.Labels = make(map[string]string, len(c.Config.Labels)+3)
	for k, v := range c.Config.Labels {
		config.Labels[k] = v
	}
	config.Labels[spec.LabelRecreates] = old.ID
	config.Labels[spec.LabelReplace] = old.Name
	config.Labels[labelRestore] = policyText(old.Inspect.HostConfig.RestartPolicy) + " " + old.Status()
	c.Config = &config
	c.Name = pl.temporary()
	return &c
}

// restore reads what the old container is given back.
func restore(fresh *observe.Container) (policy container.RestartPolicy, ran bool) {
	text, status, _ := strings.Cut(fresh.Label(labelRestore), " ")
	mode, retries, _ := strings.Cut(text, ":")
	policy.Name = container.RestartPolicyMode(mode)
	if retries != "" {
		fmt.Sscan(retries, &policy.MaximumRetryCount)
	}
	return policy, status == "running" || status == "restarting" || status == "paused"
}

func policyText(p container.RestartPolicy) string {
	switch {
	case p.Name == "":
		return string(container.RestartPolicyDisabled)
	case p.MaximumRetryCount > 0:
		return fmt.Sprintf("%s:%d", p.Name, p.MaximumRetryCount)
	}
	return string(p.Name)
}

func restartNever() *container.UpdateConfig {
	return &container.UpdateConfig{RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled}}
}
