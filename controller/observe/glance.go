package observe

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
)

// Glance asks for the list of containers alone and returns the snapshot as of now when that says what it said when the
// snapshot was taken; nil: everything has to be looked at again. What the list does not tell of is only as fresh as the
// last look: limits and restart policies, which the engine changes with an event, and the content of files.
func (s *Snapshot) Glance(ctx context.Context, src Source, project string) (*Snapshot, error) {
	now := time.Now()
	list, err := src.Containers(ctx, project)
	if err != nil || digest(list) != s.List {
		return nil, err
	}
	same := *s
	same.At = now
	return &same, nil
}

// aside is what a status such as "Up 3 minutes (healthy)" says beside the time.
var aside = regexp.MustCompile(`\([^)]*\)`)

// digest identifies what a list of containers says, whatever its order and however long each has been in its state.
func digest(list []container.Summary) [sha256.Size]byte {
	type listed struct {
		ID, Image, ImageID, State, Status string
		Names                             []string
		Labels                            map[string]string
		Networks                          map[string]string // name → id
		Ports                             []container.Port
		Mounts                            []container.MountPoint
	}
	all := make([]listed, 0, len(list))
	for _, c := range list {
		l := listed{
			ID: c.ID, Image: c.Image, ImageID: c.ImageID, State: c.State, Status: strings.Join(aside.FindAllString(c.Status, -1), " "),
			Names: slices.Sorted(slices.Values(c.Names)), Labels: c.Labels, Ports: slices.Clone(c.Ports), Mounts: slices.Clone(c.Mounts),
		}
		if c.NetworkSettings != nil {
			l.Networks = map[string]string{}
			for name, n := range c.NetworkSettings.Networks {
				l.Networks[name] = n.NetworkID
			}
		}
		slices.SortFunc(l.Ports, func(a, b container.Port) int {
			return cmp.Or(cmp.Compare(a.PrivatePort, b.PrivatePort), cmp.Compare(a.PublicPort, b.PublicPort), cmp.Compare(a.Type, b.Type), cmp.Compare(a.IP, b.IP))
		})
		slices.SortFunc(l.Mounts, func(a, b container.MountPoint) int { return strings.Compare(a.Destination, b.Destination) })
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b listed) int { return strings.Compare(a.ID, b.ID) })
	sum := sha256.New()
	_ = json.NewEncoder(sum).Encode(all) // plain data, into a hash: neither fails
	return [sha256.Size]byte(sum.Sum(nil))
}
