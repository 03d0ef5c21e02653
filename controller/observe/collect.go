package observe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"golang.org/x/sync/errgroup"

	"composure/spec"
)

// parallel is how many calls are in flight at a time. Eight take half the time of one on two cores, more gain nothing.
const parallel = 8

// Collect takes one Snapshot of a stack: everything, every time. A single fact that could not be read becomes a Gap; an
// object that vanished while looking is simply absent. An error means that there is no snapshot: the engine is
// unreachable, the containers cannot be listed, or ctx ended.
//
// It costs one list of containers, networks and volumes each, and one inspect of each container, of each image that a
// service names or a container runs, and of each network and volume that the file names and the lists did not contain.
func Collect(ctx context.Context, src Source, stack *spec.Stack) (*Snapshot, error) {
	return Begin(ctx, src, stack.Name).Finish(ctx, stack)
}

// Look is an observation under way: what needs no more than the project's name is being asked.
type Look struct {
	src     Source
	project string
	begin   func(task func(context.Context) error) // runs a task beside the others; the first that fails ends all
	wait    func() error                           // for all tasks
	list    []container.Summary
	listed  []network.Inspect // networks
	stack   *spec.Stack       // from Finish on
	absent  error             // why the engine did not say who it is; read after wait

	mu       sync.Mutex // tasks write under it
	snapshot *Snapshot
}

// Begin begins to look at a project and returns at once. The look ends with Finish, or with ctx.
func Begin(ctx context.Context, src Source, project string) *Look {
	c := &Look{src: src, project: project, snapshot: &Snapshot{
		At:       time.Now(),
		Networks: map[string]network.Inspect{},
		Volumes:  map[string]volume.Volume{},
		Images:   map[string]image.InspectResponse{},
		Refs:     map[string]string{},
	}}
	c.begin, c.wait = tasks(ctx)
	c.begin(func(context.Context) error { // to its end, whatever else fails first: it knows best what is wrong
		c.snapshot.Engine, c.absent = src.Engine(ctx)
		return c.absent
	})
	c.lists()
	return c
}

// Project is whose containers are looked at.
func (c *Look) Project() string { return c.project }

// Finish asks what only the compose file tells to ask, and returns the Snapshot. It is called once.
func (c *Look) Finish(ctx context.Context, stack *spec.Stack) (*Snapshot, error) {
	c.stack = stack
	for _, ref := range c.references() {
		c.begin(func(ctx context.Context) error { return c.reference(ctx, ref) })
	}
	if err := c.wait(); err != nil {
		return nil, fmt.Errorf("observe %s: %w", c.project, cmp.Or(c.absent, err))
	}
	c.snapshot.networks(c.listed)
	if err := c.details(ctx); err != nil {
		return nil, fmt.Errorf("observe %s: %w", c.project, err)
	}
	c.hostFiles(ctx)
	for i := range c.snapshot.Containers {
		one := &c.snapshot.Containers[i]
		one.Ahead = c.snapshot.Engine.Ahead
		one.Unchecked = unchecked(one, c.snapshot.At)
	}
	c.lost()
	c.sort()
	return c.snapshot, nil
}

// foreign says whether a container carries the project's label by accident: the builder's own containers inherit the labels
// of the image that is being built. A container of the stack has a number, and a config hash by which docker compose knows it.
func foreign(c container.Summary) bool {
	return c.Labels[spec.LabelConfigHash] == "" && c.Labels[spec.LabelNumber] == ""
}

// lists asks who answers and what there is, and inspects each container as soon as it is listed.
func (c *Look) lists() {
	c.begin(func(ctx context.Context) (err error) {
		if c.list, err = c.src.Containers(ctx, c.project); err != nil {
			return err
		}
		c.snapshot.List = digest(c.list)
		c.list = slices.DeleteFunc(c.list, foreign)
		for _, summary := range c.list {
			c.begin(func(ctx context.Context) error { return c.container(ctx, summary) })
		}
		return nil
	})
	c.begin(func(ctx context.Context) error {
		networks, err := c.src.Networks(ctx, c.project)
		return c.keep(ctx, Gap{Subject: "networks"}, err, func() { c.listed = networks })
	})
	c.begin(func(ctx context.Context) error {
		volumes, err := c.src.Volumes(ctx, c.project)
		return c.keep(ctx, Gap{Subject: "volumes"}, err, func() {
			for _, v := range volumes {
				c.snapshot.Volumes[v.Name] = v
			}
		})
	})
}

// details reads the content that services have copied into their containers, and what the file names and the lists did
// not answer.
func (c *Look) details(ctx context.Context) error {
	begin, wait := tasks(ctx)
	for i := range c.snapshot.Containers {
		found := &c.snapshot.Containers[i]
		if svc := c.stack.Service(found.Service); svc != nil && !found.OneOff {
			if paths := svc.CopiedFiles(); len(paths) > 0 {
				begin(func(ctx context.Context) error { return c.files(ctx, found, paths) })
			}
		}
	}
	for _, id := range c.unknownImages() {
		begin(func(ctx context.Context) error {
			found, err := c.src.Image(ctx, id)
			return c.keep(ctx, Gap{Subject: "image " + id}, err, func() { c.snapshot.Images[found.ID] = found })
		})
	}
	for _, name := range c.unlistedNetworks() {
		begin(func(ctx context.Context) error {
			found, err := c.src.Network(ctx, name)
			return c.keep(ctx, Gap{Subject: "network " + name}, err, func() { c.snapshot.Networks[name] = found })
		})
	}
	for _, name := range c.unlistedVolumes() {
		begin(func(ctx context.Context) error {
			found, err := c.src.Volume(ctx, name)
			return c.keep(ctx, Gap{Subject: "volume " + name}, err, func() { c.snapshot.Volumes[name] = found })
		})
	}
	return wait()
}

// tasks runs tasks in parallel, so many at a time, and waits for all of them: the first error ends the others and is returned.
func tasks(ctx context.Context) (begin func(task func(context.Context) error), wait func() error) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	return func(task func(context.Context) error) { group.Go(func() error { return task(ctx) }) }, group.Wait
}

// keep puts one answer into the snapshot: store runs under the lock when there is an answer, "not found" leaves the
// object out, any other failure is a gap. Only what ends the whole observation is returned.
func (c *Look) keep(ctx context.Context, gap Gap, err error, store func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		store()
	case ctx.Err() != nil, errors.Is(err, ErrUnreachable):
		return err
	case IsNotFound(err):
	default:
		gap.Err = err.Error()
		c.snapshot.Gaps = append(c.snapshot.Gaps, gap)
	}
	return nil
}

// reference resolves the image reference of a service.
func (c *Look) reference(ctx context.Context, ref string) error {
	found, err := c.src.Image(ctx, ref)
	if IsNotFound(err) {
		return c.keep(ctx, Gap{}, nil, func() { c.snapshot.Refs[ref] = "" })
	}
	return c.keep(ctx, Gap{Subject: "image " + ref}, err, func() {
		c.snapshot.Refs[ref] = found.ID
		c.snapshot.Images[found.ID] = found
	})
}

// container inspects one container.
func (c *Look) container(ctx context.Context, summary container.Summary) error {
	inspect, err := c.src.Container(ctx, summary.ID)
	return c.keep(ctx, Gap{Subject: "container " + summaryName(summary), Service: summary.Labels[spec.LabelService]}, err, func() {
		c.snapshot.Containers = append(c.snapshot.Containers, describe(inspect))
	})
}

// files reads what stands at these paths of a container. Nothing else touches the container meanwhile.
func (c *Look) files(ctx context.Context, found *Container, paths []string) error {
	files := map[string]CopiedFile{}
	for _, path := range paths {
		file, err := c.src.CopiedFile(ctx, found.ID, path)
		if err != nil && !IsNotFound(err) {
			return c.keep(ctx, Gap{Subject: "container " + found.Name + " files", Service: found.Service}, err, nil)
		}
		files[path] = file
	}
	found.Files = files
	return nil
}

// describe reads compose's labels from an inspected container.
func describe(inspect *container.InspectResponse) Container {
	found := Container{ID: inspect.ID, Name: strings.TrimPrefix(inspect.Name, "/"), Inspect: inspect}
	found.Service = found.Label(spec.LabelService)
	found.Number, _ = strconv.Atoi(found.Label(spec.LabelNumber))
	found.OneOff = strings.EqualFold(found.Label(spec.LabelOneOff), "true")
	return found
}

// summaryName is the name of a listed container, without the slash and without names that links add.
func summaryName(summary container.Summary) string {
	for _, name := range summary.Names {
		if name = strings.TrimPrefix(name, "/"); !strings.Contains(name, "/") {
			return name
		}
	}
	return summary.ID
}

// references are the image references of the services, each once.
func (c *Look) references() []string {
	var refs []string
	for _, svc := range c.stack.Services {
		if svc.Image != "" {
			refs = append(refs, svc.Image)
		}
	}
	slices.Sort(refs)
	return slices.Compact(refs)
}

// unknownImages are the ids of images that containers run and no reference named, each once.
func (c *Look) unknownImages() []string {
	var ids []string
	for _, summary := range c.list {
		if _, known := c.snapshot.Images[summary.ImageID]; !known {
			ids = append(ids, summary.ImageID)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// unlistedNetworks are those that the stack names and that do not carry its label, external ones above all.
func (c *Look) unlistedNetworks() []string {
	var names []string
	for _, n := range c.stack.Networks {
		if _, listed := c.snapshot.Networks[n.Name]; !listed {
			names = append(names, n.Name)
		}
	}
	return names
}

// unlistedVolumes are the same for volumes.
func (c *Look) unlistedVolumes() []string {
	var names []string
	for _, v := range c.stack.Volumes {
		if _, listed := c.snapshot.Volumes[v.Name]; !listed {
			names = append(names, v.Name)
		}
	}
	return names
}

// sort makes equal observations equal.
func (c *Look) sort() {
	slices.SortFunc(c.snapshot.Containers, func(a, b Container) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Number, b.Number), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(c.snapshot.Gaps, func(a, b Gap) int {
		return cmp.Or(cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Err, b.Err))
	})
}
