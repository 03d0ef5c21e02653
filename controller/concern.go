package controller

import (
	"strings"

	"github.com/docker/docker/api/types/events"

	"composure/controller/observe"
	"composure/spec"
)

// concern is what of the engine's objects the stack has to do with, as of the last look. On a host where others build and
// deploy, most events of networks, volumes and images are about theirs, and a look at everything for each is not idle.
type concern struct {
	project    string
	containers map[string]bool // by id
	names      map[string]bool // of networks and volumes
	images     map[string]bool // ids, and references without their tags
}

// concernOf are the objects of a stack, of the file beside it, and those that were seen to be its.
func concernOf(s *observe.Snapshot, stacks ...*spec.Stack) *concern {
	c := &concern{stacks[0].Name, map[string]bool{}, map[string]bool{}, map[string]bool{}}
	for _, stack := range stacks {
		for _, n := range stack.Networks {
			c.names[n.Name] = true
		}
		for _, v := range stack.Volumes {
			c.names[v.Name] = true
		}
		for _, svc := range stack.Services {
			c.images[repository(svc.Image)] = true
		}
	}
	for _, one := range s.Containers {
		c.containers[one.ID] = true
		for _, m := range one.Inspect.Mounts {
			c.names[m.Name] = m.Name != ""
		}
	}
	for name := range s.Networks {
		c.names[name] = true
	}
	for id := range s.Images {
		c.images[id] = true
	}
	return c
}

// is says whether an event may be about the stack. Containers are told apart where the events come from.
func (c *concern) is(m events.Message) bool {
	attributes := m.Actor.Attributes
	switch m.Type {
	case events.NetworkEventType:
		name := attributes["name"]
		return c.containers[attributes["container"]] || c.names[name] || strings.HasPrefix(name, c.project+"_")
	case events.VolumeEventType:
		return c.names[m.Actor.ID] || strings.HasPrefix(m.Actor.ID, c.project+"_")
	case events.ImageEventType:
		if m.Action == events.ActionLoad || m.Action == events.ActionImport { // they do not always say what they brought
			return true
		}
		return c.images[m.Actor.ID] || c.images[repository(m.Actor.ID)] || c.images[repository(attributes["name"])]
	}
	return true
}

// repository is an image's name without its tag, its digest, and what everybody leaves out.
func repository(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	if i := strings.LastIndexByte(ref, ':'); i > strings.LastIndexByte(ref, '/') {
		ref = ref[:i]
	}
	return strings.TrimPrefix(strings.TrimPrefix(ref, "docker.io/"), "library/")
}
