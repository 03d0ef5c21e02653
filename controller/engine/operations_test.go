package engine_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/go-connections/nat"
	"github.com/google/go-cmp/cmp"

	"composure/controller/observe"
	"composure/spec"
)

// endpoint attaches to a network with aliases.
func endpoint(n *spec.Network, aliases ...string) spec.Endpoint {
	return spec.Endpoint{Key: n.Key, Network: n.Name, Settings: &network.EndpointSettings{Aliases: aliases}}
}

func TestCreateConnectsAllNetworksAndCopiesFiles(t *testing.T) {
	s := open(t)
	front, back := s.network(t, "front", network.CreateOptions{}), s.network(t, "back", network.CreateOptions{})
	c := s.desired("web", "sleep", "600")
	c.Networks = []spec.Endpoint{endpoint(front, "web"), endpoint(back, "web", "db-client")}
	c.Files = []spec.File{
		{Key: "configs.motd", Path: "/etc/motd.d/hello", Content: []byte("hello\n"), Mode: 0o444},
		{Key: "secrets.token", Path: "/run/secrets/token", Content: []byte("t0ken"), Mode: 0o400, UID: 101, GID: 102, Secret: true},
	}
	before := *c.Host
	id := s.start(t, c)

	if diff := cmp.Diff(before, *c.Host, cmp.AllowUnexported()); diff != "" {
		t.Errorf("the desired state was written to:\n%s", diff)
	}
	found := s.inspect(t, id)
	for _, n := range c.Networks {
		got := found.NetworkSettings.Networks[n.Network]
		if got == nil || got.IPAddress == "" {
			t.Fatalf("not connected to %s", n.Network)
		}
		for _, alias := range n.Settings.Aliases {
			if !strings.Contains(strings.Join(got.Aliases, " "), alias) {
				t.Errorf("%s: no alias %s in %v", n.Network, alias, got.Aliases)
			}
		}
	}
	result, err := s.Exec(t.Context(), id, []string{"stat", "-c", "%n %a %u %g", "/etc/motd.d/hello", "/run/secrets/token"})
	if err != nil || result.Output != "/etc/motd.d/hello 444 0 0\n/run/secrets/token 400 101 102\n" {
		t.Errorf("got %+v, %v", result, err)
	}
	file, err := s.CopiedFile(t.Context(), id, "/run/secrets/token")
	digest := sha256.Sum256([]byte("t0ken"))
	if want := (observe.CopiedFile{Digest: hex.EncodeToString(digest[:]), UID: 101, GID: 102, Mode: 0o400}); err != nil || file != want {
		t.Errorf("got %+v, %v", file, err)
	}
	for _, path := range []string{"/etc/motd.d/other", "/etc/motd.d"} {
		if _, err := s.CopiedFile(t.Context(), id, path); !observe.IsNotFound(err) {
			t.Errorf("%s: got %v", path, err)
		}
	}
}

// TestCreateLeavesNothingBehind fails before the creation, and in a step after it.
func TestCreateLeavesNothingBehind(t *testing.T) {
	s := open(t)
	front := s.network(t, "front", network.CreateOptions{})
	missing := s.desired("web", "sleep", "600")
	missing.Networks = []spec.Endpoint{endpoint(front), {Network: s.name("missing"), Settings: &network.EndpointSettings{}}}
	_, err := s.CreateContainer(t.Context(), missing.Name, missing)
	if !errors.Is(err, observe.ErrNetworkMissing) || !strings.Contains(err.Error(), s.name("missing")) {
		t.Errorf("got %v", err)
	}
	readOnly := s.desired("web", "sleep", "600")
	readOnly.Host.ReadonlyRootfs = true
	readOnly.Files = []spec.File{{Key: "configs.motd", Path: "/motd", Content: []byte("hello"), Mode: 0o444}}
	if _, err := s.CreateContainer(t.Context(), readOnly.Name, readOnly); err == nil || !strings.Contains(err.Error(), "copy files in") {
		t.Errorf("got %v", err)
	}
	list, err := s.Containers(t.Context(), s.prefix)
	if err != nil || len(list) != 0 {
		t.Errorf("left over: %v, %v", list, err)
	}
}

func TestCreateVolumeKeepsWhatIsThere(t *testing.T) {
	s := open(t)
	v := &spec.Volume{Key: "data", Name: s.name("data"), Create: volume.CreateOptions{Labels: map[string]string{spec.LabelProject: s.prefix}}}
	for range 2 {
		if err := s.CreateVolume(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
	found, err := s.Volume(t.Context(), v.Name)
	if err != nil || found.Driver != "local" {
		t.Errorf("got %+v, %v", found, err)
	}
}

// TestAlreadySo runs operations whose goal is reached already.
func TestAlreadySo(t *testing.T) {
	s := open(t)
	front := s.network(t, "front", network.CreateOptions{})
	c := s.desired("web", "sleep", "600")
	c.Networks = []spec.Endpoint{endpoint(front)}
	id := s.start(t, c)
	zero := time.Duration(0)
	steps := []struct {
		what string
		do   func() error
	}{
		{"start a running container", func() error { return s.Start(t.Context(), id) }},
		{"unpause a running container", func() error { return s.Unpause(t.Context(), id) }},
		{"rename to the same name", func() error { return s.Rename(t.Context(), id, c.Name) }},
		{"disconnect", func() error { return s.Disconnect(t.Context(), front.Name, id) }},
		{"disconnect again", func() error { return s.Disconnect(t.Context(), front.Name, id) }},
		{"stop", func() error { return s.Stop(t.Context(), id, &zero) }},
		{"stop again", func() error { return s.Stop(t.Context(), id, nil) }},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			t.Errorf("%s: %v", step.what, err)
		}
	}
}

// signalReporter is a container that says which signal ended it, and takes its time for SIGTERM.
const signalReporter = `trap 'echo INT; exit 3' INT; trap 'echo TERM' TERM; echo ready; while :; do sleep 0.05; done`

func TestStop(t *testing.T) {
	s := open(t)
	second, long := time.Second, time.Minute
	tests := map[string]struct {
		grace   *time.Duration
		ignores bool
		exit    int
	}{
		"its own signal ends it":                    {&long, false, 3},
		"killed after grace when it does not end":   {&second, true, 137},
		"without grace the container's own is used": {nil, true, 137},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := s.desired("stop", "sh", "-c", signalReporter)
			c.Name = s.name(fmt.Sprintf("%x", name))
			one := 1
			c.Config.StopSignal, c.Config.StopTimeout = "SIGINT", &one
			if test.ignores {
				c.Config.StopSignal = "SIGTERM"
			}
			id := s.start(t, c)
			eventually(t, "it is ready", func() bool {
				text, err := s.Logs(t.Context(), id, 10, 100)
				return err == nil && strings.Contains(text, "ready")
			})
			if err := s.Stop(t.Context(), id, test.grace); err != nil {
				t.Fatal(err)
			}
			state := s.inspect(t, id).State
			if state.Running || state.ExitCode != test.exit {
				t.Errorf("got running %v, exit %d, want exit %d", state.Running, state.ExitCode, test.exit)
			}
		})
	}
}

func TestLifeOfAContainer(t *testing.T) {
	s := open(t)
	c := s.desired("web", "sleep", "600")
	id := s.start(t, c)
	zero := time.Duration(0)

	started := s.inspect(t, id).State.StartedAt
	if err := s.Restart(t.Context(), id, &zero); err != nil {
		t.Fatal(err)
	}
	if again := s.inspect(t, id).State; again.StartedAt == started || !again.Running {
		t.Errorf("not restarted: %+v", again)
	}
	if err := s.raw.ContainerPause(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Exec(t.Context(), id, []string{"true"}); !errors.Is(err, observe.ErrConflict) {
		t.Errorf("exec in a paused container: %v", err)
	}
	if err := s.Unpause(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := s.Rename(t.Context(), id, s.name("renamed")); err != nil {
		t.Fatal(err)
	}
	found := s.inspect(t, id)
	if found.State.Paused || found.Name != "/"+s.name("renamed") {
		t.Errorf("got paused %v, name %s", found.State.Paused, found.Name)
	}
	if err := s.Remove(t.Context(), id, false); !errors.Is(err, observe.ErrConflict) {
		t.Errorf("removed while running: %v", err)
	}
	if err := s.Kill(t.Context(), id, ""); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is dead", func() bool { return !s.inspect(t, id).State.Running })
	if err := s.Kill(t.Context(), id, ""); !errors.Is(err, observe.ErrConflict) {
		t.Errorf("kill of a dead container: %v", err)
	}
	if err := s.Remove(t.Context(), id, false); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Container(t.Context(), id); !observe.IsNotFound(err) {
		t.Errorf("got %v", err)
	}
}

// TestRemoveKeepsVolumes removes, by force, containers with a named and an anonymous volume.
func TestRemoveKeepsVolumes(t *testing.T) {
	s := open(t)
	c := s.desired("db", "sh", "-c", "echo rows > /named/f; echo rows > /anonymous/f; sleep 600")
	c.Host.Mounts = []mount.Mount{
		{Type: mount.TypeVolume, Source: s.name("data"), Target: "/named"},
		{Type: mount.TypeVolume, Target: "/anonymous"},
	}
	id := s.start(t, c)
	for _, m := range s.inspect(t, id).Mounts {
		t.Cleanup(func() { _ = s.raw.VolumeRemove(context.Background(), m.Name, true) })
		defer func() {
			if _, err := s.Volume(t.Context(), m.Name); err != nil {
				t.Errorf("volume of %s: %v", m.Destination, err)
			}
		}()
	}
	if err := s.Remove(t.Context(), id, true); err != nil {
		t.Fatal(err)
	}
}

// TestUpdateOfACrashLoop: the engine refuses what ends while it is asked, about one request of eight.
func TestUpdateOfACrashLoop(t *testing.T) {
	s := open(t)
	c := s.desired("loop", "sh", "-c", "exit 9")
	c.Host.RestartPolicy = container.RestartPolicy{Name: container.RestartPolicyAlways}
	id := s.start(t, c)
	for n := range 20 {
		if err := s.Update(t.Context(), id, container.UpdateConfig{RestartPolicy: c.Host.RestartPolicy}); err != nil {
			t.Fatalf("request %d: %v", n, err)
		}
	}
}

func TestUpdate(t *testing.T) {
	s := open(t)
	c := s.desired("web", "sleep", "600")
	c.Host.Memory = 64 << 20
	id := s.start(t, c)
	// Alone, 256 MiB would be above the memory and swap limit that the engine gave it.
	err := s.Update(t.Context(), id, container.UpdateConfig{
		Resources:     container.Resources{Memory: 256 << 20, NanoCPUs: 500_000_000},
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyUnlessStopped},
	})
	if err != nil {
		t.Fatal(err)
	}
	host := s.inspect(t, id).HostConfig
	if host.Memory != 256<<20 || host.MemorySwap != 512<<20 || host.NanoCPUs != 500_000_000 || host.RestartPolicy.Name != "unless-stopped" {
		t.Errorf("got memory %d, swap %d, cpus %d, restart %s", host.Memory, host.MemorySwap, host.NanoCPUs, host.RestartPolicy.Name)
	}
	if err := s.Update(t.Context(), id, container.UpdateConfig{Resources: container.Resources{Memory: 128 << 20, MemorySwap: 128 << 20}}); err != nil {
		t.Fatal(err)
	}
	if host = s.inspect(t, id).HostConfig; host.MemorySwap != 128<<20 || host.RestartPolicy.Name != "unless-stopped" {
		t.Errorf("got swap %d, restart %s", host.MemorySwap, host.RestartPolicy.Name)
	}
}

// published publishes a port of the host.
func published(c spec.Container, port string) spec.Container {
	c.Config.ExposedPorts = nat.PortSet{"80/tcp": {}}
	c.Host.PortBindings = nat.PortMap{"80/tcp": {{HostIP: "127.0.0.1", HostPort: port}}}
	return c
}

// TestErrors wants each failure that a caller decides on to be recognised.
func TestErrors(t *testing.T) {
	s := open(t)
	held, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	processPort := strconv.Itoa(held.Addr().(*net.TCPAddr).Port)
	holder := s.start(t, published(s.desired("holder", "sleep", "600"), ""))
	containerPort := s.inspect(t, holder).NetworkSettings.Ports["80/tcp"][0].HostPort
	gone := strings.Repeat("0", 64)
	lan := s.network(t, "lan", network.CreateOptions{IPAM: &network.IPAM{Config: []network.IPAMConfig{{Subnet: "10.213.77.0/24"}}}})
	fixed := func(service string) spec.Container {
		c := s.desired(service, "sleep", "600")
		c.Networks = []spec.Endpoint{{Network: lan.Name, Settings: &network.EndpointSettings{
			IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: "10.213.77.10"},
		}}}
		return c
	}
	s.start(t, fixed("fixed"))
	starts := func(c spec.Container) error {
		id, err := s.CreateContainer(t.Context(), c.Name, c)
		if err != nil {
			return err
		}
		return s.Start(t.Context(), id)
	}
	image := s.desired("image", "x")
	image.Config.Image = "composure-test/nothing:1"
	unknown := s.desired("unknown", "sleep", "600")
	unknown.Networks = []spec.Endpoint{{Network: s.name("nowhere"), Settings: &network.EndpointSettings{}}}

	tests := []struct {
		what string
		err  error
		want error
	}{
		{"port held by a container", starts(published(s.desired("port1", "sleep", "600"), containerPort)), observe.ErrPortAllocated},
		{"port held by a process", starts(published(s.desired("port2", "sleep", "600"), processPort)), observe.ErrPortInUse},
		{"address held", starts(fixed("fixed2")), observe.ErrAddressTaken},
		{"bad command", starts(s.desired("command", "no-such-command")), observe.ErrBadCommand},
		{"bad command with a path", starts(s.desired("path", "/no/such/command")), observe.ErrBadCommand},
		{"command is a directory", starts(s.desired("directory", "/etc")), observe.ErrBadCommand},
		{"image missing", starts(image), observe.ErrImageMissing},
		{"network missing", starts(unknown), observe.ErrNetworkMissing},
		{"start of nothing", s.Start(t.Context(), gone), observe.ErrNotFound},
		{"stop of nothing", s.Stop(t.Context(), gone, nil), observe.ErrNotFound},
		{"remove of nothing", s.Remove(t.Context(), gone, true), observe.ErrNotFound},
		{"update of nothing", s.Update(t.Context(), gone, container.UpdateConfig{}), observe.ErrNotFound},
		{"connect to nothing", s.Connect(t.Context(), s.name("nowhere"), holder, nil), observe.ErrNetworkMissing},
		{"connect of nothing", s.Connect(t.Context(), lan.Name, gone, nil), observe.ErrNotFound},
		{"name taken at create", starts(s.desired("holder", "sleep", "600")), observe.ErrNameTaken},
		{"name taken at rename", s.Rename(t.Context(), holder, s.name("fixed")), observe.ErrNameTaken},
	}
	for _, test := range tests {
		if test.err == nil || test.want != nil && !errors.Is(test.err, test.want) {
			t.Errorf("%s: got %v, want %v", test.what, test.err, test.want)
		}
		if errors.Is(test.err, observe.ErrNoAnswer) || errors.Is(test.err, observe.ErrUnreachable) {
			t.Errorf("%s: the engine did answer: %v", test.what, test.err)
		}
	}
	var taken *observe.NameTaken
	if err := starts(s.desired("holder", "x")); !errors.As(err, &taken) || taken.Holder != holder || taken.Name != s.name("holder") {
		t.Errorf("holder of the name: %+v", taken)
	}
}

func TestNetworkByNameOnly(t *testing.T) {
	s := open(t)
	n := s.network(t, "front", network.CreateOptions{})
	found, err := s.Network(t.Context(), n.Name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Network(t.Context(), found.ID); !observe.IsNotFound(err) {
		t.Errorf("an id is no name: %v", err)
	}
	if err := s.raw.NetworkRemove(t.Context(), n.Name); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Network(t.Context(), n.Name); !observe.IsNotFound(err) {
		t.Errorf("got %v", err)
	}
}
