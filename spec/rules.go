package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// checker looks for contradictions in a loaded model: what compose-go refuses, said with a place, and what it lets pass
// although docker compose or the engine refuses it later, when half of the stack is touched already.
type checker struct {
	project   *types.Project
	positions *Positions
	errs      []*Error
	warnings  []*Error // nonsense that docker compose and the engine let pass
}

// check returns every contradiction in the enabled services as an error, and what makes no sense as warnings.
func check(project *types.Project, positions *Positions) (warnings []*Error, err error) {
	c := &checker{project: project, positions: positions}
	c.selected()
	for _, name := range project.ServiceNames() {
		s := project.Services[name]
		c.image(s)
		c.build(s)
		c.references(s)
		c.dependencies(s)
		c.names(s)
		c.scale(s)
		c.environment(s)
		c.mounts(s)
		c.capabilities(s)
		c.healthcheck(s)
		c.restart(s)
		c.memory(s)
		c.cpu(s)
		c.ranges(s)
		c.namespaces(s)
		c.sharedNetwork(s)
		c.addresses(s)
	}
	c.cycles()
	c.containerNames()
	c.publishedPorts()
	c.staticAddresses()
	c.networks()
	c.volumes()
	c.secrets()
	c.jobs()
	return c.warnings, joined(c.errs)
}

// fail records a problem of the key at the path.
func (c *checker) fail(problem, fix string, path ...string) {
	c.errs = append(c.errs, &Error{Pos: c.positions.Of(path...), Key: keyText(path), Problem: problem, Fix: fix})
}

// failIn records a problem of a key of a service.
func (c *checker) failIn(s types.ServiceConfig, problem, fix string, path ...string) {
	c.fail(problem, fix, append([]string{"services", s.Name}, path...)...)
}

// warnIn records what makes no sense in a service, although it works.
func (c *checker) warnIn(s types.ServiceConfig, problem, fix string, path ...string) {
	path = append([]string{"services", s.Name}, path...)
	c.warnings = append(c.warnings, &Error{Pos: c.positions.Of(path...), Key: keyText(path), Problem: problem, Fix: fix})
}

func (c *checker) selected() {
	if len(c.project.Services) > 0 {
		return
	}
	if len(c.project.DisabledServices) == 0 {
		c.fail("the project has no services", "add one", "services")
		return
	}
	profiles := map[string]bool{}
	for _, s := range c.project.DisabledServices {
		for _, p := range s.Profiles {
			profiles[p] = true
		}
	}
	c.fail("no service is enabled", "choose a profile with --profile: "+strings.Join(slices.Sorted(maps.Keys(profiles)), ", "), "services")
}

// references looks up what a service names elsewhere in the file.
func (c *checker) references(s types.ServiceConfig) {
	for _, key := range slices.Sorted(maps.Keys(s.Networks)) {
		if _, ok := c.project.Networks[key]; !ok && s.NetworkMode == "" {
			c.undefined(s, "network", key, c.project.NetworkNames(), "networks", key)
		}
	}
	for _, v := range s.Volumes {
		if _, ok := c.project.Volumes[v.Source]; !ok && v.Type == types.VolumeTypeVolume && v.Source != "" {
			c.undefined(s, "volume", v.Source, c.project.VolumeNames(), "volumes", v.Source)
		}
	}
	for _, ref := range s.Secrets {
		if _, ok := c.project.Secrets[ref.Source]; !ok {
			c.undefined(s, "secret", ref.Source, c.project.SecretNames(), "secrets", ref.Source)
		}
	}
	for _, ref := range s.Configs {
		if _, ok := c.project.Configs[ref.Source]; !ok {
			c.undefined(s, "config", ref.Source, c.project.ConfigNames(), "configs", ref.Source)
		}
	}
	if s.Build != nil {
		for _, ref := range s.Build.Secrets {
			if _, ok := c.project.Secrets[ref.Source]; !ok {
				c.undefined(s, "secret", ref.Source, c.project.SecretNames(), "build", "secrets", ref.Source)
			}
		}
	}
}

func (c *checker) undefined(s types.ServiceConfig, kind, key string, known []string, path ...string) {
	fix := fmt.Sprintf("define it under the top-level %ss", kind)
	if near := nearest(key, known); near != "" {
		fix = fmt.Sprintf("did you mean %q?", near)
	}
	c.failIn(s, fmt.Sprintf("the %s %q is not defined", kind, key), fix, path...)
}

// dependencies looks up depends_on, with what it is implied by: links, namespaces and volumes of other services.
func (c *checker) dependencies(s types.ServiceConfig) {
	for _, name := range slices.Sorted(maps.Keys(s.DependsOn)) {
		d := s.DependsOn[name]
		path := c.dependencyPath(s, name)
		if _, disabled := c.project.DisabledServices[name]; disabled && d.Required {
			profiles := strings.Join(c.project.DisabledServices[name].Profiles, ", ")
			c.failIn(s, fmt.Sprintf("the service %q is not enabled", name), fmt.Sprintf("enable a profile of it (%s), or set required: false", profiles), path...)
			continue
		}
		other, ok := c.project.Services[name]
		if !ok && d.Required {
			c.unknownService(s, name, path...)
			continue
		}
		if d.Condition == ConditionHealthy && disablesHealthcheck(other.HealthCheck) {
			c.failIn(s, fmt.Sprintf("waits until %q is healthy, but its healthcheck is disabled", name), "enable the healthcheck or wait for service_started", path...)
		}
	}
}

func (c *checker) unknownService(s types.ServiceConfig, name string, path ...string) {
	fix := "define it or remove the reference"
	if _, isJob := c.project.AllJobs()[name]; isJob {
		fix = "services can depend on services only, this is a job"
	} else if near := nearest(name, c.project.ServiceNames()); near != "" {
		fix = fmt.Sprintf("did you mean %q?", near)
	}
	c.failIn(s, fmt.Sprintf("there is no service %q", name), fix, path...)
}

// dependencyPath is the key that makes one service depend on another.
func (c *checker) dependencyPath(s types.ServiceConfig, name string) []string {
	ref := types.ServicePrefix + name
	for key, mode := range map[string]string{"network_mode": s.NetworkMode, "ipc": s.Ipc, "pid": s.Pid, "uts": s.Uts, "cgroup": s.Cgroup} {
		if mode == ref {
			return []string{key}
		}
	}
	for i, link := range s.Links {
		if target, _, _ := strings.Cut(link, ":"); target == name {
			return []string{"links", fmt.Sprintf("[%d]", i)}
		}
	}
	for i, from := range s.VolumesFrom {
		if target, _, _ := strings.Cut(from, ":"); target == name {
			return []string{"volumes_from", fmt.Sprintf("[%d]", i)}
		}
	}
	return []string{"depends_on", name}
}

func disablesHealthcheck(h *types.HealthCheckConfig) bool {
	return h != nil && (h.Disable || len(h.Test) > 0 && h.Test[0] == "NONE")
}

// cycles reports each cycle of dependencies once.
func (c *checker) cycles() {
	state := map[string]int{} // 1: on the path, 2: done
	var path []string
	var visit func(name string)
	visit = func(name string) {
		state[name] = 1
		path = append(path, name)
		for _, next := range slices.Sorted(maps.Keys(c.project.Services[name].DependsOn)) {
			switch state[next] {
			case 0:
				visit(next)
			case 1:
				cycle := append(slices.Clone(path[slices.Index(path, next):]), next)
				key := c.dependencyPath(c.project.Services[name], next)
				c.failIn(c.project.Services[name], "the services depend on each other in a cycle: "+strings.Join(cycle, " -> "), "remove one of these dependencies", key...)
			}
		}
		path = path[:len(path)-1]
		state[name] = 2
	}
	for _, name := range c.project.ServiceNames() {
		if state[name] == 0 {
			visit(name)
		}
	}
}

// secrets checks that every secret and config has content.
func (c *checker) secrets() {
	for _, key := range c.project.SecretNames() {
		c.content("secrets", key, types.FileObjectConfig(c.project.Secrets[key]))
	}
	for _, key := range c.project.ConfigNames() {
		c.content("configs", key, types.FileObjectConfig(c.project.Configs[key]))
	}
}

func (c *checker) content(section, key string, object types.FileObjectConfig) {
	switch {
	case bool(object.External):
		if c.used(section, key) {
			c.fail("is external, which needs swarm mode", "use file, environment or content", section, key)
		}
	case object.Environment != "":
		if _, ok := c.project.Environment[object.Environment]; !ok && c.used(section, key) {
			c.fail(fmt.Sprintf("the variable %q is not set", object.Environment), "set it in the environment or an env file", section, key, "environment")
		}
	case object.File == "" && object.Content == "" && c.used(section, key):
		c.fail("has no content", "set file, environment or content", section, key)
	}
}

// used says whether an enabled service mounts a secret or config.
func (c *checker) used(section, key string) bool {
	for _, s := range c.project.Services {
		for _, ref := range s.Secrets {
			if section == "secrets" && ref.Source == key {
				return true
			}
		}
		for _, ref := range s.Configs {
			if section == "configs" && ref.Source == key {
				return true
			}
		}
	}
	return false
}

// jobs are not part of what docker compose up starts; scheduled ones it refuses.
func (c *checker) jobs() {
	for _, name := range slices.Sorted(maps.Keys(c.project.AllJobs())) {
		if _, ok := c.project.AllServices()[name]; ok {
			c.fail("is a service as well", "give the job or the service another name", "jobs", name)
		}
		if job, ok := c.project.Jobs[name]; ok && job.Triggers != nil && len(job.Triggers.Schedule) > 0 {
			c.fail("scheduled jobs are not supported", "start the job from cron", "jobs", name)
		}
	}
}
