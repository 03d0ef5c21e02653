package main

import (
	"context"
	"errors"
	"log/slog"

	"composure/controller/engine"
	"composure/controller/observe"
	"composure/spec"
)

// meeting is a stack and the engine that it runs on.
type meeting struct {
	stack *spec.Stack
	eng   *engine.Engine
	about observe.Engine
	look  *observe.Look // at the stack, begun
	end   context.CancelFunc
}

// meet loads the compose files and, meanwhile, reaches the engine and begins to look: neither needs more of the other than
// the project's name, and one takes about as long as the other. What is wrong with the files is said first.
func (a *app) meet(ctx context.Context, log *slog.Logger) (*meeting, error) {
	files, err := a.read()
	if err != nil {
		return nil, err
	}
	m := &meeting{}
	ctx, m.end = context.WithCancel(ctx)
	reached := make(chan error, 1)
	go func() { reached <- m.reach(ctx, a, log, files.Name()) }()
	m.stack, err = a.loadFrom(ctx, files)
	if err != nil {
		m.end()
		<-reached
	} else {
		err = <-reached
	}
	if err != nil {
		return nil, errors.Join(err, m.close())
	}
	return m, nil
}

// reach connects to the engine and begins to look at a project.
func (m *meeting) reach(ctx context.Context, a *app, log *slog.Logger, project string) (err error) {
	if m.eng, err = a.connect(ctx, log); err != nil {
		return err
	}
	if m.about, err = m.eng.Engine(ctx); err != nil {
		return err
	}
	m.look = observe.Begin(ctx, m.eng, project)
	return nil
}

// close ends a look that is under way and gives up the connections.
func (m *meeting) close() error {
	m.end()
	if m.eng == nil {
		return nil
	}
	return m.eng.Close()
}
