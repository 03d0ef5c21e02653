package engine

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/docker/docker/api/types/container"
)

// Start starts a container; one that runs is fine. A failed start leaves a new container in state created.
func (e *Engine) Start(ctx context.Context, id string) error {
	if err := e.starts.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("start %s: %w", short(id), err)
	}
	defer e.starts.Release(1)
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	return wrap(e.api().ContainerStart(ctx, id, container.StartOptions{}), "start %s", short(id))
}

// Stop stops a container: its own stop signal, and SIGKILL after grace (nil: its own, else the engine's 10 s). One that
// does not run is fine. It returns when the container has stopped; a cancelled call does not take the stop back.
func (e *Engine) Stop(ctx context.Context, id string, grace *time.Duration) error {
	ctx, cancel, err := e.withGrace(ctx, id, grace)
	if err != nil {
		return fmt.Errorf("stop %s: %w", short(id), err)
	}
	defer cancel()
	return wrap(e.api().ContainerStop(ctx, id, container.StopOptions{Timeout: seconds(grace)}), "stop %s", short(id))
}

// Kill sends a signal; empty is SIGKILL. Any signal sent this way makes the engine take the container for stopped by
// hand. One that does not run is an ErrConflict.
func (e *Engine) Kill(ctx context.Context, id, signal string) error {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	return wrap(e.api().ContainerKill(ctx, id, signal), "kill %s", short(id))
}

// Restart stops (as Stop) and starts a container, also one that does not run.
func (e *Engine) Restart(ctx context.Context, id string, grace *time.Duration) error {
	ctx, cancel, err := e.withGrace(ctx, id, grace)
	if err != nil {
		return fmt.Errorf("restart %s: %w", short(id), err)
	}
	defer cancel()
	return wrap(e.api().ContainerRestart(ctx, id, container.StopOptions{Timeout: seconds(grace)}), "restart %s", short(id))
}

// Unpause continues a paused container; one that is not paused is fine.
func (e *Engine) Unpause(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	err := e.api().ContainerUnpause(ctx, id)
	if err != nil && strings.Contains(err.Error(), "is not paused") {
		return nil
	}
	return wrap(err, "unpause %s", short(id))
}

// Rename gives a container another name. The error is a *observe.NameTaken when another container has it.
func (e *Engine) Rename(ctx context.Context, id, name string) error {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	err := e.api().ContainerRename(ctx, id, name)
	if err != nil && strings.Contains(err.Error(), "same name as its current name") {
		return nil // it has that name already
	}
	return wrap(err, "rename %s to %s", short(id), name)
}

// Remove removes a container, a running one only with force. Its volumes always stay: there is no way to ask otherwise.
// A removal that is in progress is fine.
func (e *Engine) Remove(ctx context.Context, id string, force bool) error {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	err := e.api().ContainerRemove(ctx, id, container.RemoveOptions{Force: force, RemoveVolumes: false})
	if err != nil && strings.Contains(err.Error(), "is already in progress") {
		return nil
	}
	return wrap(err, "remove %s", short(id))
}

// Update changes limits and restart policy of a container in place; zero fields stay as they are. The engine refuses a
// memory limit above the memory and swap limit, so the latter goes along: without one given, twice the memory, which is
// what a creation makes of it. It also refuses what has just ended, though it takes the same when it knows of the end: a crash
// loop on a busy machine would never get its restart policy.
func (e *Engine) Update(ctx context.Context, id string, update container.UpdateConfig) error {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	if update.Memory > 0 && update.MemorySwap == 0 {
		update.MemorySwap = 2 * update.Memory
	}
	err := soonAgain(ctx, func() error {
		result, err := e.api().ContainerUpdate(ctx, id, update)
		for _, warning := range result.Warnings {
			e.log.Warn("engine warning at update", "container", short(id), "warning", warning)
		}
		if err != nil && !e.comesAndGoes(ctx, id) {
			return backoff.Permanent(err)
		}
		return err
	})
	return wrap(err, "update %s", short(id))
}

// comesAndGoes says whether a container has ended just now, or is restarted by the engine again and again.
func (e *Engine) comesAndGoes(ctx context.Context, id string) bool {
	found, err := e.api().ContainerInspect(ctx, id)
	return err == nil && (!found.State.Running || found.State.Restarting || found.RestartCount > 0)
}

// defaultGrace is the engine's own for a container without a stop timeout.
const defaultGrace = 10 * time.Second

// withGrace bounds a stop: the grace period, the container's own if none is given, and a margin.
func (e *Engine) withGrace(ctx context.Context, id string, grace *time.Duration) (context.Context, context.CancelFunc, error) {
	limit := defaultGrace
	if grace != nil {
		limit = *grace
	} else {
		inspect, err := e.Container(ctx, id)
		if err != nil {
			return nil, nil, err
		}
		if own := inspect.Config.StopTimeout; own != nil {
			limit = time.Duration(*own) * time.Second
		}
	}
	if limit < 0 { // the service waits for ever: so does the caller's context
		ctx, cancel := context.WithCancel(ctx)
		return ctx, cancel, nil
	}
	ctx, cancel := context.WithTimeout(ctx, limit+graceMargin)
	return ctx, cancel, nil
}

// seconds is a grace period as the API takes it, rounded up; nil leaves it to the container.
func seconds(grace *time.Duration) *int {
	if grace == nil {
		return nil
	}
	whole := int((*grace + time.Second - 1) / time.Second)
	return &whole
}
