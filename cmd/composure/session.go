package main

import (
	"context"
	"errors"
	"log/slog"
	"net/url"

	"composure/controller/engine"
	"composure/controller/observe"
	"composure/spec"
)

// session is what a command on one stack works with.
type session struct {
	app    *app
	log    *slog.Logger
	stack  *spec.Stack
	eng    *engine.Engine
	id     string  // of the engine
	memory *memory // opened to read; nil: there is none yet
}

// open loads the stack, reaches the engine and opens the memory to read.
func (a *app) open(ctx context.Context) (*session, error) {
	s, err := a.reach(ctx)
	if err != nil {
		return nil, err
	}
	if s.memory, err = a.peekMemory(ctx, s.id, s.stack); err != nil {
		return nil, errors.Join(err, s.eng.Close())
	}
	return s, nil
}

// reach is open without the memory.
func (a *app) reach(ctx context.Context) (*session, error) {
	log, err := a.logger()
	if err != nil {
		return nil, err
	}
	stack, err := a.load(ctx)
	if err != nil {
		return nil, err
	}
	eng, err := a.connect(ctx, log)
	if err != nil {
		return nil, err
	}
	s := &session{app: a, log: log, stack: stack, eng: eng}
	about, err := eng.Engine(ctx)
	if err != nil {
		return nil, errors.Join(err, eng.Close())
	}
	s.id = about.ID
	return s, nil
}

func (s *session) close() {
	if s.memory != nil {
		_ = s.memory.Close() // opened to read: nothing of ours can be lost
	}
	_ = s.eng.Close()
}

// engineHost is where published ports are reached: the host of an engine that is reached over the network, else empty.
func engineHost(eng *engine.Engine) string {
	u, err := url.Parse(eng.Host())
	if err != nil || u.Scheme == "unix" || u.Scheme == "npipe" {
		return ""
	}
	return u.Hostname()
}

// examiner collects evidence on an engine.
func (a *app) examiner(eng *engine.Engine) *observe.Examiner {
	return observe.NewExaminer(observe.ExaminerConfig{Engine: eng, EngineHost: engineHost(eng), Dial: a.outside.reach})
}
