package spec

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ComposeVersion is the generation of docker compose whose form is written when a stack has none yet.
const ComposeVersion = "5.6.0"

// Container returns what container `number` (from 1) of a service must be: the request that creates it, and what
// drift compares with. It is what docker compose would ask the engine for, with every list in a stable order.
//
// An error is about the file, and names file, line and key: nothing that an engine could do would make it right.
// What only this engine cannot do is in Container.Unable, and is left out of the request.
//
// Container is safe for concurrent use.
func (s *Stack) Container(svc *Service, number int, f Facts) (Container, error) {
	b := &builder{stack: s, svc: svc, model: resolveReferences(svc.model, f.ContainerIDs), number: number, facts: f}
	hashes, err := b.hashes()
	if err != nil {
		return Container{}, fmt.Errorf("hash service %s: %w", svc.Name, err)
	}
	config, err := b.config()
	if err != nil {
		return Container{}, err
	}
	host, err := b.host()
	if err != nil {
		return Container{}, err
	}
	endpoints, err := b.networks(config, host)
	if err != nil {
		return Container{}, err
	}
	files, err := b.files()
	if err != nil {
		return Container{}, err
	}
	platform, err := b.platform()
	if err != nil {
		return Container{}, err
	}
	b.refuse()
	c := Container{
		Service: svc.Name, Number: number, Name: containerName(s.Name, &b.model, number),
		Config: config, Host: host, Networks: endpoints, Platform: platform, Files: files,
		Hashes: hashes.all, Hash: hashes.of(f.Compose), Unable: b.unable,
	}
	c.Config.Labels = b.labels(c.Hash)
	return c, nil
}

// builder holds what the parts of one create request are made from.
type builder struct {
	stack  *Stack
	svc    *Service
	model  types.ServiceConfig // of its own: references to other services are resolved to container ids
	number int
	facts  Facts
	unable []Unable
}

// hashes are the service's own, unless its references to containers of other services are part of them.
func (b *builder) hashes() (hashes, error) {
	if len(b.svc.Namespaces) == 0 {
		return b.svc.hashes()
	}
	return serviceHashes(b.model, b.svc.longBind)
}

// containerName is the name docker compose gives a container.
func containerName(project string, model *types.ServiceConfig, number int) string {
	if model.ContainerName != "" {
		return model.ContainerName
	}
	return project + "-" + model.Name + "-" + strconv.Itoa(number)
}

// labels are those of the file and those of docker compose, which win.
func (b *builder) labels(hash string) map[string]string {
	labels := map[string]string{}
	maps.Copy(labels, b.model.Labels)
	version := b.facts.Compose
	if version == "" {
		version = ComposeVersion
	}
	maps.Copy(labels, map[string]string{
		LabelProject:     b.stack.Name,
		LabelService:     b.svc.Name,
		LabelVersion:     version,
		LabelWorkingDir:  b.stack.WorkingDir,
		LabelConfigFiles: strings.Join(b.stack.ConfigFiles, ","),
		LabelOneOff:      "False",
		LabelNumber:      strconv.Itoa(b.number),
		LabelConfigHash:  hash,
		LabelDependsOn:   dependsOnLabel(b.model.DependsOn),
	})
	if len(b.stack.EnvFiles) > 0 {
		labels[LabelEnvironmentFile] = strings.Join(b.stack.EnvFiles, ",")
	}
	if b.facts.ImageID != "" {
		labels[LabelImage] = b.facts.ImageID
	}
	return labels
}

// dependsOnLabel renders service:condition:restart, comma-separated. docker compose writes them in any order.
func dependsOnLabel(dependencies types.DependsOnConfig) string {
	parts := make([]string, 0, len(dependencies))
	for _, name := range slices.Sorted(maps.Keys(dependencies)) {
		d := dependencies[name]
		parts = append(parts, fmt.Sprintf("%s:%s:%t", name, d.Condition, d.Restart))
	}
	return strings.Join(parts, ",")
}

// platform is the service's, else DOCKER_DEFAULT_PLATFORM, else nil: the engine's own.
func (b *builder) platform() (*ocispec.Platform, error) {
	name := b.model.Platform
	if name == "" {
		name = b.stack.project.Environment["DOCKER_DEFAULT_PLATFORM"]
	}
	if name == "" {
		return nil, nil
	}
	p, err := platforms.Parse(name)
	if err != nil {
		return nil, b.fail(err.Error(), "write os/architecture, such as linux/arm64", "platform")
	}
	return &p, nil
}

// resolveReferences replaces references to other services by the ids of their containers, as docker compose does
// before it hashes and creates. A mode after a volumes_from service (`:ro`) is dropped on the way: docker compose
// drops it too, and its config hash has it dropped. Services without a known container stay as they are.
func resolveReferences(model types.ServiceConfig, ids map[string]string) types.ServiceConfig {
	resolve := func(mode string) string {
		name, ok := strings.CutPrefix(mode, types.ServicePrefix)
		if id := ids[name]; ok && id != "" {
			return types.ContainerPrefix + id
		}
		return mode
	}
	model.NetworkMode = resolve(model.NetworkMode)
	model.Ipc = resolve(model.Ipc)
	model.Pid = resolve(model.Pid)
	model.VolumesFrom = slices.Clone(model.VolumesFrom)
	for i, from := range model.VolumesFrom {
		parts := strings.Split(from, ":")
		switch {
		case parts[0] == "container" && len(parts) > 1:
			model.VolumesFrom[i] = parts[1]
		case ids[parts[0]] != "":
			model.VolumesFrom[i] = ids[parts[0]]
		}
	}
	return model
}

// fail returns an error at a key of the service.
func (b *builder) fail(problem, fix string, path ...string) error {
	return &Error{Pos: b.svc.Pos(path...), Key: b.key(path...), Problem: problem, Fix: fix}
}

// key is the path of a key of the service, as people write it.
func (b *builder) key(path ...string) string {
	return strings.Join(append([]string{"services", b.svc.Name}, path...), ".")
}
