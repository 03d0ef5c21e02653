// Package act runs the jobs of a plan. It decides nothing: the steps, their order and what their targets must still be
// come from the plan, and whether it worked is found out by the next pass.
package act

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"composure/controller/observe"
	"composure/controller/plan"
	"composure/spec"
)

// Engine is what act does to an engine: one call an operation. Implementations are safe for concurrent use and answer
// nil for "already so".
type Engine interface {
	// Self is the id of the container that Composure runs in; empty when it is none of this engine's.
	Self() string
	Container(ctx context.Context, id string) (*container.InspectResponse, error)
	CreateNetwork(ctx context.Context, n *spec.Network) error
	RemoveNetwork(ctx context.Context, id string, n *spec.Network) error
	CreateVolume(ctx context.Context, v *spec.Volume) error
	CreateContainer(ctx context.Context, name string, c spec.Container) (id string, err error)
	Start(ctx context.Context, id string) error
	Stop(ctx context.Context, id string, grace *time.Duration) error
	Kill(ctx context.Context, id, signal string) error
	Restart(ctx context.Context, id string, grace *time.Duration) error
	Unpause(ctx context.Context, id string) error
	Rename(ctx context.Context, id, name string) error
	Remove(ctx context.Context, id string, force bool) error
	Update(ctx context.Context, id string, u container.UpdateConfig) error
	Connect(ctx context.Context, network, id string, endpoint *network.EndpointSettings) error
	Disconnect(ctx context.Context, network, id string) error
}

// Images makes images present. They take their time: the context bounds them.
type Images interface {
	Pull(ctx context.Context, svc *spec.Service, report func(string)) error
	Build(ctx context.Context, svc *spec.Service, report func(string)) error
}

// Capture keeps the logs and the state of a container that is about to go, and returns where.
type Capture func(ctx context.Context, c *container.InspectResponse) (string, error)

// ErrStale is returned when a target is not what the step was planned for: nothing was done to it.
var ErrStale = errors.New("changed since it was observed")

// ErrOwn is returned for a target that is Composure's own container: nothing was done to it (safety rule 2).
var ErrOwn = errors.New("this is the container that Composure runs in")

// Actor runs jobs on one engine. It is safe for concurrent use; jobs of the same key must not overlap.
type Actor struct {
	Engine  Engine
	Images  Images
	Capture Capture
	// Dump asks the first process of a container for a stack dump, by a signal sent inside it, and waits until it is in
	// the log.
	Dump func(ctx context.Context, c *container.InspectResponse, signal string) error
	// EndSessions ends those of the sessions of a service's database that are still what they were, and returns how many.
	EndSessions func(ctx context.Context, svc *spec.Service, sessions []observe.Session) (int, error)
	// Before is called before each step and After when it has ended; both may be nil. A test ends the process in Before
	// to prove that a job survives it.
	Before func(plan.Job, plan.Step)
	After  func(plan.Job, plan.Step, error)
	// Report tells the progress of a pull or build.
	Report func(plan.Job, string)
}

// Run runs the steps that are due, in order, and stops at the first that fails, but for those that only keep evidence.
// The error names the step.
func (a *Actor) Run(ctx context.Context, job plan.Job) error {
	created := ""
	for _, step := range job.Due() {
		if step.ID == "" {
			step.ID = created
		}
		if a.Before != nil {
			a.Before(job, step)
		}
		id, err := a.step(ctx, job, step)
		if a.After != nil {
			a.After(job, step, err)
		}
		if err != nil && !evidence(step.Op) {
			return err
		}
		if id != "" {
			created = id
		}
	}
	return nil
}

// evidence is what is kept before a container goes. Healing does not wait for evidence that cannot be had.
func evidence(op plan.Operation) bool { return op == plan.Capture || op == plan.Dump }

// takesDown says whether an operation ends a run: nobody does that to a container that a person has paused since it was looked at.
func takesDown(op plan.Operation) bool {
	return op == plan.Stop || op == plan.Kill || op == plan.Restart
}

// step makes the one call of a step, after a fresh look at its target. It returns the id of a container it created.
func (a *Actor) step(ctx context.Context, job plan.Job, s plan.Step) (string, error) {
	switch s.Op {
	case plan.NetworkCreate:
		return "", a.Engine.CreateNetwork(ctx, s.Network)
	case plan.NetworkRemove:
		return "", a.Engine.RemoveNetwork(ctx, s.ID, s.Network)
	case plan.VolumeCreate:
		return "", a.Engine.CreateVolume(ctx, s.Volume)
	case plan.ImagePull:
		return "", a.Images.Pull(ctx, s.Service, a.reporter(job))
	case plan.ImageBuild:
		return "", a.Images.Build(ctx, s.Service, a.reporter(job))
	case plan.Create:
		id, err := a.Engine.CreateContainer(ctx, s.Target, *s.Create)
		return id, a.unseen(ctx, s, s.Create.Config, err)
	}
	target, err := a.Engine.Container(ctx, s.ID)
	if errors.Is(err, observe.ErrNotFound) && s.Op == plan.Remove {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if target.ID == a.Engine.Self() && !evidence(s.Op) {
		err = ErrOwn
	} else if takesDown(s.Op) && target.State.Paused && !s.Expect.Paused {
		err = fmt.Errorf("%w: it was paused", ErrStale)
	} else if err = matches(target, s.Expect); err == nil {
		err = a.container(ctx, s, target)
	}
	if err != nil { // the engine's own text only has the id
		return "", fmt.Errorf("%s %s: %w", s.Op, s.Target, err)
	}
	return "", nil
}

// container makes the calls on an existing container.
func (a *Actor) container(ctx context.Context, s plan.Step, target *container.InspectResponse) error {
	switch s.Op {
	case plan.Start:
		if err := a.alone(ctx, s.Beside); err != nil {
			return err
		}
		return needed(target, a.Engine.Start(ctx, s.ID))
	case plan.Stop:
		return a.Engine.Stop(ctx, s.ID, s.Grace)
	case plan.Kill:
		if err := a.Engine.Kill(ctx, s.ID, ""); !errors.Is(err, observe.ErrConflict) {
			return err
		}
		return nil // it has ended by itself, as one in a crash loop does when its restart policy is taken away
	case plan.Restart:
		return needed(target, a.Engine.Restart(ctx, s.ID, s.Grace))
	case plan.Unpause:
		return a.Engine.Unpause(ctx, s.ID)
	case plan.Rename:
		return a.unseen(ctx, s, target.Config, a.Engine.Rename(ctx, s.ID, s.To))
	case plan.Remove:
		return a.Engine.Remove(ctx, s.ID, false)
	case plan.Update:
		return a.Engine.Update(ctx, s.ID, *s.Update)
	case plan.Connect:
		return a.Engine.Connect(ctx, s.To, s.ID, s.Endpoint)
	case plan.Disconnect:
		return a.Engine.Disconnect(ctx, s.To, s.ID)
	case plan.EndSessions:
		ended, err := a.EndSessions(ctx, s.Service, s.Sessions)
		if err == nil && ended == 0 {
			return fmt.Errorf("%w: none of the sessions is still idle in that transaction", ErrStale)
		}
		return err
	case plan.Dump:
		return a.Dump(ctx, target, s.Signal)
	case plan.Capture:
		_, err := a.Capture(ctx, target)
		return err
	}
	return fmt.Errorf("no such operation")
}

// alone says no when the other container of a recreation runs: somebody may have started it since it was looked at.
func (a *Actor) alone(ctx context.Context, other string) error {
	if other == "" {
		return nil
	}
	c, err := a.Engine.Container(ctx, other)
	switch {
	case errors.Is(err, observe.ErrNotFound):
		return nil
	case err != nil:
		return err
	case c.State.Running:
		return fmt.Errorf("%w: %s is running, which it is to replace or to be replaced by", ErrStale, c.Name[1:])
	}
	return nil
}

// unseen tells when the name that a container is to have is another's of the same replica, and the job was planned without that one,
// such as when its creation or its renaming was not answered and a list did not show it yet. With it something else is planned.
func (a *Actor) unseen(ctx context.Context, s plan.Step, of *container.Config, err error) error {
	var taken *observe.NameTaken
	if !errors.As(err, &taken) || taken.Holder == s.Holder || of == nil {
		return err
	}
	holder, lost := a.Engine.Container(ctx, taken.Holder)
	if lost != nil || holder.Config == nil {
		return err
	}
	for _, label := range []string{spec.LabelProject, spec.LabelService, spec.LabelNumber} {
		if holder.Config.Labels[label] != of.Labels[label] {
			return err
		}
	}
	return fmt.Errorf("%w: %w", ErrStale, err)
}

// needed tells what is not there when the engine cannot start a container that was there a moment before: the one whose namespaces
// it shares (the engine answers 404 to both). That is a failure: another look changes nothing about it.
func needed(target *container.InspectResponse, err error) error {
	host := target.HostConfig
	if errors.Is(err, observe.ErrNotFound) && (host.NetworkMode.IsContainer() || host.IpcMode.IsContainer() || host.PidMode.IsContainer()) {
		return errors.New(err.Error())
	}
	return err
}

// matches holds a container against what the step was planned for.
func matches(c *container.InspectResponse, want plan.Expect) error {
	switch {
	case want.Name != "" && c.Name != "/"+want.Name:
		return fmt.Errorf("%w: it is now called %s", ErrStale, c.Name[1:])
	case want.StartedAt != "" && c.State.StartedAt != want.StartedAt && !(want.Revived && c.RestartCount > 0): // a start by hand counts anew
		return fmt.Errorf("%w: it was started again at %s", ErrStale, c.State.StartedAt)
	case want.Stopped && c.State.Running:
		return fmt.Errorf("%w: it is running", ErrStale)
	}
	return nil
}

func (a *Actor) reporter(job plan.Job) func(string) {
	return func(text string) {
		if a.Report != nil {
			a.Report(job, text)
		}
	}
}
