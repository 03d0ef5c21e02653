package spec

import (
	"fmt"
	"maps"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
)

// interfaceName is the driver option behind interface_name.
const interfaceName = "com.docker.network.endpoint.ifname"

// networks sets the network mode and returns the attachments, highest priority first.
func (b *builder) networks(config *container.Config, host *container.HostConfig) ([]Endpoint, error) {
	m := &b.model
	if m.NetworkMode != "" {
		host.NetworkMode = container.NetworkMode(m.NetworkMode)
		return b.namedMode(config, host.NetworkMode), nil
	}
	keys := m.NetworksByPriority()
	if len(keys) == 0 {
		if _, ok := b.stack.project.Networks["default"]; !ok {
			host.NetworkMode = network.NetworkNone
			return nil, nil
		}
		keys = []string{"default"}
	}
	endpoints := make([]Endpoint, 0, len(keys))
	for _, key := range keys {
		endpoints = append(endpoints, Endpoint{
			Key: key, Network: b.stack.project.Networks[key].Name, Settings: b.endpoint(key, host.Links),
		})
	}
	host.NetworkMode = container.NetworkMode(endpoints[0].Network)
	return endpoints, b.macAddress(config, endpoints)
}

// namedMode is network_mode: a name that is not one of the engine's own modes is a network outside the file.
func (b *builder) namedMode(config *container.Config, mode container.NetworkMode) []Endpoint {
	if b.model.MacAddress != "" {
		if below(b.facts.APIVersion, "1.44") {
			config.MacAddress = b.model.MacAddress //nolint:staticcheck // the only place below API 1.44
		} else {
			b.cannot("from API 1.44 on an address belongs to a network; name the network under `networks` instead of network_mode", "mac_address")
		}
	}
	if !mode.IsUserDefined() || mode == "disabled" {
		return nil
	}
	return []Endpoint{{Network: string(mode), Settings: &network.EndpointSettings{}}}
}

// endpoint is one attachment. The MAC address is set by macAddress.
func (b *builder) endpoint(key string, links []string) *network.EndpointSettings {
	config := b.model.Networks[key]
	settings := &network.EndpointSettings{Aliases: b.aliases(config), Links: links}
	if config == nil {
		return settings
	}
	if config.Ipv4Address != "" || config.Ipv6Address != "" || len(config.LinkLocalIPs) > 0 {
		settings.IPAMConfig = &network.EndpointIPAMConfig{
			IPv4Address: config.Ipv4Address, IPv6Address: config.Ipv6Address, LinkLocalIPs: config.LinkLocalIPs,
		}
	}
	settings.MacAddress = config.MacAddress
	settings.DriverOpts = maps.Clone(config.DriverOpts)
	if config.InterfaceName != "" && b.needs("1.49", "networks", key, "interface_name") {
		if settings.DriverOpts == nil {
			settings.DriverOpts = map[string]string{}
		}
		settings.DriverOpts[interfaceName] = config.InterfaceName
	}
	if config.GatewayPriority != 0 && b.needs("1.48", "networks", key, "gw_priority") {
		settings.GwPriority = config.GatewayPriority
	}
	return settings
}

// aliases are the container's name, the service's, and those of the file.
func (b *builder) aliases(config *types.ServiceNetworkConfig) []string {
	aliases := []string{containerName(b.stack.Name, &b.model, b.number)}
	if config.ServiceNameAliasEnabled() {
		aliases = append(aliases, b.svc.Name)
	}
	if config != nil {
		aliases = append(aliases, config.Aliases...)
	}
	return aliases
}

// macAddress puts the addresses where the engine reads them: in the endpoints from API 1.44 on, before that one for
// the whole container, of its first network.
func (b *builder) macAddress(config *container.Config, endpoints []Endpoint) error {
	main := endpoints[0].Settings
	if own := b.model.MacAddress; own != "" {
		if main.MacAddress != "" && main.MacAddress != own {
			return b.fail(fmt.Sprintf("differs from the mac_address of network %s", endpoints[0].Key), "keep one of the two", "mac_address")
		}
		main.MacAddress = own
	}
	if !below(b.facts.APIVersion, "1.44") {
		return nil
	}
	config.MacAddress, main.MacAddress = main.MacAddress, "" //nolint:staticcheck // the only place below API 1.44
	for _, e := range endpoints[1:] {
		if e.Settings.MacAddress != "" {
			b.needs("1.44", "networks", e.Key, "mac_address")
			e.Settings.MacAddress = ""
		}
	}
	return nil
}

// links are container:alias for each container of a linked service, then the external ones.
func (b *builder) links() []string {
	var links []string
	for _, link := range b.model.Links {
		service, alias, ok := strings.Cut(link, ":")
		if !ok {
			alias = service
		}
		for _, name := range b.containersOf(service) {
			links = append(links,
				name+":"+alias,
				fmt.Sprintf("%s:%s-%d", name, service, b.number),
				fmt.Sprintf("%s:%s-%s-%d", name, b.stack.Name, service, b.number))
		}
	}
	for _, link := range b.model.ExternalLinks {
		name, alias, ok := strings.Cut(link, ":")
		if !ok {
			alias = name
		}
		links = append(links, name+":"+alias)
	}
	return links
}

// containersOf are the names a service's containers have when nothing was ever scaled down in the middle.
func (b *builder) containersOf(service string) []string {
	linked := b.stack.Service(service)
	if linked == nil {
		return nil
	}
	var names []string
	for number := 1; number <= linked.Replicas; number++ {
		names = append(names, containerName(b.stack.Name, &linked.model, number))
	}
	return names
}
