package main

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"composure/controller/engine"
	"composure/controller/store"
)

// What several stacks of one process do at once at most.
const (
	passesAtOnce   = 16 // each of which asks the engine several things at a time
	startsTogether = 4
)

// common is what the stacks of one process share.
type common struct {
	eng    *engine.Engine
	db     *store.Store
	tells  bool            // the database says whether other processes have written
	passes chan struct{}   // room for so many
	starts chan struct{}   // the same
	stirs  <-chan struct{} // something in the state directory was written; nil: nothing tells

	mu   sync.Mutex
	news int // how often another process was found to have written
	ears map[chan struct{}]bool
}

// share opens what the stacks of this process share.
func (a *app) share(ctx context.Context, log *slog.Logger) (*common, error) {
	eng, err := engine.Find(a.engineOptions(log))
	if err != nil {
		return nil, err
	}
	db, err := a.openStore(ctx)
	if err != nil {
		return nil, errors.Join(err, eng.Close())
	}
	dir, err := a.state()
	if err != nil {
		return nil, errors.Join(err, eng.Close(), db.Close())
	}
	return &common{
		eng: eng, db: db, tells: a.storeURL == "", passes: make(chan struct{}, passesAtOnce), starts: make(chan struct{}, startsTogether),
		stirs: a.storeStirs(ctx, dir, log), ears: map[chan struct{}]bool{},
	}, nil
}

func (c *common) close() error { return errors.Join(c.db.Close(), c.eng.Close()) }

// room is what bounds the passes; nil where there is one stack.
func (c *common) room() chan struct{} {
	if c == nil {
		return nil
	}
	return c.passes
}

// store is the store of one of the stacks.
func (c *common) store() *store.Store {
	if !c.tells {
		return c.db.Shared(nil)
	}
	return c.db.Shared(c.stamp)
}

// stamp changes when another process has written, as far as is known.
func (c *common) stamp() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strconv.Itoa(c.news)
}

// ear is told when another process has written, until ctx ends.
func (c *common) ear(ctx context.Context) <-chan struct{} {
	told := make(chan struct{}, 1)
	c.mu.Lock()
	c.ears[told] = true
	c.mu.Unlock()
	context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.ears, told)
	})
	return told
}

// listen finds out whether other processes have written, for all stacks at once, until ctx ends: each of them writes itself
// all the time, and would wake all others by it.
func (c *common) listen(ctx context.Context) {
	timer, stirs, others := time.NewTimer(lookEvery), c.stirs, store.Others{}
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-stirs:
			stirs = nil
			timer.Reset(burst)
			continue
		case <-timer.C:
		}
		stirs = c.stirs
		if c.stirs == nil {
			timer.Reset(lookEvery)
		}
		if wrote, err := others.Wrote(ctx, c.db); err == nil && wrote { // a store that is down is each stack's own affair
			c.tell()
		}
	}
}

// tell tells every stack that there is something to look at.
func (c *common) tell() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.news++
	for told := range c.ears {
		select {
		case told <- struct{}{}:
		default:
		}
	}
}
