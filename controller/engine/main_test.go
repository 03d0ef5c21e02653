package engine_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"

	"composure/controller/engine"
	"composure/spec"
)

// testImage is built by hack/images.sh: a static busybox and nothing else.
const testImage = "composure-test/busybox:1"

// sandbox is a connected engine and a name of its own for everything that a test makes; all of it is removed at the end.
type sandbox struct {
	*engine.Engine
	raw    *client.Client // for what the adapter does not offer, and to look past it
	prefix string
}

// open connects to the machine's engine.
func open(t testing.TB) *sandbox {
	t.Helper()
	e, err := engine.Connect(t.Context(), engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return newSandbox(t, e)
}

func newSandbox(t testing.TB, e *engine.Engine) *sandbox {
	t.Helper()
	raw, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	random := make([]byte, 4)
	_, _ = rand.Read(random)
	s := &sandbox{Engine: e, raw: raw, prefix: "cmpsr-eng-" + hex.EncodeToString(random)}
	t.Cleanup(func() {
		s.clean(t)
		_ = raw.Close()
		_ = e.Close()
	})
	return s
}

// clean removes what carries the prefix as its project, and images tagged with it.
func (s *sandbox) clean(t testing.TB) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	mine := s.mine()
	containers, err := s.raw.ContainerList(ctx, container.ListOptions{All: true, Filters: mine})
	if err != nil {
		t.Error(err)
	}
	for _, c := range containers {
		if err := s.raw.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true}); err != nil {
			t.Error(err)
		}
	}
	networks, _ := s.raw.NetworkList(ctx, network.ListOptions{Filters: mine})
	for _, n := range networks {
		if err := s.raw.NetworkRemove(ctx, n.ID); err != nil {
			t.Error(err)
		}
	}
	volumes, _ := s.Volumes(ctx, s.prefix)
	for _, v := range volumes {
		if err := s.raw.VolumeRemove(ctx, v.Name, true); err != nil {
			t.Error(err)
		}
	}
}

// mine filters by the project label.
func (s *sandbox) mine() filters.Args {
	return filters.NewArgs(filters.Arg("label", spec.LabelProject+"="+s.prefix))
}

// labels are those of a service's container number 1.
func (s *sandbox) labels(service string) map[string]string {
	return map[string]string{spec.LabelProject: s.prefix, spec.LabelService: service, spec.LabelNumber: "1", spec.LabelOneOff: "False"}
}

// desired is a container of a service that runs argv.
func (s *sandbox) desired(service string, argv ...string) spec.Container {
	return spec.Container{
		Service: service, Number: 1, Name: s.name(service),
		Config: &container.Config{Image: testImage, Cmd: argv, Labels: s.labels(service), StopSignal: "SIGKILL"},
		Host:   &container.HostConfig{},
	}
}

// name is a name of the sandbox's own.
func (s *sandbox) name(of string) string { return s.prefix + "-" + of }

// create creates a container under its own name.
func (s *sandbox) create(t testing.TB, c spec.Container) string {
	t.Helper()
	id, err := s.CreateContainer(t.Context(), c.Name, c)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// start creates and starts a container.
func (s *sandbox) start(t testing.TB, c spec.Container) string {
	t.Helper()
	id := s.create(t, c)
	if err := s.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	return id
}

// inspect is the engine's answer about a container.
func (s *sandbox) inspect(t testing.TB, id string) *container.InspectResponse {
	t.Helper()
	found, err := s.Container(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// network creates a network of the sandbox.
func (s *sandbox) network(t testing.TB, key string, create network.CreateOptions) *spec.Network {
	t.Helper()
	create.Labels = map[string]string{spec.LabelProject: s.prefix, spec.LabelNetwork: key}
	n := &spec.Network{Key: key, Name: s.name(key), Create: create}
	if err := s.CreateNetwork(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	return n
}

// eventually waits for a condition that the engine reaches on its own.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
