package spec

import (
	"maps"
	"slices"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/volume"
)

// buildVolumes returns the named volumes of a project, sorted by key, with the requests that create them.
func buildVolumes(p *types.Project) []*Volume {
	var volumes []*Volume
	for _, key := range slices.Sorted(maps.Keys(p.Volumes)) {
		v := p.Volumes[key]
		hash := volumeHash(v)
		volumes = append(volumes, &Volume{
			Key: key, Name: v.Name, External: bool(v.External), Hash: hash,
			Create: volume.CreateOptions{
				Name:       v.Name,
				Driver:     v.Driver,
				DriverOpts: v.DriverOpts,
				Labels:     ownedLabels(v.Labels, p.Name, LabelVolume, key, hash),
			},
		})
	}
	return volumes
}
