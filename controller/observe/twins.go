package observe

import (
	"cmp"
	"slices"

	"github.com/docker/docker/api/types/network"
)

// networks takes over the networks of the project. The engine looks whether a name is free and takes it in two steps, so that two
// requests may make two networks of one name, such as one that was carried out after its sender had been killed. The one that
// most containers are attached to is the stack's, else the older one.
func (s *Snapshot) networks(listed []network.Inspect) {
	attached := map[string]int{}
	for _, c := range s.Containers {
		if settings := c.Inspect.NetworkSettings; settings != nil {
			for _, endpoint := range settings.Networks {
				attached[endpoint.NetworkID]++
			}
		}
	}
	listed = slices.Clone(listed)
	slices.SortFunc(listed, func(a, b network.Inspect) int {
		return cmp.Or(cmp.Compare(attached[b.ID], attached[a.ID]), a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	for _, n := range listed {
		if _, taken := s.Networks[n.Name]; !taken {
			s.Networks[n.Name] = n
			continue
		}
		if s.Twins == nil {
			s.Twins = map[string][]Twin{}
		}
		s.Twins[n.Name] = append(s.Twins[n.Name], Twin{ID: n.ID, Used: attached[n.ID] > 0})
	}
}

// Twin is another network of the stack with the name of one of its networks.
type Twin struct {
	ID   string
	Used bool // containers of the stack are attached to it
}
