package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"composure/controller/engine"
	"composure/controller/observe"
	"composure/controller/store"
)

// A remediator that is started before its engine waits for it as in any outage. What it remembers of the stack stands in the
// store under the engine's id, which nobody can ask for then: it goes by the engine that last answered at the address, and
// begins anew with the right memory when another one does.

// errOtherEngine ends what was begun with the memory of another engine.
var errOtherEngine = errors.New("another engine answers than the one that is remembered")

// sameEngine is what is observed, as long as it is the engine that the memory is about. Another one is not looked at.
type sameEngine struct {
	observe.Source
	id    string
	other func(observe.Engine) // told of another one; it must not block
}

// Engine implements observe.Source.
func (s *sameEngine) Engine(ctx context.Context) (observe.Engine, error) {
	about, err := s.Source.Engine(ctx)
	if err == nil && about.ID != s.id {
		s.other(about)
		err = errOtherEngine
	}
	return about, err
}

// place names where an engine is reached, for the store: a socket is one of this host, which may share its store with others.
func (a *app) place(eng *engine.Engine) string {
	if a.storeURL == "" || !strings.HasPrefix(eng.Host(), "unix://") {
		return eng.Host()
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return host + " " + eng.Host()
}

// identify is the id of the engine, by which the store knows its stacks: what it says itself or, when it does not answer, of
// the one that did last. Of one that has never answered it is its address.
func (a *app) identify(ctx context.Context, eng *engine.Engine, about observe.Engine) (id string, err error) {
	db, err := a.openStore(ctx)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if about.ID != "" {
		return about.ID, db.NoteEngine(ctx, a.place(eng), about.ID)
	}
	id, err = db.EngineAt(ctx, a.place(eng))
	if errors.Is(err, store.ErrNotFound) {
		return "at " + a.place(eng), nil
	}
	return id, err
}

// move begins anew with the memory of the engine that answers. That it did not answer before is the incident of that one.
func (r *remediation) move(ctx context.Context) error {
	before, about, stack := r.memory.stack, r.about, r.read()
	id, err := r.app.identify(ctx, r.eng, about)
	if err != nil {
		return err
	}
	db, err := r.app.openStore(ctx)
	if err != nil {
		return err
	}
	err = db.MoveIncidents(ctx, before, store.StackKey(id, stack.Name), "engine_unreachable")
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	r.log.Info("the engine answers, going on with what is remembered of it", "engine", about.Version, "id", about.ID)
	memory, err := r.app.openHealMemory(ctx, r.eng, id, stack, r.log)
	if err != nil {
		return fmt.Errorf("begin with the memory of this engine: %w", err)
	}
	r.memory = memory
	r.assemble()
	return nil
}
