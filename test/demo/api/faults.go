package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"
)

// faults are what POST /debug/NAME and FAULT=NAME can switch on. Each lasts until
// the process ends, as the real ones do.
var faults = map[string]func(*application){
	// The lock that every request takes is never released: no CPU, no errors.
	"hang": func(a *application) { a.mu.TryLock() },

	// The process answers, and says that it is not well.
	"unhealthy": func(a *application) { a.mu.Lock(); a.ailing = true; a.mu.Unlock() },

	// Memory is taken, and touched, until the kernel kills the process.
	"leak": func(a *application) { go a.leak() },

	// Every connection of the pool stays idle in transaction.
	"exhaust-pool": func(a *application) { a.exhaustPool() },

	// What a program with a missing dependency leaves behind.
	"crash": func(*application) {
		fmt.Fprintln(os.Stderr, "FATAL unhandled exception: crash requested")
		os.Exit(3)
	},

	// One core is kept busy, so that slow and stuck can be told apart.
	"spin": func(*application) {
		go func() {
			//lint:ignore SA5002 spinning is the point
			for {
			}
		}()
	},
}

// injectNamed switches a fault on. It returns an error when there is none of
// that name.
func (a *application) injectNamed(name string) error {
	inject, ok := faults[name]
	if !ok {
		return fmt.Errorf("no fault named %q", name)
	}
	inject(a)
	return nil
}

// debug switches a fault on. /debug/log is none: it writes the request's body to
// the log, as any line that an application could print.
func (a *application) debug(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("fault")
	if name == "log" {
		text, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(os.Stderr, "%s\n", text)
		return
	}
	if err := a.injectNamed(name); err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	fmt.Fprintf(w, "%s: on\n", name)
}

// leak takes 64 MiB a second. Writing to each page makes the memory resident.
func (a *application) leak() {
	const chunk, page = 4 << 20, 4 << 10
	for range time.Tick(chunk * time.Second / (64 << 20)) {
		memory := make([]byte, chunk)
		for i := 0; i < chunk; i += page {
			memory[i] = 1
		}
		a.leaked = append(a.leaked, memory)
	}
}

// exhaustPool takes every connection there is and leaves each idle in a
// transaction, which pg_stat_activity shows.
func (a *application) exhaustPool() {
	for range a.pool.Config().MaxConns {
		ctx, cancel := context.WithTimeout(context.Background(), a.poolTimeout)
		connection, err := a.pool.Acquire(ctx)
		if err == nil {
			_, err = connection.Exec(ctx, "BEGIN; SELECT count(*) FROM vendor_equipment")
		}
		cancel()
		if err != nil {
			log.Printf("ERROR exhaust pool: %v", err)
			return
		}
	}
}
