package spec

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// newStack turns the resolved project into what the rest of the program sees.
func newStack(sel *selection, project *types.Project, positions *Positions) *Stack {
	s := &Stack{
		Name: project.Name, WorkingDir: project.WorkingDir, ConfigFiles: project.ComposeFiles, EnvFiles: sel.named,
		Networks: buildNetworks(project), Volumes: buildVolumes(project), Inactive: map[string]bool{},
		Warnings: sel.warnings, project: project, positions: positions, contents: secretContents(project),
		canonical: &written{project: project},
	}
	for _, name := range project.ServiceNames() {
		s.Services = append(s.Services, s.newService(project.Services[name]))
	}
	for name := range project.DisabledServices {
		s.Inactive[name] = true
	}
	s.Sources = s.sources()
	return s
}

func (s *Stack) newService(model types.ServiceConfig) *Service {
	svc := &Service{
		Name: model.Name, Replicas: model.GetScale(), ContainerName: model.ContainerName, Image: model.Image,
		Build: s.newBuild(model.Build), Pull: pullPolicy(model), Platform: model.Platform,
		DependsOn: dependencies(model), Namespaces: namespaces(model), NetworkKeys: networkKeys(model),
		VolumeKeys: volumeKeys(model), Restart: restartPolicy(model), Healthcheck: definesHealthcheck(model.HealthCheck),
		Ports: ports(model), StopSignal: model.StopSignal,
		model: model, stack: s,
	}
	svc.hashes = svc.hashOnce()
	if svc.Image == "" {
		svc.Image = s.Name + "-" + svc.Name
	}
	if model.StopGracePeriod != nil {
		svc.StopGrace = time.Duration(*model.StopGracePeriod)
	}
	return svc
}

// pullPolicy is what the file says; check has refused what it cannot mean.
func pullPolicy(model types.ServiceConfig) PullPolicy {
	mode, refresh, err := model.GetPullPolicy()
	if err != nil || mode == types.PullPolicyIfNotPresent {
		mode = types.PullPolicyMissing
	}
	return PullPolicy{Mode: mode, RefreshAfter: refresh}
}

func dependencies(model types.ServiceConfig) []Dependency {
	var list []Dependency
	for _, name := range slices.Sorted(maps.Keys(model.DependsOn)) {
		d := model.DependsOn[name]
		condition := d.Condition
		if condition == "" {
			condition = ConditionStarted
		}
		list = append(list, Dependency{Service: name, Condition: condition, Restart: d.Restart, Required: d.Required})
	}
	return list
}

// namespaces are the services whose container another container's request names by id.
func namespaces(model types.ServiceConfig) []string {
	set := map[string]bool{}
	for _, mode := range []string{model.NetworkMode, model.Ipc, model.Pid} {
		if service, ok := strings.CutPrefix(mode, types.ServicePrefix); ok {
			set[service] = true
		}
	}
	for _, from := range model.VolumesFrom {
		if !strings.HasPrefix(from, types.ContainerPrefix) {
			service, _, _ := strings.Cut(from, ":")
			set[service] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

func networkKeys(model types.ServiceConfig) []string {
	if model.NetworkMode != "" {
		return nil
	}
	return model.NetworksByPriority()
}

func volumeKeys(model types.ServiceConfig) []string {
	var keys []string
	for _, v := range model.Volumes {
		if v.Type == types.VolumeTypeVolume && v.Source != "" {
			keys = append(keys, v.Source)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// restartPolicy follows docker compose: deploy.restart_policy wins over restart (pkg/compose/create.go, getRestartPolicy).
func restartPolicy(model types.ServiceConfig) string {
	name, attempts, _ := strings.Cut(model.Restart, ":")
	if model.Deploy != nil && model.Deploy.RestartPolicy != nil {
		p := model.Deploy.RestartPolicy
		name, attempts = p.Condition, ""
		if p.MaxAttempts != nil {
			attempts = fmt.Sprint(*p.MaxAttempts)
		}
	}
	switch name {
	case "", "none":
		name = "no"
	case "any":
		name = "always"
	}
	if n, err := strconv.Atoi(attempts); name == "on-failure" && err == nil && n > 0 {
		return name + ":" + attempts
	}
	return name
}

func definesHealthcheck(h *types.HealthCheckConfig) bool {
	return h != nil && !h.Disable && len(h.Test) > 0 && h.Test[0] != "NONE"
}

func ports(model types.ServiceConfig) []Port {
	var list []Port
	for _, p := range model.Ports {
		protocol := p.Protocol
		if protocol == "" {
			protocol = "tcp"
		}
		list = append(list, Port{HostIP: p.HostIP, Published: p.Published, Target: uint16(p.Target), Protocol: protocol})
	}
	return list
}

// newBuild flattens a build section for the builder.
func (s *Stack) newBuild(b *types.BuildConfig) *Build {
	if b == nil {
		return nil
	}
	build := &Build{
		Context: b.Context, Dockerfile: b.Dockerfile, DockerfileInline: b.DockerfileInline, Target: b.Target,
		Args: b.Args, Labels: b.Labels, CacheFrom: b.CacheFrom, Network: b.Network, NoCache: b.NoCache, Pull: b.Pull,
		ShmSize: int64(b.ShmSize), ExtraHosts: b.ExtraHosts.AsList(":"), Tags: b.Tags, Platforms: b.Platforms,
		Isolation: b.Isolation, Privileged: b.Privileged, AdditionalContexts: b.AdditionalContexts,
	}
	for name, limit := range b.Ulimits {
		if build.Ulimits == nil {
			build.Ulimits = map[string]string{}
		}
		build.Ulimits[name] = fmt.Sprintf("%d:%d", softLimit(limit), hardLimit(limit))
	}
	for _, secret := range b.Secrets {
		if build.Secrets == nil {
			build.Secrets = map[string]string{}
		}
		id := secret.Target
		if id == "" {
			id = secret.Source
		}
		build.Secrets[id] = s.project.Secrets[secret.Source].File
	}
	for _, key := range b.SSH {
		id := key.ID
		if key.Path != "" {
			id += "=" + key.Path
		}
		build.SSH = append(build.SSH, id)
	}
	return build
}

func softLimit(u *types.UlimitsConfig) int {
	if u.Single != 0 {
		return u.Single
	}
	return u.Soft
}

func hardLimit(u *types.UlimitsConfig) int {
	if u.Single != 0 {
		return u.Single
	}
	return u.Hard
}
