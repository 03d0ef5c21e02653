package spec

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// namespaces checks the modes that the engine accepts for the namespaces of a container.
func (c *checker) namespaces(s types.ServiceConfig) {
	for _, n := range []struct {
		key, mode string
		plain     []string
	}{
		{"ipc", s.Ipc, []string{"none", "private", "shareable", "host"}},
		{"pid", s.Pid, []string{"host"}},
		{"uts", s.Uts, []string{"host"}},
		{"userns_mode", s.UserNSMode, []string{"host"}},
		{"cgroup", s.Cgroup, []string{"host", "private"}},
	} {
		shared := strings.HasPrefix(n.mode, types.ServicePrefix) || strings.HasPrefix(n.mode, types.ContainerPrefix)
		if n.mode == "" || slices.Contains(n.plain, n.mode) || shared && (n.key == "ipc" || n.key == "pid") {
			continue
		}
		c.failIn(s, fmt.Sprintf("%q is not accepted", n.mode), "accepted are "+strings.Join(n.plain, ", "), n.key)
	}
	if s.Uts == "host" && s.Hostname != "" {
		c.failIn(s, "cannot be set beside uts: host", "remove one of the two", "hostname")
	}
}

// sharedNetwork checks what cannot be combined with another container's or the host's network (engine,
// runconfig/hostconfig.go).
func (c *checker) sharedNetwork(s types.ServiceConfig) {
	if s.NetworkMode == "" {
		return
	}
	if len(s.Networks) > 0 {
		c.failIn(s, "cannot stand beside network_mode", "keep one of the two", "networks")
	}
	if s.NetworkMode == "host" {
		if len(s.Ports) > 0 {
			c.warnIn(s, "are not published in the host's network: the container has its ports anyway", "remove them, or network_mode: host", "ports")
		}
		for _, name := range slices.Sorted(maps.Keys(s.Sysctls)) {
			if strings.HasPrefix(name, "net.") {
				c.failIn(s, "cannot be set in the host's network", "remove it, or network_mode: host", "sysctls", name)
			}
		}
		return
	}
	if !strings.HasPrefix(s.NetworkMode, types.ServicePrefix) && !strings.HasPrefix(s.NetworkMode, types.ContainerPrefix) {
		return
	}
	for _, key := range []struct {
		name string
		set  bool
	}{
		{"ports", len(s.Ports) > 0}, {"expose", len(s.Expose) > 0}, {"hostname", s.Hostname != ""}, {"links", len(s.Links) > 0},
		{"dns", len(s.DNS) > 0}, {"extra_hosts", len(s.ExtraHosts) > 0}, {"mac_address", s.MacAddress != ""},
	} {
		if key.set {
			c.failIn(s, "cannot be set on a container that shares another's network", "set it on "+s.NetworkMode, key.name)
		}
	}
}

// published is one fixed port of the host.
type published struct {
	service, ip, port, protocol string
}

// publishedPorts reports ports of the host that two containers of the stack would take.
func (c *checker) publishedPorts() {
	var taken []published
	for _, name := range c.project.ServiceNames() {
		s := c.project.Services[name]
		if s.NetworkMode == "host" || s.GetScale() == 0 {
			continue
		}
		for _, p := range s.Ports {
			if !c.validPort(s, p) || p.Published == "" || strings.Contains(p.Published, "-") {
				continue
			}
			this := published{name, p.HostIP, p.Published, protocolOf(p)}
			if s.GetScale() > 1 {
				c.failIn(s, fmt.Sprintf("%d replicas cannot share port %s of the host", s.GetScale(), p.Published), "publish a range of ports, or leave the host's port out", "ports", p.Published)
			}
			if i := slices.IndexFunc(taken, this.clashes); i >= 0 {
				c.failIn(s, fmt.Sprintf("port %s of the host is published by service %q already", p.Published, taken[i].service), "choose another port", "ports", p.Published)
			}
			taken = append(taken, this)
		}
	}
}

func protocolOf(p types.ServicePortConfig) string {
	if p.Protocol == "" {
		return "tcp"
	}
	return p.Protocol
}

func (p published) clashes(other published) bool {
	if p.port != other.port || p.protocol != other.protocol {
		return false
	}
	if p.ip == "" || other.ip == "" || p.ip == other.ip { // no address: every one of both families
		return true
	}
	sameFamily := strings.Contains(p.ip, ":") == strings.Contains(other.ip, ":")
	return sameFamily && (anyAddress(p.ip) || anyAddress(other.ip))
}

func anyAddress(ip string) bool { return ip == "0.0.0.0" || ip == "::" }

func (c *checker) validPort(s types.ServiceConfig, p types.ServicePortConfig) bool {
	if p.Target < 1 || p.Target > 65535 {
		c.failIn(s, fmt.Sprintf("%d is not a port", p.Target), "write a number from 1 to 65535", "ports", strconv.Itoa(int(p.Target)))
		return false
	}
	for part := range strings.SplitSeq(p.Published, "-") {
		if n, err := strconv.Atoi(part); p.Published != "" && (err != nil || n < 0 || n > 65535) {
			c.failIn(s, fmt.Sprintf("%q is not a port", p.Published), "write a number from 1 to 65535", "ports", p.Published)
			return false
		}
	}
	if !slices.Contains([]string{"tcp", "udp", "sctp"}, protocolOf(p)) {
		c.failIn(s, fmt.Sprintf("%q is not a protocol", p.Protocol), "accepted are tcp, udp, sctp", "ports", strconv.Itoa(int(p.Target)))
		return false
	}
	return true
}

// addresses checks the addresses of a service in its networks.
func (c *checker) addresses(s types.ServiceConfig) {
	if s.MacAddress != "" {
		c.mac(s, s.MacAddress, "mac_address")
	}
	for i, server := range s.DNS {
		if _, err := netip.ParseAddr(server); err != nil {
			c.failIn(s, fmt.Sprintf("%q is not an IP address", server), "write it as 172.20.0.10", "dns", fmt.Sprintf("[%d]", i))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(s.Networks)) {
		attached := s.Networks[key]
		if attached == nil {
			continue
		}
		if attached.MacAddress != "" {
			c.mac(s, attached.MacAddress, "networks", key, "mac_address")
		}
		c.address(s, key, attached.Ipv4Address, "ipv4_address")
		c.address(s, key, attached.Ipv6Address, "ipv6_address")
	}
}

func (c *checker) mac(s types.ServiceConfig, text string, path ...string) {
	if _, err := net.ParseMAC(text); err != nil {
		c.failIn(s, fmt.Sprintf("%q is not a MAC address", text), "write it as 02:42:ac:11:00:02", path...)
	}
}

// address checks that a fixed address lies in a subnet of the network, which the engine asks for.
func (c *checker) address(s types.ServiceConfig, network, text, key string) {
	if text == "" {
		return
	}
	path := []string{"networks", network, key}
	ip, err := netip.ParseAddr(text)
	definition, ok := c.project.Networks[network]
	switch {
	case err != nil:
		c.failIn(s, fmt.Sprintf("%q is not an IP address", text), "write it as 172.20.0.10", path...)
		return
	case !ok || bool(definition.External):
		return
	case s.GetScale() > 1:
		c.failIn(s, fmt.Sprintf("%d replicas cannot share one address", s.GetScale()), "remove the address or run one replica", path...)
	}
	var subnets []string
	for _, pool := range definition.Ipam.Config {
		if prefix, err := netip.ParsePrefix(pool.Subnet); err == nil && prefix.Contains(ip) {
			if bridged(definition) && ip == gateway(pool, prefix) {
				c.failIn(s, fmt.Sprintf("%s is the gateway of network %q", text, network), "choose another address", path...)
			}
			return
		}
		subnets = append(subnets, pool.Subnet)
	}
	if len(subnets) == 0 {
		c.failIn(s, fmt.Sprintf("the network %q has no subnet, which a fixed address needs", network), "give the network ipam.config with a subnet", path...)
		return
	}
	c.failIn(s, fmt.Sprintf("%s is outside of the subnets of network %q: %s", text, network, strings.Join(subnets, ", ")), "choose an address in it", path...)
}

// bridged says whether a network is one of the engine's bridges, with the engine's own management of addresses.
func bridged(n types.NetworkConfig) bool {
	return !bool(n.External) && (n.Driver == "" || n.Driver == "bridge") && (n.Ipam.Driver == "" || n.Ipam.Driver == "default")
}

// gateway is the address that the engine takes for itself: the one that the file gives, else the first. It is not known
// where the file gives a range.
func gateway(pool *types.IPAMPool, subnet netip.Prefix) netip.Addr {
	if given, err := netip.ParseAddr(pool.Gateway); err == nil || pool.IPRange != "" {
		return given
	}
	return subnet.Masked().Addr().Next()
}

// staticAddresses reports two services with the same address in the same network.
func (c *checker) staticAddresses() {
	taken := map[[2]string]string{}
	for _, name := range c.project.ServiceNames() {
		s := c.project.Services[name]
		for _, key := range slices.Sorted(maps.Keys(s.Networks)) {
			attached := s.Networks[key]
			if attached == nil {
				continue
			}
			for field, ip := range map[string]string{"ipv4_address": attached.Ipv4Address, "ipv6_address": attached.Ipv6Address} {
				if other, ok := taken[[2]string{key, ip}]; ok && ip != "" {
					c.failIn(s, fmt.Sprintf("%s is the address of service %q already", ip, other), "choose another", "networks", key, field)
				}
				taken[[2]string{key, ip}] = name
			}
		}
	}
}

// networks checks the address pools. The engine refuses networks that overlap, when it has made the first.
func (c *checker) networks() {
	taken := map[netip.Prefix]string{}
	for _, key := range c.project.NetworkNames() {
		if !c.attached(key) {
			continue
		}
		for i, pool := range c.project.Networks[key].Ipam.Config {
			path := []string{"networks", key, "ipam", "config", fmt.Sprintf("[%d]", i)}
			subnet, err := netip.ParsePrefix(pool.Subnet)
			if err != nil {
				if pool.Subnet != "" {
					c.fail(fmt.Sprintf("%q is not a subnet", pool.Subnet), "write it as 172.20.0.0/16", append(path, "subnet")...)
				}
				continue
			}
			for other, name := range taken {
				if name != key && other.Overlaps(subnet) {
					c.fail(fmt.Sprintf("%s overlaps with %s of network %q", pool.Subnet, other, name), "choose another subnet", append(path, "subnet")...)
				}
			}
			if bridged(c.project.Networks[key]) {
				taken[subnet] = key
			}
			if gateway, err := netip.ParseAddr(pool.Gateway); pool.Gateway != "" && (err != nil || !subnet.Contains(gateway)) {
				c.fail(fmt.Sprintf("%q is not an address in %s", pool.Gateway, pool.Subnet), "choose one in the subnet", append(path, "gateway")...)
			}
			if pool.IPRange != "" {
				if within, err := netip.ParsePrefix(pool.IPRange); err != nil || !subnet.Contains(within.Addr()) || within.Bits() < subnet.Bits() {
					c.fail(fmt.Sprintf("%q is not a range in %s", pool.IPRange, pool.Subnet), "choose one in the subnet", append(path, "ip_range")...)
				}
			}
		}
	}
}

// attached says whether an enabled service is in the network; others are not created.
func (c *checker) attached(network string) bool {
	for _, s := range c.project.Services {
		if _, ok := s.Networks[network]; ok {
			return true
		}
	}
	return false
}

// mounted says whether an enabled service mounts the volume.
func (c *checker) mounted(volume string) bool {
	for _, s := range c.project.Services {
		if slices.Contains(volumeKeys(s), volume) {
			return true
		}
	}
	return false
}

func (c *checker) volumes() {
	for _, key := range c.project.VolumeNames() {
		if name := c.project.Volumes[key].Name; name != "" && c.mounted(key) && !engineName.MatchString(name) {
			c.fail(fmt.Sprintf("%q is not a name the engine accepts", name), "use at least two letters, digits, _, . and -, starting with a letter or digit", "volumes", key, "name")
		}
	}
}
