package engine

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/docker/cli/cli/config"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/api/types/volume"

	"composure/controller/observe"
	"composure/spec"
)

var _ observe.Source = (*Engine)(nil)

// Engine says who answers and proves, with a ping, that somebody does. Who it is is asked again after the engine was
// away or changed its API version.
func (e *Engine) Engine(ctx context.Context) (observe.Engine, error) {
	ping, err := e.settle(ctx)
	if err != nil {
		return observe.Engine{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	e.mu.Lock()
	about, known := e.about, e.known
	e.mu.Unlock()
	if known {
		about.Ahead = e.clock.difference()
		return about, nil
	}
	info, err := e.api().Info(ctx)
	if err != nil {
		return observe.Engine{}, wrap(err, "ask the engine at %s who it is", e.host)
	}
	about = observe.Engine{
		ID:         info.ID,
		Version:    info.ServerVersion,
		APIVersion: e.api().ClientVersion(),
		OS:         info.OSType,
		Arch:       goArch(info.Architecture),
		Builder:    string(ping.BuilderVersion),
		LogDriver:  info.LoggingDriver,
		Runtime:    info.DefaultRuntime,
		Root:       info.DockerRootDir,
		Drops:      drops(info),
		Proxies:    e.proxies(),
		Local:      e.sameHost(info.Name),
		Ahead:      e.clock.difference(),
	}
	if about.Builder == "" {
		about.Builder = "1"
	}
	if err := e.standing(ctx, &about); err != nil {
		return observe.Engine{}, fmt.Errorf("find the container that Composure runs in: %w", err)
	}
	e.mu.Lock()
	e.about, e.known = about, true
	e.mu.Unlock()
	return about, nil
}

// drops are the limits that the engine discards because its kernel cannot set them, or has not delegated them to a rootless
// engine (moby daemon/daemon_unix.go, verifyPlatformContainerResources).
func drops(info system.Info) []string {
	if info.OSType != "linux" {
		return nil
	}
	var keys []string
	for _, limit := range []struct {
		supported bool
		keys      []string
	}{
		{info.MemoryLimit, []string{"mem_limit", "mem_reservation"}},
		{info.MemoryLimit && info.SwapLimit, []string{"memswap_limit"}},
		{info.CPUShares, []string{"cpu_shares"}},
		{info.CPUCfsPeriod, []string{"cpu_period"}},
		{info.CPUCfsQuota, []string{"cpu_quota"}},
		{info.CPUSet, []string{"cpuset"}},
		{info.PidsLimit, []string{"pids_limit"}},
	} {
		if !limit.supported {
			keys = append(keys, limit.keys...)
		}
	}
	return keys
}

// sameHost says whether the engine of that host name is on this very host: it is behind a socket, and the socket is not
// one handed into a container, which has a name of its own.
func (e *Engine) sameHost(name string) bool {
	own, err := os.Hostname()
	return err == nil && strings.HasPrefix(e.host, "unix://") && name == own
}

// goArch is an architecture as images name it; the engine says what the kernel does.
func goArch(machine string) string {
	switch machine {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	}
	return machine
}

// proxies are the variables that the docker configuration gives to every container of this engine.
func (e *Engine) proxies() map[string]string {
	cfg, err := config.Load(e.configDir)
	if err != nil {
		e.log.Warn("docker configuration unreadable, going without its proxies", "error", err)
		return nil
	}
	found := map[string]string{}
	for name, value := range cfg.ParseProxyConfig(e.host, nil) {
		if value != nil {
			found[name] = *value
		}
	}
	return found
}

// forget makes the next look ask for the version again: an engine that was away may come back as another.
func (e *Engine) forget() {
	e.mu.Lock()
	e.known = false
	e.mu.Unlock()
}

// ready settles the API version with an engine that has not answered since it was away, or never.
func (e *Engine) ready(ctx context.Context) error {
	e.mu.Lock()
	known := e.known
	e.mu.Unlock()
	if known {
		return nil
	}
	_, err := e.settle(ctx)
	return err
}

// Containers lists the containers of a project, in any state, one-off ones too.
func (e *Engine) Containers(ctx context.Context, project string) ([]container.Summary, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	list, err := look(ctx, &e.answers, listOfContainers+project, func(ctx context.Context) ([]container.Summary, error) {
		return e.api().ContainerList(ctx, container.ListOptions{All: true, Filters: ofProject(project)})
	})
	return slices.Clone(list), wrap(err, "list containers of %s", project)
}

// AllContainers lists the containers that run, of whatever project: who else may hold a port.
func (e *Engine) AllContainers(ctx context.Context) ([]container.Summary, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	list, err := e.api().ContainerList(ctx, container.ListOptions{})
	return list, wrap(err, "list containers")
}

// Container inspects a container by id or name. What it returns is not to be changed.
func (e *Engine) Container(ctx context.Context, id string) (*container.InspectResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	found, err := look(ctx, &e.answers, "container "+id, func(ctx context.Context) (*container.InspectResponse, error) {
		found, err := e.api().ContainerInspect(ctx, id)
		return &found, err
	})
	if err != nil {
		return nil, wrap(err, "inspect container %s", short(id))
	}
	if found.ContainerJSONBase == nil || found.Config == nil || found.HostConfig == nil {
		return nil, fmt.Errorf("inspect container %s: the engine's answer is incomplete", short(id))
	}
	return found, nil
}

// Networks lists the networks of a project, without their endpoints.
func (e *Engine) Networks(ctx context.Context, project string) ([]network.Inspect, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	list, err := look(ctx, &e.answers, "networks "+project, func(ctx context.Context) ([]network.Inspect, error) {
		return e.api().NetworkList(ctx, network.ListOptions{Filters: ofProject(project)})
	})
	return slices.Clone(list), wrap(err, "list networks of %s", project)
}

// Volumes lists the volumes of a project.
func (e *Engine) Volumes(ctx context.Context, project string) ([]volume.Volume, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	list, err := look(ctx, &e.answers, "volumes "+project, func(ctx context.Context) (volume.ListResponse, error) {
		return e.api().VolumeList(ctx, volume.ListOptions{Filters: ofProject(project)})
	})
	if err != nil {
		return nil, wrap(err, "list volumes of %s", project)
	}
	volumes := make([]volume.Volume, 0, len(list.Volumes))
	for _, v := range list.Volumes {
		volumes = append(volumes, *v)
	}
	return volumes, nil
}

// Network inspects a network by name, without its endpoints. Two networks of that name are an error.
func (e *Engine) Network(ctx context.Context, name string) (network.Inspect, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	found, err := e.api().NetworkInspect(ctx, name, network.InspectOptions{})
	if err != nil {
		return network.Inspect{}, wrap(err, "inspect network %s", name)
	}
	if found.Name != name { // the engine also takes ids and their prefixes for names
		return network.Inspect{}, wrap(observe.ErrNetworkMissing, "inspect network %s", name)
	}
	found.Containers = nil
	return found, nil
}

// Volume inspects a volume by name.
func (e *Engine) Volume(ctx context.Context, name string) (volume.Volume, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	found, err := e.api().VolumeInspect(ctx, name)
	return found, wrap(err, "inspect volume %s", name)
}

// Image inspects an image by reference or id.
func (e *Engine) Image(ctx context.Context, ref string) (image.InspectResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	found, err := look(ctx, &e.answers, "image "+ref, func(ctx context.Context) (image.InspectResponse, error) { return e.api().ImageInspect(ctx, ref) })
	return found, wrap(err, "inspect image %s", ref)
}

// CopiedFile reads a regular file in a container, running or not: its digest, owner and mode. Anything else at that path
// counts as not found: content that was copied in is a file.
func (e *Engine) CopiedFile(ctx context.Context, id, path string) (observe.CopiedFile, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	stream, _, err := e.api().CopyFromContainer(ctx, id, path)
	if err != nil {
		return observe.CopiedFile{}, wrap(err, "read %s in container %s", path, short(id))
	}
	defer stream.Close()
	archive := tar.NewReader(stream)
	header, err := archive.Next()
	if err == nil && header.Typeflag != tar.TypeReg {
		err = errors.Join(observe.ErrNotFound, errors.New("it is not a regular file"))
	}
	digest := sha256.New()
	if err == nil {
		_, err = io.Copy(digest, archive)
	}
	if err != nil {
		return observe.CopiedFile{}, wrap(err, "read %s in container %s", path, short(id))
	}
	return observe.CopiedFile{Digest: hex.EncodeToString(digest.Sum(nil)), UID: header.Uid, GID: header.Gid, Mode: header.Mode & 0o7777}, nil
}

// ofProject filters by the project label.
func ofProject(project string) filters.Args {
	return filters.NewArgs(filters.Arg("label", spec.LabelProject+"="+project))
}

// short is a container's id as people know it; a name stays as it is.
func short(id string) string {
	if len(id) == 64 {
		return id[:12]
	}
	return id
}
