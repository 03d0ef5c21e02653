package plan

import (
	"fmt"
	"maps"
	"slices"

	"composure/controller/drift"
	"composure/controller/observe"
	"composure/spec"
)

// A command may be about some services only. What depends on one of them with `restart: true` follows, as the compose
// specification says of every restart by a command: all that share a namespace do so without saying it, and would be left without
// a network. It is restarted, or made anew where the container whose namespace it shares was; nothing else is done to it, and what
// is down stays down.

// Followers are the services that follow when these are restarted or made anew by a command, in no order.
func Followers(stack *spec.Stack, services map[string]bool) map[string]bool {
	followers := map[string]bool{}
	for _, svc := range Order(stack) { // dependencies first
		for _, d := range svc.DependsOn {
			if !services[svc.Name] && d.Restart && (services[d.Service] || followers[d.Service]) {
				followers[svc.Name] = true
			}
		}
	}
	return followers
}

// Uprooted are the services, and those that follow them, whose containers are made anew when these are: those that share a namespace.
func Uprooted(stack *spec.Stack, services map[string]bool) map[string]bool {
	anew := maps.Clone(services)
	followers := Followers(stack, services)
	for _, svc := range Order(stack) {
		for _, owner := range svc.Namespaces {
			if followers[svc.Name] && anew[owner] {
				anew[svc.Name] = true
			}
		}
	}
	return anew
}

// following are the remedies of a service that follows.
var following = []remedy{
	goBack,
	proven,
	goOn,
	{name: "recreate", applies: uprooted, steps: recreate, replaces: true, perSpec: true},
	{name: "restart", applies: cutOff, steps: restart},
	{name: "restart", applies: renewed, steps: restart},
}

// follow plans a service that follows.
func (p *planner) follow(svc *spec.Service) {
	moving := ""
	for _, slot := range observe.Slots(svc, p.Snapshot) {
		c := slot.Container
		if slot.Surplus || c == nil || slot.Replaced == nil && !c.Running() || !acts(svc) {
			continue
		}
		pl := p.place(svc, slot, nil)
		if pl == nil {
			continue
		}
		pl.follows, pl.moving = true, moving
		if p.Deploy && uprooted(pl) != "" && slices.ContainsFunc(pl.all(drift.RemedyRecreate), func(d drift.Drift) bool { return !drift.Uprooted(d) }) {
			p.final(pl.key, svc.Name, fmt.Sprintf("%s; it was edited in the file, too: `composure reconcile --once %s` deploys it", uprooted(pl), svc.Name))
			continue
		}
		if p.slot(pl) {
			moving = pl.key
		}
	}
}

// keepsUp waits for what was done to a service that follows, and for nothing else. It says whether its container is being replaced.
func (p *planner) keepsUp(pl *place) bool {
	if !slices.ContainsFunc(pl.history, func(a Attempt) bool { return a.Outcome == Done }) {
		return false
	}
	switch pl.judge.Verdict {
	case Pending:
		p.wait(pl.key, pl.svc.Name, pl.judge.Reason, pl.judge.Until)
	case Failed:
		p.final(pl.key, pl.svc.Name, pl.judge.Reason)
	}
	return pl.slot.Replaced != nil
}

// uprooted: the container whose namespace it shares was made anew, and that one has proven that it stays.
func uprooted(pl *place) string {
	if pl.slot.Replaced != nil || !pl.joins {
		return ""
	}
	for _, d := range pl.all(drift.RemedyRecreate, drift.Uprooted) {
		return d.Field + ": " + d.Cause
	}
	return ""
}

// renewed: this run has restarted a dependency, or made it anew, after which it is to be restarted.
func renewed(pl *place) string {
	if pl.renewed == "" || !pl.joins || !pl.slot.Container.Running() {
		return ""
	}
	return "depends on " + pl.renewed + " with restart: true, which was started again"
}
