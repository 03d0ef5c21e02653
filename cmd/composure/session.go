package main

import (
	"context"
	"errors"
	"log/slog"
	"net/url"

	"composure/controller/engine"
	"composure/controller/observe"
	"composure/controller/store"
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

// openRecord is open for what needs no engine, but for knowing which one is meant: one that does not answer is the one that answered
// last at its address, if any did.
func (a *app) openRecord(ctx context.Context) (*session, error) {
	s, absent, err := a.whose(ctx)
	if err != nil {
		return nil, err
	}
	if s.memory, err = a.peekMemory(ctx, s.id, s.stack); err != nil {
		return nil, errors.Join(err, s.eng.Close())
	}
	if absent == nil {
		return s, nil
	}
	if s.memory != nil {
		s.id, err = s.memory.EngineAt(ctx, a.place(s.eng))
	}
	if s.id == "" || err != nil { // nobody knows it: why it does not answer is all there is to say
		s.close()
		return nil, absent
	}
	s.memory.key = store.StackKey(s.id, s.stack.Name)
	if err := a.alone(s.memory.key, s.memory.Store); err != nil {
		s.close()
		return nil, err
	}
	s.log.Warn("the engine does not answer; this is about the one that answered last at its address", "address", s.eng.Host())
	return s, nil
}

// reach is open without the memory.
func (a *app) reach(ctx context.Context) (*session, error) {
	s, absent, err := a.whose(ctx)
	if absent != nil {
		return nil, errors.Join(absent, s.eng.Close())
	}
	return s, err
}

// whose loads the stack and asks the engine who it is; absent says that it does not answer.
func (a *app) whose(ctx context.Context) (s *session, absent, err error) {
	log, err := a.logger()
	if err != nil {
		return nil, nil, err
	}
	stack, err := a.load(ctx)
	if err != nil {
		return nil, nil, err
	}
	eng, err := a.find(log)
	if err != nil {
		return nil, nil, err
	}
	about, err := eng.Engine(ctx)
	s = &session{app: a, log: log, stack: stack, eng: eng, id: about.ID}
	switch {
	case err == nil:
		return s, nil, nil
	case engine.Absent(err):
		return s, err, nil
	}
	return nil, nil, errors.Join(err, eng.Close())
}

// look observes everything once.
func (s *session) look(ctx context.Context) (*observe.Snapshot, error) {
	return observe.Begin(ctx, s.eng, s.stack.Name).Finish(ctx, s.stack)
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
