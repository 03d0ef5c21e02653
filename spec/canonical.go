package spec

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"sync"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// Canonical returns the resolved model as YAML: files merged, variables substituted, env files folded in, paths
// absolute, profiles applied, with the policy. FromCanonical makes the same Stack of it. It is how the last applied
// state is kept: values of environments are in it, while secrets are kept by reference (file or variable) only.
//
// It is not a compose file to be loaded otherwise: a dollar sign stands for itself in it.
func (s *Stack) Canonical() ([]byte, error) {
	project := *s.project
	project.Jobs = nil // no part of the stack, and compose-go does not read back what it writes of them
	data, err := project.MarshalYAML()
	if err != nil {
		return nil, fmt.Errorf("write the model of %s: %w", s.Name, err)
	}
	return data, nil
}

// written is the sum of what Canonical writes of a project, once it was asked for.
type written struct {
	once    sync.Once
	project *types.Project
	sum     [sha256.Size]byte
	known   bool
}

// writes says whether Canonical writes this of a stack. It may be nil.
func (s *Stack) writes(data []byte) bool {
	if s == nil || s.canonical == nil || s.canonical.project != s.project {
		return false
	}
	c := s.canonical
	c.once.Do(func() {
		if own, err := s.Canonical(); err == nil {
			c.sum, c.known = sha256.Sum256(own), true
		}
	})
	return c.known && c.sum == sha256.Sum256(data)
}

// CanonicalPart is Canonical after a deployment of some services only: those are as s has them, all others as they were
// applied, and so are the networks, volumes, configs and secrets that only the others use.
func (s *Stack) CanonicalPart(applied *Stack, deployed map[string]bool) ([]byte, error) {
	file, before := s.project, applied.project
	merged := *file
	merged.Services = maps.Clone(before.Services)
	for name := range deployed {
		if svc, there := file.Services[name]; there {
			merged.Services[name] = svc
		} else {
			delete(merged.Services, name)
		}
	}
	used := func(uses func(types.ServiceConfig) []string) map[string]bool {
		found := map[string]bool{}
		for name := range deployed {
			for _, key := range uses(file.Services[name]) {
				found[key] = true
			}
		}
		return found
	}
	merged.Networks = mergePart(file.Networks, before.Networks, used(func(c types.ServiceConfig) []string { return c.NetworksByPriority() }))
	merged.Volumes = mergePart(file.Volumes, before.Volumes, used(func(c types.ServiceConfig) []string {
		var keys []string
		for _, v := range c.Volumes {
			keys = append(keys, v.Source)
		}
		return keys
	}))
	merged.Configs = mergePart(file.Configs, before.Configs, used(func(c types.ServiceConfig) []string {
		var keys []string
		for _, v := range c.Configs {
			keys = append(keys, v.Source)
		}
		return keys
	}))
	merged.Secrets = mergePart(file.Secrets, before.Secrets, used(func(c types.ServiceConfig) []string {
		var keys []string
		for _, v := range c.Secrets {
			keys = append(keys, v.Source)
		}
		return keys
	}))
	part := *s
	part.project = &merged
	return part.Canonical()
}

// mergePart is what was applied, with what is used now as the file says.
func mergePart[V any](file, applied map[string]V, used map[string]bool) map[string]V {
	merged := maps.Clone(applied)
	for key, v := range file {
		if _, before := applied[key]; used[key] || !before {
			if merged == nil {
				merged = map[string]V{}
			}
			merged[key] = v
		}
	}
	return merged
}

// FromCanonical reads what Canonical wrote. What the YAML does not hold comes from a stack like it, which may be the
// same project loaded from newer files: directory, files, environment and the places of keys. Like may be nil.
func FromCanonical(data []byte, like *Stack) (stack *Stack, err error) {
	if like.writes(data) { // nothing was edited since: to read it again takes milliseconds, and comes to the same
		same := *like
		same.Unset, same.Warnings = nil, nil // which are about the files
		return &same, nil
	}
	sel := &selection{env: types.Mapping{}, files: []types.ConfigFile{{Filename: "last applied state", Content: data}}}
	positions := &Positions{}
	if like != nil {
		sel.dir, sel.env, sel.named = like.WorkingDir, like.project.Environment, like.EnvFiles
		positions = like.positions
	}
	defer func() {
		if p := recover(); p != nil {
			stack, err = nil, fmt.Errorf("read the last applied state: %v", p)
		}
	}()
	var project *types.Project
	_, err = capture(func() error {
		project, err = sel.reload()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the last applied state: %w", err)
	}
	if like != nil {
		project.ComposeFiles = like.ConfigFiles
	}
	stack = newStack(sel, project, positions)
	if like != nil {
		stack.Inactive = like.Inactive
	}
	return stack, stack.readPolicy()
}

// reload loads a resolved model without resolving anything again.
func (s *selection) reload() (*types.Project, error) {
	details := types.ConfigDetails{WorkingDir: s.dir, ConfigFiles: s.files, Environment: s.env.Clone()}
	return loader.LoadWithContext(context.Background(), details, func(o *loader.Options) {
		o.Profiles = []string{"*"} // only what was enabled was written
		o.ResolvePaths = false
		o.SkipInterpolation, o.SkipNormalization, o.SkipConsistencyCheck = true, true, true
		o.SkipInclude, o.SkipExtends = true, true
		o.SkipResolveEnvironment, o.SkipResolveLabels = true, true
	})
}
