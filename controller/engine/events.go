package engine

import (
	"context"
	"strings"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"

	"composure/spec"
)

// watched are the events that can mean something for a stack. The engine filters: its buffer for a slow reader is
// short, and the three events of every run of every healthcheck would fill it.
var watched = map[events.Type][]events.Action{
	events.ContainerEventType: {
		events.ActionCreate, events.ActionStart, events.ActionRestart, events.ActionStop, events.ActionKill, events.ActionDie,
		events.ActionOOM, events.ActionPause, events.ActionUnPause, events.ActionRename, events.ActionUpdate,
		events.ActionDestroy, events.ActionHealthStatus,
	},
	events.NetworkEventType: {events.ActionCreate, events.ActionConnect, events.ActionDisconnect, events.ActionDestroy, events.ActionRemove},
	events.VolumeEventType:  {events.ActionCreate, events.ActionDestroy},
	events.ImageEventType:   {events.ActionTag, events.ActionUnTag, events.ActionDelete, events.ActionPull, events.ActionLoad, events.ActionImport},
}

// Events subscribes to what happens to containers of a project and to networks, volumes and images of any. It returns
// when the engine has accepted the subscription: a look after that misses nothing. Messages are hints, not facts: labels
// can overwrite their attributes, and a slow reader loses some without notice.
//
// The error channel gets exactly one error, when the stream ends; subscribing again, and looking again, is the caller's.
// Cancelling ctx ends it.
func (e *Engine) Events(ctx context.Context, project string) (<-chan events.Message, <-chan error) {
	args := filters.NewArgs()
	for kind, actions := range watched {
		args.Add("type", string(kind))
		for _, action := range actions {
			args.Add("event", string(action))
		}
	}
	messages := make(chan events.Message)
	ended := make(chan error, 1)
	if err := e.ready(ctx); err != nil {
		ended <- err
		return messages, ended
	}
	stream, errs := e.api().Events(ctx, events.ListOptions{Filters: args})
	go func() {
		for {
			select {
			case err := <-errs:
				e.forget() // an engine that was restarted between two looks breaks it
				ended <- wrap(err, "follow events")
				return
			case m := <-stream:
				if !concerns(m, project) {
					continue
				}
				select {
				case messages <- m:
				case <-ctx.Done():
				}
			}
		}
	}()
	return messages, ended
}

// concerns leaves out containers of other projects. It is done here because a label filter on the server would drop the
// events of networks, which carry no labels; and a restart of a container of another project matters to nobody.
func concerns(m events.Message, project string) bool {
	if m.Type != events.ContainerEventType {
		return actionWatched(m)
	}
	return m.Actor.Attributes[spec.LabelProject] == project
}

// actionWatched checks the pair, since the server's filter takes any watched type with any watched action.
func actionWatched(m events.Message) bool {
	action, _, _ := strings.Cut(string(m.Action), ":")
	for _, wanted := range watched[m.Type] {
		if string(wanted) == action {
			return true
		}
	}
	return false
}
