package observe

import (
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
)

// TestDigest: a list that says the same in another order, later, is the same; whatever else differs in it is not.
func TestDigest(t *testing.T) {
	list := func(change func(c *container.Summary)) []container.Summary {
		one := container.Summary{
			ID: "1", Names: []string{"/a", "/b"}, Image: "web:1", ImageID: "sha256:1", State: "running", Status: "Up 3 minutes (healthy)",
			Labels: map[string]string{"k": "v", "l": "w"}, Ports: []container.Port{{PrivatePort: 80, PublicPort: 8080, Type: "tcp"}, {PrivatePort: 81, Type: "udp"}},
			Mounts:          []container.MountPoint{{Name: "data", Destination: "/data"}, {Name: "logs", Destination: "/logs"}},
			NetworkSettings: &container.NetworkSettingsSummary{Networks: map[string]*network.EndpointSettings{"front": {NetworkID: "n1"}}},
		}
		change(&one)
		return []container.Summary{one, {ID: "2", State: "exited", Status: "Exited (0) 2 hours ago"}}
	}
	was := digest(list(func(*container.Summary) {}))
	same := list(func(c *container.Summary) {
		c.Status, c.Names = "Up 2 days (healthy)", []string{"/b", "/a"}
		c.Ports[0], c.Ports[1] = c.Ports[1], c.Ports[0]
		c.Mounts[0], c.Mounts[1] = c.Mounts[1], c.Mounts[0]
	})
	same[0], same[1] = same[1], same[0]
	if digest(same) != was {
		t.Error("the order, or how long a container is up, makes a difference")
	}
	for name, change := range map[string]func(c *container.Summary){
		"another container": func(c *container.Summary) { c.ID = "3" },
		"its name":          func(c *container.Summary) { c.Names[0] = "/old" },
		"its tag":           func(c *container.Summary) { c.Image = "web:2" },
		"its image":         func(c *container.Summary) { c.ImageID = "sha256:2" },
		"its state":         func(c *container.Summary) { c.State = "paused" },
		"its health":        func(c *container.Summary) { c.Status = "Up 3 minutes (unhealthy)" },
		"its exit code":     func(c *container.Summary) { c.Status = "Exited (1) 3 minutes ago" },
		"a label":           func(c *container.Summary) { c.Labels["k"] = "x" },
		"a port":            func(c *container.Summary) { c.Ports[0].PublicPort = 8081 },
		"a mount":           func(c *container.Summary) { c.Mounts[0].Name = "other" },
		"a network": func(c *container.Summary) {
			c.NetworkSettings.Networks["back"] = &network.EndpointSettings{NetworkID: "n2"}
		},
		"no network": func(c *container.Summary) { c.NetworkSettings = nil },
	} {
		if digest(list(change)) == was {
			t.Errorf("%s makes no difference", name)
		}
	}
}
