package observe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"

	"composure/spec"
)

// place is where one attempt is made from: whose probe it is, and what is known of the addresses around it.
type place struct {
	cfg   ProberConfig
	seen  look
	probe spec.Probe
	self  Container
}

// noAddress says why a container cannot be dialled from here. It is no failure of the container.
type noAddress string

func (e noAddress) Error() string { return string(e) }

// address is where this host reaches a container without the engine's port proxy. A noAddress error says why there is
// no such place: only a bridge that this host has an interface on leads there.
func (at place) address(c Container) (string, error) {
	mode := container.NetworkMode("")
	if c.Inspect.HostConfig != nil {
		mode = c.Inspect.HostConfig.NetworkMode
	}
	switch {
	case at.cfg.EngineHost != "":
		return "", noAddress("its network is on another host")
	case mode.IsHost():
		return "127.0.0.1", nil
	case mode.IsContainer():
		for _, other := range at.seen.snapshot.Containers {
			if other.ID == mode.ConnectedContainer() && other.ID != c.ID {
				return at.address(other)
			}
		}
		return "", noAddress("it shares the network of a container that is not known")
	case c.Inspect.NetworkSettings == nil || len(c.Inspect.NetworkSettings.Networks) == 0:
		return "", noAddress("it is on no network")
	}
	networks := c.Inspect.NetworkSettings.Networks
	for _, name := range sortedKeys(networks) {
		if ip := endpointIP(networks[name]); ip.IsValid() && at.isBridge(name) && hostIsOn(ip) {
			return ip.String(), nil
		}
	}
	return "", noAddress("this host has no interface on its networks")
}

// endpointIP is the address of a container on a network, or not valid.
func endpointIP(endpoint *network.EndpointSettings) netip.Addr {
	if endpoint == nil {
		return netip.Addr{}
	}
	if ip, err := netip.ParseAddr(endpoint.IPAddress); err == nil {
		return ip
	}
	ip, _ := netip.ParseAddr(endpoint.GlobalIPv6Address)
	return ip
}

// isBridge says whether containers of a network are reached through an interface of the host. With macvlan the host
// has an address in the same subnet and still does not reach them.
func (at place) isBridge(name string) bool {
	seen, known := at.seen.snapshot.Networks[name]
	return name == "bridge" || (known && seen.Driver == "bridge")
}

// hostIsOn says whether an interface of this host is in the subnet of an address.
func hostIsOn(ip netip.Addr) bool {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(addresses, func(a net.Addr) bool {
		subnet, ok := a.(*net.IPNet)
		return ok && subnet.Contains(ip.AsSlice())
	})
}

// published are the places on the host where a TCP port of the container is published, as something to dial.
func (at place) published(port int) []string {
	if at.self.Inspect.NetworkSettings == nil {
		return nil
	}
	bound := map[string]string{} // port of the host → address; the IPv4 one where the engine binds both
	for _, binding := range at.self.Inspect.NetworkSettings.Ports[nat.Port(strconv.Itoa(port)+"/tcp")] {
		if known, twice := bound[binding.HostPort]; !twice || strings.Contains(known, ":") {
			bound[binding.HostPort] = binding.HostIP
		}
	}
	var places []string
	for _, port := range sortedKeys(bound) {
		places = append(places, net.JoinHostPort(at.reachedAt(bound[port]), port))
	}
	return places
}

// reachedAt is what to dial for an address that a port is bound to.
func (at place) reachedAt(bound string) string {
	ip, err := netip.ParseAddr(bound)
	switch {
	case at.cfg.EngineHost != "" && (err != nil || ip.IsUnspecified() || ip.IsLoopback()):
		return at.cfg.EngineHost
	case err != nil || ip == netip.IPv4Unspecified():
		return "127.0.0.1"
	case ip == netip.IPv6Unspecified():
		return "::1"
	}
	return bound
}

// named finds the running container that a name means for this one: a service, a container or an alias on a network
// that both are on. Itself is "localhost" and its own names.
func (at place) named(host string) (Container, bool) {
	if host == "localhost" || host == "127.0.0.1" || host == "::1" || at.self.isCalled(host, at.self) {
		return at.self, true
	}
	for _, c := range at.seen.snapshot.Containers {
		if c.Running() && !c.OneOff && c.isCalled(host, at.self) {
			return c, true
		}
	}
	return Container{}, false
}

// isCalled says whether a container answers to a name for another one. By its service's name it is found also where
// the networks are not shared: the file's author meant it.
func (c Container) isCalled(host string, by Container) bool {
	if c.Service == host || c.Name == host {
		return true
	}
	if c.Inspect.NetworkSettings == nil || by.Inspect.NetworkSettings == nil {
		return false
	}
	for name, endpoint := range c.Inspect.NetworkSettings.Networks {
		if _, shared := by.Inspect.NetworkSettings.Networks[name]; shared && endpoint != nil &&
			(slices.Contains(endpoint.Aliases, host) || slices.Contains(endpoint.DNSNames, host)) {
			return true
		}
	}
	return false
}

// dial opens a connection as the probe's `from` says: from the host an address is what it is there, and a name of the
// stack that the host itself cannot know is the container's own address; inside the network every name is the network's.
func (at place) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	_, notAnIP := netip.ParseAddr(host)
	if at.probe.From == "network" || (notAnIP != nil && host != "localhost") {
		if c, found := at.named(host); found {
			if host, err = at.address(c); err != nil {
				return nil, err
			}
		}
	}
	conn, err := at.cfg.Dial(ctx, network, net.JoinHostPort(host, port))
	if err != nil && at.probe.From != "network" && at.besideHost(address) {
		return nil, noAddress("Composure is not on the engine's host, so localhost is another machine; `from: network` asks inside the service's network")
	}
	return conn, err
}

// refusal classifies a failed connection or exchange. What says more about the one who asked than about the one who
// was asked is unknown: a name that nobody knows, a certificate, no more files.
func (at place) refusal(ctx context.Context, what string, err error) answer {
	var missing noAddress
	var dns *net.DNSError
	switch {
	case errors.As(err, &missing):
		return unknown("%s: %s", what, missing)
	case errors.As(err, &dns):
		return unknown("%s: no host is named %s here; `from: network` asks inside the service's network", what, dns.Name)
	case errors.Is(context.Cause(ctx), context.DeadlineExceeded) || isTimeout(err):
		return failing("%s: no answer within %s", what, at.probe.Timeout)
	case isOwnFault(err):
		return unknown("%s: %s", what, reason(err))
	}
	return failing("%s: %s", what, reason(err))
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// reason is the innermost words of a network error: the addresses around them are said elsewhere.
func reason(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		err = op.Err
	}
	text := err.Error()
	return strings.TrimPrefix(text, "connect: ")
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// command runs argv in the probed container, or says why that is not known: what fails is the engine, or the program
// is not there.
func (at place) command(ctx context.Context, argv []string) (ExecResult, *answer) {
	result, err := at.cfg.Engine.Exec(ctx, at.self.ID, argv)
	missing := result.ExitCode == 126 || result.ExitCode == 127
	switch {
	case err == nil && missing:
		a := unknown("%s cannot be run in the container (exit %d): %s", argv[0], result.ExitCode, lastLine(result.Output))
		return result, &a
	case err == nil:
		return result, nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded) && at.engineAnswers(ctx):
		a := failing("%s did not end within %s", argv[0], at.probe.Timeout)
		return result, &a
	}
	a := unknown("%s could not be run: %s", argv[0], fmt.Sprint(err))
	return result, &a
}

// engineAnswers tells a command that hangs from an engine that does.
func (at place) engineAnswers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), eager)
	defer cancel()
	_, err := at.cfg.Engine.Container(ctx, at.self.ID)
	return err == nil
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndex(text, "\n")+1:]
}
