package controller

import (
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"

	"composure/controller/observe"
	"composure/spec"
)

// What others do on the same host is no reason to look at everything, and what is done to the stack always is.
func TestConcern(t *testing.T) {
	stack := &spec.Stack{Name: "shop", Networks: []*spec.Network{{Name: "shop_default"}, {Name: "proxy", External: true}},
		Volumes: []*spec.Volume{{Name: "rows"}}, Services: []*spec.Service{{Name: "web", Image: "nginx:1"}, {Name: "db", Image: "registry.example:5000/db"}}}
	snapshot := &observe.Snapshot{
		Containers: []observe.Container{{ID: "c1", Inspect: &container.InspectResponse{ContainerJSONBase: &container.ContainerJSONBase{}, Mounts: []container.MountPoint{{Name: "anonymous"}, {Source: "/srv"}}}}},
		Networks:   map[string]network.Inspect{"shop_old": {}},
		Images:     map[string]image.InspectResponse{"sha256:aa": {}},
	}
	c := concernOf(snapshot, stack, stack)
	event := func(kind events.Type, action events.Action, id string, attributes ...string) events.Message {
		m := events.Message{Type: kind, Action: action, Actor: events.Actor{ID: id, Attributes: map[string]string{}}}
		for i := 0; i+1 < len(attributes); i += 2 {
			m.Actor.Attributes[attributes[i]] = attributes[i+1]
		}
		return m
	}
	for name, one := range map[string]struct {
		event events.Message
		want  bool
	}{
		"its network goes":                      {event(events.NetworkEventType, events.ActionDestroy, "n1", "name", "shop_default"), true},
		"an external network comes":             {event(events.NetworkEventType, events.ActionCreate, "n2", "name", "proxy"), true},
		"a network that its next file has":      {event(events.NetworkEventType, events.ActionCreate, "n3", "name", "shop_new"), true},
		"its container joins a foreign network": {event(events.NetworkEventType, events.ActionConnect, "n4", "name", "other", "container", "c1"), true},
		"a foreign one joins a foreign network": {event(events.NetworkEventType, events.ActionConnect, "n4", "name", "other", "container", "c9"), false},
		"a foreign network comes":               {event(events.NetworkEventType, events.ActionCreate, "n5", "name", "shopping_default"), false},
		"its volume goes":                       {event(events.VolumeEventType, events.ActionDestroy, "rows"), true},
		"a volume that it mounts goes":          {event(events.VolumeEventType, events.ActionDestroy, "anonymous"), true},
		"a foreign volume comes":                {event(events.VolumeEventType, events.ActionCreate, "other_rows"), false},
		"a volume without a name":               {event(events.VolumeEventType, events.ActionCreate, ""), false},
		"its image is tagged":                   {event(events.ImageEventType, events.ActionTag, "sha256:bb", "name", "nginx:1"), true},
		"its image is pulled":                   {event(events.ImageEventType, events.ActionPull, "docker.io/library/nginx:1", "name", "nginx"), true},
		"from a registry with a port":           {event(events.ImageEventType, events.ActionPull, "registry.example:5000/db:latest", "name", "registry.example:5000/db"), true},
		"the image that it runs loses its tag":  {event(events.ImageEventType, events.ActionUnTag, "sha256:aa", "name", "sha256:aa"), true},
		"a foreign image is built":              {event(events.ImageEventType, events.ActionTag, "sha256:cc", "name", "ci/app:17"), false},
		"images are loaded":                     {event(events.ImageEventType, events.ActionLoad, "sha256:dd"), true},
		"its container stops":                   {event(events.ContainerEventType, events.ActionDie, "c1"), true},
	} {
		if got := c.is(one.event); got != one.want {
			t.Errorf("%s: looked at: %v, want %v", name, got, one.want)
		}
	}
}
