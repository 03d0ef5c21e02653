package simengine

import (
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/docker/go-connections/nat"
)

// HostPort lets a process of the host listen on a port, or leave it.
func (e *Engine) HostPort(port string, taken bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hostPorts[port] = taken
}

// publishPorts checks that the ports of a container are free. What is taken by a container and what by a process of the
// host is told apart (engine fact 15).
func (i *instance) publishPorts() error {
	for _, port := range slices.Sorted(maps.Keys(i.config.ExposedPorts)) { // others are not published, whatever their bindings
		for _, b := range i.host.PortBindings[port] {
			if b.HostPort == "" || b.HostPort == "0" {
				continue
			}
			ip := b.HostIP
			if ip == "" {
				ip = "0.0.0.0"
			}
			where := fmt.Sprintf("driver failed programming external connectivity on endpoint %s (%s): ", i.name, i.e.id("endpoint "+i.id))
			for _, other := range i.e.ordered() {
				if other != i && other.state.Running && !other.state.Restarting && other.publishes(port.Proto(), ip, b.HostPort) {
					return &answer{http.StatusInternalServerError, where + fmt.Sprintf("Bind for %s:%s failed: port is already allocated", ip, b.HostPort)}
				}
			}
			if i.e.hostPorts[b.HostPort] {
				return &answer{http.StatusInternalServerError, where + fmt.Sprintf("Error starting userland proxy: listen %s4 %s:%s: bind: address already in use", port.Proto(), ip, b.HostPort)}
			}
		}
	}
	return nil
}

func (i *instance) publishes(proto, ip, hostPort string) bool {
	for port := range i.config.ExposedPorts {
		for _, b := range i.host.PortBindings[port] {
			overlap := b.HostIP == "" || b.HostIP == "0.0.0.0" || ip == "0.0.0.0" || b.HostIP == ip
			if port.Proto() == proto && b.HostPort == hostPort && overlap {
				return true
			}
		}
	}
	return false
}

// mapped are the ports as they are published while the container runs.
func (i *instance) mapped() nat.PortMap {
	all := nat.PortMap{}
	if !i.state.Running {
		return all
	}
	for port := range i.config.ExposedPorts {
		all[port] = nil
	}
	for port := range i.config.ExposedPorts {
		for _, b := range i.host.PortBindings[port] {
			if b.HostIP == "" {
				b.HostIP = "0.0.0.0"
			}
			all[port] = append(all[port], b)
		}
	}
	return all
}

// reserveAddresses checks that the static addresses of a container are free (engine fact 16).
func (i *instance) reserveAddresses() error {
	for _, name := range slices.Sorted(maps.Keys(i.networks)) {
		wanted := static(i, name)
		if wanted == "" {
			continue
		}
		for _, other := range i.e.ordered() {
			if other != i && other.state.Running && other.networks[name] != nil && other.networks[name].IPAddress == wanted {
				return &answer{http.StatusForbidden, "Address already in use"}
			}
		}
	}
	return nil
}

// static is the address that a container asked for on a network, or "".
func static(i *instance, name string) string {
	if s := i.networks[name]; s != nil && s.IPAMConfig != nil {
		return s.IPAMConfig.IPv4Address
	}
	return ""
}
