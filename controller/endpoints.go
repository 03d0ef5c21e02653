package controller

import (
	"fmt"
	"net"
	"net/url"
	"strings"

	"composure/controller/observe"
	"composure/spec"
)

// endpoints are what does not answer while services are not well: the addresses of failing probes and, of a service that
// is down, of all its probes and published ports. Credentials and parameters are no part of them.
func endpoints(p *Pass, ill map[string]string) map[string][]string {
	found := map[string][]string{}
	for _, svc := range p.Stack.Services {
		if ill[svc.Name] == "" {
			continue
		}
		if down(p, svc) {
			for _, port := range svc.Ports {
				if port.Published != "" && strings.EqualFold(port.Protocol, "tcp") {
					found[svc.Name] = append(found[svc.Name], net.JoinHostPort(port.HostIP, port.Published))
				}
			}
			for _, probe := range svc.Policy.Probes {
				found[svc.Name] = append(found[svc.Name], address(probe)...)
			}
		}
	}
	for _, r := range p.Probes {
		if r.State == observe.ProbeFailing && ill[r.Service] != "" {
			found[r.Service] = append(found[r.Service], address(r.Spec)...)
		}
	}
	return found
}

// down says whether no container of a service runs.
func down(p *Pass, svc *spec.Service) bool {
	for _, c := range p.Snapshot.Of(svc.Name) {
		if c.Running() {
			return false
		}
	}
	return true
}

// address is where a probe over the network asks.
func address(probe spec.Probe) []string {
	switch {
	case probe.TCP != nil:
		return []string{fmt.Sprintf("port %d", probe.TCP.Port)}
	case probe.HTTP != nil:
		if u, err := url.Parse(probe.HTTP.URL); err == nil {
			u.User, u.RawQuery, u.Fragment = nil, "", ""
			return []string{u.String()}
		}
	}
	return nil
}
