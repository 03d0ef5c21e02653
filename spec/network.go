package spec

import (
	"maps"
	"slices"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/network"
)

// buildNetworks returns the networks of a project, sorted by key, with the requests that create them.
func buildNetworks(p *types.Project) []*Network {
	var networks []*Network
	for _, key := range slices.Sorted(maps.Keys(p.Networks)) {
		n := p.Networks[key]
		hash := networkHash(n)
		networks = append(networks, &Network{
			Key: key, Name: n.Name, External: bool(n.External), Hash: hash,
			Create: network.CreateOptions{
				Driver:     n.Driver,
				Options:    n.DriverOpts,
				Internal:   n.Internal,
				Attachable: n.Attachable,
				EnableIPv4: n.EnableIPv4,
				EnableIPv6: n.EnableIPv6,
				IPAM:       ipam(n.Ipam),
				Labels:     ownedLabels(n.Labels, p.Name, LabelNetwork, key, hash),
			},
		})
	}
	return networks
}

// ipam is nil when the file leaves addresses to the engine.
func ipam(config types.IPAMConfig) *network.IPAM {
	if config.Driver == "" && len(config.Config) == 0 && len(config.Options) == 0 {
		return nil
	}
	i := &network.IPAM{Driver: config.Driver, Options: config.Options}
	for _, pool := range config.Config {
		i.Config = append(i.Config, network.IPAMConfig{
			Subnet: pool.Subnet, IPRange: pool.IPRange, Gateway: pool.Gateway, AuxAddress: pool.AuxiliaryAddresses,
		})
	}
	return i
}

// ownedLabels are the labels of a network or volume: the file's and those by which docker compose knows its own.
func ownedLabels(own types.Labels, project, kind, key, hash string) map[string]string {
	labels := map[string]string{}
	maps.Copy(labels, own)
	maps.Copy(labels, map[string]string{
		kind: key, LabelProject: project, LabelVersion: ComposeVersion, LabelConfigHash: hash,
	})
	return labels
}
