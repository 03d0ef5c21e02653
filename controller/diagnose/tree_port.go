package diagnose

import (
	"fmt"
	"strings"

	"composure/controller/observe"
)

// askPort is step 3 of the runbook: listening, mapped, reachable.
func askPort(p *patient) Step {
	if !p.live() {
		return p.idle()
	}
	if p.evidence == nil && len(p.svc.Ports) == 0 {
		return unasked("it publishes no port")
	}
	if p.evidence == nil || p.evidence.Ports == nil {
		if p.evidence != nil && len(p.svc.Ports) == 0 {
			return unasked("it publishes no port, and no probe names one")
		}
		return unknown("its ports", p.without(observe.NeedPorts))
	}
	s := Step{Answer: Unclear, Checked: "each port: listening, mapped, reachable from the host and from another container"}
	closed, open := 0, 0
	for _, check := range p.evidence.Ports {
		switch {
		case shut(check):
			closed++
		case check.Reachable != nil:
			open++
		}
		s.Details = append(s.Details, portLine(check))
	}
	switch {
	case closed > 0:
		s.Answer, s.Seen = No, fmt.Sprintf("%d of %d not accessible", closed, len(p.evidence.Ports))
	case open > 0 && open == len(p.evidence.Ports):
		s.Answer, s.Seen = Yes, "all accessible"
	default:
		s.Seen = "not all could be tried"
	}
	return s
}

// shut says whether a port is known not to be accessible.
func shut(check observe.PortCheck) bool {
	return no(check.Listening) || no(check.Reachable) || no(check.Network) || (published(check) && !check.Mapped)
}

// published says whether the file asks the engine to map the port to the host.
func published(check observe.PortCheck) bool { return check.Port.Published != "" }

// held says whether somebody else has the published port.
func held(check observe.PortCheck) bool {
	return check.Holder != observe.Holder{}
}

func no(fact *bool) bool { return fact != nil && !*fact }

// portLine tells what is known about one port.
func portLine(check observe.PortCheck) string {
	parts := []string{
		tell(check.Listening, "listening", "nothing listens"),
		tell(check.Reachable, "reachable from the host", "not reachable from the host"),
	}
	if published(check) {
		parts = append(parts, map[bool]string{true: "mapped to " + check.Port.Published, false: "not mapped to " + check.Port.Published}[check.Mapped])
	}
	if check.Network != nil {
		parts = append(parts, tell(check.Network, "reachable from another container", "not reachable from another container"))
	}
	if held(check) {
		parts = append(parts, "held by "+holder(check.Holder))
	}
	if check.Detail != "" {
		parts = append(parts, quoted(check.Detail))
	}
	return fmt.Sprintf("%d/%s: %s", check.Port.Target, either(check.Port.Protocol, "tcp"), strings.Join(parts, ", "))
}

func tell(fact *bool, yes, no string) string {
	switch {
	case fact == nil:
		return yes + ": unknown"
	case *fact:
		return yes
	}
	return no
}

// holder names who holds a port, so that a person can act: a process of the host is never ended by Composure.
func holder(h observe.Holder) string {
	if h.Container != "" {
		return "container " + quoted(h.Container)
	}
	if h.PID == 0 {
		return quoted(h.Command) + ", of the host"
	}
	return fmt.Sprintf("process %d (%s) of the host", h.PID, quoted(either(h.Command, "unknown command")))
}

// askPortFree is the runbook's "lsof".
func askPortFree(p *patient) Step {
	const checked = "who holds its published ports"
	if len(p.svc.Ports) == 0 {
		return unasked("it publishes no port")
	}
	if facts := p.portTaken(); len(facts) > 0 {
		return Step{Answer: No, Checked: checked, Seen: facts[0], Details: facts[1:]}
	}
	if p.evidence == nil || p.evidence.Ports == nil {
		return unknown(checked, p.without(observe.NeedPorts))
	}
	return Step{Answer: Yes, Checked: checked, Seen: "nobody else"}
}

func askAttached(p *patient) Step {
	const checked = "networks of the container"
	missing, known := p.detached()
	switch {
	case !known:
		return unknown(checked, "the engine does not say")
	case len(missing) > 0:
		return Step{Answer: No, Checked: checked, Seen: "not attached to " + strings.Join(missing, ", ")}
	case len(p.svc.NetworkKeys) == 0:
		return unasked("it has no network of its own")
	}
	return Step{Answer: Yes, Checked: checked, Seen: "attached to all it must be"}
}

// detached lists the networks that a running container misses, by the engine's names.
func (p *patient) detached() (missing []string, known bool) {
	if !p.live() || p.c.Inspect.NetworkSettings == nil {
		return nil, false
	}
	for _, key := range p.svc.NetworkKeys {
		for _, n := range p.in.Stack.Networks {
			if _, attached := p.c.Inspect.NetworkSettings.Networks[n.Name]; n.Key == key && !attached {
				missing = append(missing, n.Name)
			}
		}
	}
	return missing, true
}
