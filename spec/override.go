package spec

import (
	"slices"

	"github.com/compose-spec/compose-go/v2/types"
)

// With returns a stack in which a service takes the place of the one of its name: of an older revision after a
// rollback, or with a raised limit. The receiver is unchanged.
func (s *Stack) With(svc *Service) *Stack {
	next := *s
	next.canonical = nil // it is not what that says any more
	next.Services = slices.Clone(s.Services)
	for i, have := range next.Services {
		if have.Name == svc.Name {
			replaced := *svc
			replaced.stack, replaced.Policy = &next, have.Policy
			replaced.hashes = replaced.hashOnce()
			next.Services[i] = &replaced
		}
	}
	return &next
}

// WithPolicies returns the stack with the x-composure of another: how a stack is healed follows the file as it is now,
// what is restored does not.
func (s *Stack) WithPolicies(file *Stack) *Stack {
	next := *s
	next.canonical = nil // as in With
	next.Policy = file.Policy
	next.Services = slices.Clone(s.Services)
	for i, have := range next.Services {
		service := *have
		service.stack = &next
		if now := file.Service(have.Name); now != nil {
			service.Policy = now.Policy
		}
		next.Services[i] = &service
	}
	return &next
}

// WithMemory returns the service with another memory limit, in bytes. A swap limit keeps its distance to it.
func (svc *Service) WithMemory(limit int64) *Service {
	next := *svc
	if swap := next.model.MemSwapLimit; swap > 0 {
		next.model.MemSwapLimit = types.UnitBytes(limit + int64(swap-next.model.MemLimit))
	}
	next.model.MemLimit = types.UnitBytes(limit)
	if d := next.model.Deploy; d != nil && d.Resources.Limits != nil && d.Resources.Limits.MemoryBytes != 0 {
		deploy, limits := *d, *d.Resources.Limits
		limits.MemoryBytes = types.UnitBytes(limit)
		deploy.Resources.Limits = &limits
		next.model.Deploy = &deploy
	}
	next.hashes = next.hashOnce()
	return &next
}

// WithImage returns the service with another image: the one that a kept tag names.
func (svc *Service) WithImage(ref string) *Service {
	next := *svc
	next.model.Image, next.Image = ref, ref
	next.hashes = next.hashOnce()
	return &next
}

// Memory is the service's memory limit in bytes; 0 when it has none.
func (svc *Service) Memory() int64 {
	if d := svc.model.Deploy; svc.model.MemLimit == 0 && d != nil && d.Resources.Limits != nil {
		return int64(d.Resources.Limits.MemoryBytes)
	}
	return int64(svc.model.MemLimit)
}
