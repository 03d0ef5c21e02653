package main

import (
	"context"
	"path/filepath"
	"strings"
	"sync"

	"composure/controller/engine"
	"composure/controller/store"
	"composure/spec"
)

// images makes images present, and remembers what they were built from. A section that names a commit is built in a work
// tree of its own, in the state directory. It is safe for concurrent use.
type images struct {
	engine.Images
	app *app

	mu    sync.Mutex
	built map[string]made // by service
}

// made is the image that was built last, by its id, and what from. An id that could not be asked for is empty: of no image.
type made struct {
	source
	image string
}

func (a *app) images(eng *engine.Engine) *images {
	return &images{Images: engine.Images{Engine: eng}, app: a, built: map[string]made{}}
}

// Build implements act.Images.
func (i *images) Build(ctx context.Context, svc *spec.Service, report func(string)) error {
	from := source{commit: svc.Build.Commit}
	if from.commit == "" {
		from = sourceOf(ctx, svc.Build.Context)
	} else {
		state, err := i.app.state()
		if err != nil {
			return err
		}
		section, remove, err := checkOut(ctx, *svc.Build, filepath.Join(state, "worktrees"))
		if err != nil {
			return err
		}
		defer remove()
		tree := *svc
		tree.Build, svc = &section, &tree
	}
	if err := i.Images.Build(ctx, svc, report); err != nil {
		return err
	}
	image, _ := i.Engine.Image(ctx, svc.Image)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.built[svc.Name] = made{from, image.ID}
	return nil
}

// sources notes what the services' images were built from: where this process has built that very image, else as it was recorded of
// it.
func (i *images) sources(services []store.ServiceRevision, last store.Revision) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for n := range services {
		s := &services[n]
		if from := i.built[s.Service]; from.image != "" && from.image == s.ImageID {
			s.Commit, s.Dirty = from.commit, from.dirty
		} else if before, known := revisionOfService(last, s.Service); known && before.ImageID == s.ImageID {
			s.Commit, s.Dirty = before.Commit, before.Dirty
		}
	}
}

// fromCommit is a service that is built from a commit, where its image was and that is known for sure.
func fromCommit(svc *spec.Service, s store.ServiceRevision) *spec.Service {
	if svc.Build == nil || s.Commit == "" || s.Dirty || strings.Contains(svc.Build.Context, "://") {
		return svc
	}
	next, section := *svc, *svc.Build
	section.Commit = s.Commit
	next.Build = &section
	return &next
}
