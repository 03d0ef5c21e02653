// Package sim runs Composure against the simulated engine under virtual time, from a seed: a random stack, random actions
// of people and hosts, faults of every kind, and rules that must hold at every step. The same seed gives the same run.
//
// What runs is the program itself, wired as in production: loader, controller, pure stages, engine adapter, probes, store,
// outbox, commands. cmd/composure binds it, since a main package cannot be imported.
//
// Everything random is decided before a run begins and written down as a Scenario, which can be kept as a file: a
// scenario that once broke a rule stays a test when the generator has changed and its seed means something else.
package sim

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"

	"composure/controller"
	"composure/controller/observe"
	"composure/spec"
)

// Program is the program under test.
type Program interface {
	// Reconcile runs `composure reconcile` until ctx ends.
	Reconcile(ctx context.Context, p *Process) error
	// Command runs a command line to its end and returns its exit status.
	Command(ctx context.Context, p *Process, args ...string) int
}

// Process is one process of the program, with its ways out.
type Process struct {
	Files    []string
	StateDir string        // its own path to it, by which its connections to the store are known
	Driver   string        // of database/sql
	Stamp    func() string // which changes with what that writes; nil: nothing tells
	Load     func(context.Context, *spec.Files) (*spec.Stack, error)
	Model    func(data []byte, like *spec.Stack) (*spec.Stack, error)
	Host     string // of the engine
	Dial     observe.DialFunc
	Calls    func(http.RoundTripper) http.RoundTripper // which answers some calls by itself
	Reach    observe.DialFunc                          // to what is probed
	Log      *slog.Logger
	Out      io.Writer
	Interval time.Duration
	Passed   func(controller.Pass) // called after each pass

	*process
}

// Scenario is one run, decided.
type Scenario struct {
	Name  string
	Seed  uint64   // of what is not in the script: which calls a fault hits, how long a call takes
	Files []string // compose files: the first is the one at the beginning, `edit N` puts another in its place
	Steps []Step
	End   time.Duration // when everything that goes wrong is over
}

// Step is one line of a script.
type Step struct {
	At   time.Duration // after the beginning
	Verb string
	Args []string
}

// Result is how a run ended.
type Result struct {
	Scenario   Scenario
	Violations []string // of the rules; empty: it is as it should be
	Trace      []string // what happened, in order; the same for the same scenario
	Log        []string // of the program, when it was asked for
	Passes     int
	Calls      int           // that change something
	Lasted     time.Duration // simulated
}
