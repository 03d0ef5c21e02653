package observe

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/go-connections/nat"

	"composure/spec"
)

// dialTimeout bounds one connection attempt of a look at ports, in this and in other networks.
const dialTimeout = time.Second

// ports looks at each port that is published or probed: mapped, listening, reachable, held by somebody else.
func (x *examination) ports(ctx context.Context) error {
	others, err := x.engine.AllContainers(ctx)
	checks := x.portChecks()
	for i := range checks {
		check := &checks[i]
		if check.Port.Protocol != "tcp" {
			check.Detail = "only TCP ports can be tried"
			continue
		}
		if x.self.Running() {
			x.listening(check)
			x.reach(ctx, check)
			if slices.Contains(x.needs, NeedPeers) {
				x.fromPeer(ctx, check)
			}
		}
		if check.Port.Published != "" && !check.Mapped {
			check.Holder = x.holder(check.Port, others)
		}
	}
	x.keep(func(e *Evidence) { e.Ports = checks })
	if err != nil {
		return fmt.Errorf("who else publishes ports: %w", err)
	}
	return nil
}

// portChecks names the ports: those that the file publishes, those that the engine published, those that probes ask.
func (x *examination) portChecks() []PortCheck {
	var checks []PortCheck
	add := func(p spec.Port, mapped bool) {
		p.Protocol = cmp.Or(p.Protocol, "tcp")
		known := slices.ContainsFunc(checks, func(c PortCheck) bool {
			return c.Port.Target == p.Target && c.Port.Protocol == p.Protocol && (p.Published == "" || c.Port.Published == p.Published)
		})
		if !known {
			checks = append(checks, PortCheck{Port: p, Mapped: mapped})
		}
	}
	for _, p := range x.svc.Ports {
		bindings := x.bindings(p)
		for _, b := range bindings {
			add(spec.Port{HostIP: b.HostIP, Published: b.HostPort, Target: p.Target, Protocol: p.Protocol}, true)
		}
		if len(bindings) == 0 {
			add(p, false)
		}
	}
	for _, probe := range x.svc.Policy.Probes {
		if target := x.probedPort(probe); target != 0 {
			add(spec.Port{Target: target}, false)
		}
	}
	return checks
}

// bindings are the places of the host that the engine mapped to a port: none unless the container runs.
func (x *examination) bindings(p spec.Port) []nat.PortBinding {
	if !x.self.Running() || x.self.Inspect.NetworkSettings == nil {
		return nil
	}
	return x.self.Inspect.NetworkSettings.Ports[nat.Port(strconv.Itoa(int(p.Target))+"/"+cmp.Or(p.Protocol, "tcp"))]
}

// probedPort is the container's port that a probe asks, or 0: a probe from the host asks a published one, which is known.
func (x *examination) probedPort(p spec.Probe) uint16 {
	switch {
	case p.TCP != nil:
		return uint16(p.TCP.Port)
	case p.HTTP != nil:
		address, err := url.Parse(p.HTTP.URL)
		if err != nil || (p.From != "network" && address.Hostname() != x.self.Service) {
			return 0
		}
		if c, found := x.named(address.Hostname()); !found || c.ID != x.self.ID {
			return 0
		}
		port := cmp.Or(address.Port(), map[string]string{"http": "80", "https": "443"}[address.Scheme])
		number, _ := strconv.ParseUint(port, 10, 16)
		return uint16(number)
	}
	return 0
}

// listening looks at the sockets of the container's network namespace.
func (x *examination) listening(check *PortCheck) {
	pid, err := x.pid()
	if err != nil {
		return // unknown
	}
	sockets, err := listeners(strconv.Itoa(pid))
	if err != nil {
		return
	}
	var local bool
	listens := false
	for _, s := range sockets {
		if s.address.Port() == check.Port.Target {
			local = (!listens || local) && s.address.Addr().IsLoopback()
			listens = true
		}
	}
	check.Listening = &listens
	if local && !x.self.Inspect.HostConfig.NetworkMode.IsHost() {
		check.Detail = "it listens on the container's loopback address only, where nobody else reaches it"
	}
}

// reach dials the container's own address and, where it is published, the published one. Both must answer where both
// can be tried.
func (x *examination) reach(ctx context.Context, check *PortCheck) {
	var places []string
	own, err := x.address(x.self)
	if err == nil {
		places = append(places, net.JoinHostPort(own, strconv.Itoa(int(check.Port.Target))))
	}
	if published := net.JoinHostPort(x.reachedAt(check.Port.HostIP), check.Port.Published); check.Mapped && !x.besideHost(published) {
		places = append(places, published)
	}
	for _, place := range places {
		reached, why := x.dials(ctx, x.cfg.Dial, place, err != nil)
		check.Reachable = &reached
		if !reached {
			check.Detail = cmp.Or(check.Detail, place+": "+why)
			return
		}
	}
}

// dials says whether somebody answers at an address. Where only the engine's proxy is reached, an accepted connection
// must also last a moment.
func (x *examination) dials(ctx context.Context, dial DialFunc, place string, proxied bool) (reached bool, why string) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := dial(ctx, "tcp", place)
	if err != nil {
		return false, reason(err)
	}
	defer conn.Close()
	if proxied && closedAtOnce(conn) {
		return false, "accepted and closed at once, nothing answers behind the engine's proxy"
	}
	return true, ""
}

// fromPeer dials from the network namespace of a container of another service that shares a network.
func (x *examination) fromPeer(ctx context.Context, check *PortCheck) {
	mine := x.self.Inspect.NetworkSettings
	if mine == nil {
		return
	}
	for _, other := range x.seen.snapshot.Containers {
		if other.Service == x.self.Service || other.OneOff || other.Inspect.NetworkSettings == nil {
			continue
		}
		there := x.place
		there.self = other
		pid, err := there.pid()
		if err != nil {
			continue
		}
		for _, name := range sortedKeys(mine.Networks) {
			ip := endpointIP(mine.Networks[name])
			if other.Inspect.NetworkSettings.Networks[name] == nil || !ip.IsValid() {
				continue
			}
			dial := func(ctx context.Context, network, address string) (net.Conn, error) {
				return dialInside(ctx, pid, network, address)
			}
			place := netip.AddrPortFrom(ip, check.Port.Target).String()
			reached, why := x.dials(ctx, dial, place, false)
			if why == notPermitted {
				return // unknown
			}
			check.Network = &reached
			if !reached {
				check.Detail = cmp.Or(check.Detail, fmt.Sprintf("%s from %s: %s", place, other.Name, why))
			}
			return
		}
	}
}

// notPermitted is why another network could not be entered.
const notPermitted = "the container's network cannot be entered from here"

// holder finds who has a published port that should be the container's: another container, else a process of the host.
func (x *examination) holder(p spec.Port, others []container.Summary) Holder {
	port, err := strconv.ParseUint(p.Published, 10, 16)
	if err != nil { // a range: any one would do
		return Holder{}
	}
	for _, other := range others {
		for _, theirs := range other.Ports {
			if other.ID != x.self.ID && uint64(theirs.PublicPort) == port && theirs.Type == "tcp" && overlap(p.HostIP, theirs.IP) {
				return Holder{Container: summaryName(other)}
			}
		}
	}
	if x.cfg.EngineHost != "" {
		return Holder{}
	}
	return hostHolder(p.HostIP, uint16(port))
}

// overlap says whether two addresses of the host cannot both be bound to the same port.
func overlap(a, b string) bool {
	x, errX := netip.ParseAddr(a)
	y, errY := netip.ParseAddr(b)
	return errX != nil || errY != nil || x.IsUnspecified() || y.IsUnspecified() || x == y
}
