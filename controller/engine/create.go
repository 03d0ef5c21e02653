package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"composure/controller/observe"
	"composure/spec"
)

// overlap is libnetwork's answer when the address pool it had chosen was taken by another network a moment later, or when
// the subnet of the file is another network's.
const overlap = "Pool overlaps with other one"

// CreateNetwork creates a network of the file. The engine chooses an address pool and reserves it in two steps: another
// network that is created between them makes it refuse, and it is asked again. A subnet of the file may be taken by this
// very network: the engine goes on with a request whose sender was killed, and shows the network only once it is complete.
// That network is then the one wanted; what else about it is not as in the file, the next look shows.
func (e *Engine) CreateNetwork(ctx context.Context, n *spec.Network) error {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	asked := 0
	create := func() error {
		asked++
		_, err := e.api().NetworkCreate(ctx, n.Name, n.Create)
		switch {
		case err == nil:
			return nil
		case strings.Contains(err.Error(), overlap):
			return err
		case asked > 1 && e.networkExists(ctx, n.Name) == nil:
			return nil
		}
		return backoff.Permanent(err)
	}
	return wrap(soonAgain(ctx, create), "create network %s", n.Name)
}

// RemoveNetwork removes a network of the file, by its id, that has the name of another one and that nothing is attached to: else,
// and when it is not the stack's, it stays, with ErrConflict. One that is gone is fine.
func (e *Engine) RemoveNetwork(ctx context.Context, id string, n *spec.Network) error {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	found, err := e.api().NetworkInspect(ctx, id, network.InspectOptions{})
	switch {
	case cerrdefs.IsNotFound(err):
		return nil
	case err != nil:
		return wrap(err, "inspect network %s", n.Name)
	case found.ID != id, found.Name != n.Name, found.Labels[spec.LabelProject] != n.Create.Labels[spec.LabelProject], len(found.Containers) > 0:
		return wrap(observe.ErrConflict, "remove network %s: %s is in use, or another stack's", n.Name, short(id))
	}
	err = e.api().NetworkRemove(ctx, id)
	if cerrdefs.IsNotFound(err) {
		return nil
	}
	return wrap(err, "remove network %s", n.Name)
}

// soonAgain repeats what stood in the way of the engine for a moment, ten times within a second or two. What is not to be repeated
// is backoff.Permanent.
func soonAgain(ctx context.Context, do func() error) error {
	return backoff.Retry(do, backoff.WithContext(backoff.WithMaxRetries(backoff.NewConstantBackOff(100*time.Millisecond), 10), ctx))
}

// CreateVolume creates a volume of the file. The engine answers with the volume it has if there is one of that name.
func (e *Engine) CreateVolume(ctx context.Context, v *spec.Volume) error {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	create := v.Create
	create.Name = v.Name
	_, err := e.api().VolumeCreate(ctx, create)
	return wrap(err, "create volume %s", v.Name)
}

// CreateContainer creates a container under the given name, which need not be its final one, connects its networks and
// copies its files in. It is not started. That its networks exist is asked first: engines of some versions notice only at
// the start. When a step after the creation fails the container is removed again: it never ran. The error says so if even
// that failed; its id is then returned with the error.
func (e *Engine) CreateContainer(ctx context.Context, name string, c spec.Container) (string, error) {
	for _, endpoint := range c.Networks {
		if !container.NetworkMode(endpoint.Network).IsUserDefined() {
			continue
		}
		if err := e.networkExists(ctx, endpoint.Network); err != nil {
			return "", fmt.Errorf("create container %s: %w", name, err)
		}
	}
	id, err := e.createBare(ctx, name, c)
	if err != nil {
		return "", err
	}
	if err = e.complete(ctx, id, c); err == nil {
		return id, nil
	}
	err = fmt.Errorf("create container %s: %w", name, err)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	if removal := e.Remove(ctx, id, false); removal != nil && !observe.IsNotFound(removal) {
		return id, fmt.Errorf("%w; the container, which never ran, is left over: %w", err, removal)
	}
	return "", err
}

// createBare sends the create request.
func (e *Engine) createBare(ctx context.Context, name string, c spec.Container) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	config, host := *c.Config, *c.Host // the client writes into what it sends, and drift compares with the same value
	created, err := e.api().ContainerCreate(ctx, &config, &host, e.firstNetworks(c.Networks), c.Platform, name)
	if err != nil {
		return "", wrap(err, "create container %s", name)
	}
	for _, warning := range created.Warnings {
		e.log.Warn("engine warning at create", "container", name, "warning", warning)
	}
	return created.ID, nil
}

// firstNetworks are those that the create request may carry: one below API 1.44, all from there on.
func (e *Engine) firstNetworks(endpoints []spec.Endpoint) *network.NetworkingConfig {
	if len(endpoints) == 0 {
		return nil
	}
	config := &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{}}
	for _, endpoint := range endpoints[:len(endpoints)-len(e.laterNetworks(endpoints))] {
		config.EndpointsConfig[endpoint.Network] = endpoint.Settings
	}
	return config
}

// laterNetworks are those that are connected after the creation.
func (e *Engine) laterNetworks(endpoints []spec.Endpoint) []spec.Endpoint {
	if len(endpoints) < 2 || !e.below("1.44") {
		return nil
	}
	return endpoints[1:]
}

// complete does what one create request cannot.
func (e *Engine) complete(ctx context.Context, id string, c spec.Container) error {
	for _, endpoint := range e.laterNetworks(c.Networks) {
		if err := e.connect(ctx, endpoint.Network, id, endpoint.Settings); err != nil {
			return err
		}
	}
	if len(c.Files) == 0 {
		return nil
	}
	archive, err := tarFiles(c.Files)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	return wrap(e.api().CopyToContainer(ctx, id, "/", archive, container.CopyToContainerOptions{}), "copy files in")
}

// tarFiles packs the files with the owner and mode that the engine is to give them.
func tarFiles(files []spec.File) (*bytes.Buffer, error) {
	var buffer bytes.Buffer
	archive := tar.NewWriter(&buffer)
	for _, file := range files {
		header := &tar.Header{
			Name: strings.TrimPrefix(file.Path, "/"), Size: int64(len(file.Content)), Mode: file.Mode,
			Uid: file.UID, Gid: file.GID, ModTime: time.Now(),
		}
		if err := archive.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("pack %s: %w", file.Key, err)
		}
		if _, err := archive.Write(file.Content); err != nil {
			return nil, fmt.Errorf("pack %s: %w", file.Key, err)
		}
	}
	return &buffer, archive.Close()
}

// Connect connects a container to a network. That the network exists is asked first: to a container that does not run,
// the engine connects any name without an error, and fails at the start.
func (e *Engine) Connect(ctx context.Context, networkName, id string, settings *network.EndpointSettings) error {
	if err := e.networkExists(ctx, networkName); err != nil {
		return fmt.Errorf("connect %s to %s: %w", short(id), networkName, err)
	}
	return e.connect(ctx, networkName, id, settings)
}

func (e *Engine) connect(ctx context.Context, networkName, id string, settings *network.EndpointSettings) error {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	return wrap(e.api().NetworkConnect(ctx, networkName, id, settings), "connect %s to %s", short(id), networkName)
}

// networkExists is nil, or an ErrNetworkMissing, for a name or an id.
func (e *Engine) networkExists(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	_, err := e.api().NetworkInspect(ctx, name, network.InspectOptions{})
	return wrap(err, "inspect network %s", name)
}

// Disconnect disconnects a container from a network; one that is not connected is fine.
func (e *Engine) Disconnect(ctx context.Context, networkName, id string) error {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	err := e.api().NetworkDisconnect(ctx, networkName, id, false)
	if err != nil && strings.Contains(err.Error(), "is not connected to") {
		return nil
	}
	return wrap(err, "disconnect %s from %s", short(id), networkName)
}
