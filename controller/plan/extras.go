package plan

import (
	"fmt"
	"slices"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/go-connections/nat"

	"composure/controller/drift"
	"composure/controller/observe"
	"composure/spec"
)

// extras plans orphans and surplus replicas: reported, removed only when asked to.
func (p *planner) extras() {
	for _, d := range p.Drift.Drifts {
		if d.Field != drift.FieldOrphan && d.Field != drift.FieldSurplus && (d.Field != drift.FieldLeftover || d.Remedy != drift.RemedyReport) {
			continue
		}
		if d.Service != "" && p.spares(d.Service) {
			continue
		}
		for _, c := range p.Snapshot.Containers {
			if c.Name == d.Container {
				p.extra(d, c)
			}
		}
	}
}

// spares says whether nothing is to be done about a service: it was not asked for, or its policy is to leave it alone.
func (p *planner) spares(service string) bool {
	svc := p.Stack.Service(service)
	return p.Services != nil && !p.Services[service] || svc != nil && !acts(svc)
}

// extra plans the removal of one container that has no place: when it was asked for, and by itself what never ran and only
// a recreation of ours can have wanted, and what is dead, since nothing is left of it that could be kept.
func (p *planner) extra(d drift.Drift, c observe.Container) {
	key := "container/" + d.Container
	if c.ID == p.Snapshot.Engine.Self {
		p.plan.Notes = append(p.plan.Notes, d.Container+": "+ownContainer)
		return
	}
	nobodys := d.Field == drift.FieldLeftover && (drift.Abandoned(c, p.Snapshot) || c.Dead())
	if !p.Prune && !nobodys {
		p.plan.Notes = append(p.plan.Notes, d.Container+": "+d.Cause)
		return
	}
	if until := c.Created().Add(settling); !nobodys && !p.Deploy && p.Now.Before(until) { // somebody has just made it: the file may say so by now
		p.wait(key, "", "was made a moment ago by somebody else", until)
		return
	}
	if why := p.paused(d.Service); why != "" {
		p.plan.Notes = append(p.plan.Notes, d.Container+": "+why)
		return
	}
	p.going = append(p.going, c)
	if doing := p.Busy[key]; doing != "" {
		p.wait(key, "", "in progress: "+doing, time.Time{})
		return
	}
	steps := append(halt(&c, c.Name), Step{Op: Remove, Target: d.Container, ID: c.ID, Detail: "its volumes stay", Expect: Expect{Name: d.Container, Stopped: true}})
	p.try(Job{Key: key, Kind: "remove", Cause: d.Cause, Steps: steps}, 0)
	if failures, last := p.failures(key, "remove"); failures >= max(p.Tries, 1) {
		p.blocked["container "+c.Name] = last.Reason
	}
}

// yields are the conditions that containers which are being removed have gone, as far as this one needs what they hold: a
// name, a port, an address or a volume. A service that got another name in the file is such a case.
func (p *planner) yields(svc *spec.Service, desired spec.Container) []Wait {
	var waits []Wait
	for i := range p.going {
		if c := &p.going[i]; c.Name == desired.Name || holdsPort(c, desired) || holdsAddress(c, desired) || len(sharedVolumes(c, svc, p.Stack)) > 0 {
			waits = append(waits, gone(*c))
		}
	}
	return waits
}

// gone is the condition that a container has been removed.
func gone(c observe.Container) Wait {
	return Wait{On: "container " + c.Name, Text: c.Name + " to be removed"}
}

// endangers is why nothing of a service may be started beside what runs already, or "": two databases on one volume destroy it.
// It is a process that the engine has lost, or an orphan: what becomes of a service that gets another name in the file.
func (p *planner) endangers(pl *place) string {
	for _, c := range []*observe.Container{pl.slot.Container, pl.slot.Replaced} {
		if c != nil && len(c.Lost) > 0 {
			return c.WhyLost()
		}
	}
	if pl.slot.Container != nil || len(p.Snapshot.Of(pl.svc.Name)) > 0 || !Stateful(pl.svc) {
		return ""
	}
	for i := range p.Snapshot.Containers {
		c := &p.Snapshot.Containers[i]
		orphan := !c.OneOff && p.Stack.Service(c.Service) == nil
		if volumes := sharedVolumes(c, pl.svc, p.Stack); orphan && c.Running() && len(volumes) > 0 && sameWork(c, pl) && !p.leaves(c) {
			if p.Stack.Inactive[c.Service] {
				return fmt.Sprintf("%s runs on its volume %s, and the profile of service %q is not active; stop it by hand, or activate the profile", c.Name, volumes[0], c.Service)
			}
			return fmt.Sprintf("%s runs on its volume %s, and the file has no service %q any more; remove it with --prune (volumes stay), or by hand, or put the name back",
				c.Name, volumes[0], c.Service)
		}
	}
	return ""
}

// sameWork says whether a container does what the place is for: it has the same image, or both are databases.
func sameWork(c *observe.Container, pl *place) bool {
	return c.Inspect.Config.Image == pl.desired.Config.Image || IsDatabase(c.Inspect.Config.Image) && IsDatabase(pl.desired.Config.Image)
}

// leaves says whether a container is being removed.
func (p *planner) leaves(c *observe.Container) bool {
	return slices.ContainsFunc(p.going, func(g observe.Container) bool { return g.ID == c.ID })
}

// holdsPort says whether a container publishes a port of the host that the desired one is to publish.
func holdsPort(c *observe.Container, desired spec.Container) bool {
	for port, wanted := range desired.Host.PortBindings {
		for other, held := range c.Inspect.HostConfig.PortBindings {
			if port.Proto() == other.Proto() && overlap(wanted, held) {
				return true
			}
		}
	}
	return false
}

func overlap(a, b []nat.PortBinding) bool {
	everywhere := func(ip string) bool { return ip == "" || ip == "0.0.0.0" || ip == "::" }
	for _, x := range a {
		for _, y := range b {
			fixed := x.HostPort != "" && x.HostPort != "0"
			if fixed && x.HostPort == y.HostPort && (x.HostIP == y.HostIP || everywhere(x.HostIP) || everywhere(y.HostIP)) {
				return true
			}
		}
	}
	return false
}

// holdsAddress says whether a container has a fixed address that the desired one is to have.
func holdsAddress(c *observe.Container, desired spec.Container) bool {
	for _, e := range desired.Networks {
		held := c.Inspect.NetworkSettings.Networks[e.Network]
		if held == nil || held.IPAMConfig == nil || e.Settings == nil || e.Settings.IPAMConfig == nil {
			continue
		}
		x, y := e.Settings.IPAMConfig, held.IPAMConfig
		if x.IPv4Address != "" && x.IPv4Address == y.IPv4Address || x.IPv6Address != "" && x.IPv6Address == y.IPv6Address {
			return true
		}
	}
	return false
}

// sharedVolumes are the named volumes of a service that a container writes to.
func sharedVolumes(c *observe.Container, svc *spec.Service, stack *spec.Stack) []string {
	var names []string
	for _, v := range stack.Volumes {
		writes := slices.ContainsFunc(c.Inspect.Mounts, func(m container.MountPoint) bool { return m.Name == v.Name && m.RW })
		if writes && slices.Contains(svc.VolumeKeys, v.Key) {
			names = append(names, v.Name)
		}
	}
	return names
}
