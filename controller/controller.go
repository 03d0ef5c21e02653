// Package controller closes the gap between a compose file and an engine: load, observe, drift, verify, plan, record
// intent, act, record. The stages decide; this package only calls them in order and keeps what is in flight.
package controller

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"composure/controller/act"
	"composure/controller/diagnose"
	"composure/controller/drift"
	"composure/controller/observe"
	"composure/controller/plan"
	"composure/spec"
)

// Ledger is the durable record of what is done. Intents are written before the act.
type Ledger interface {
	// Begin records an intent and returns what Finish needs. A failure, such as another process that has the lease of
	// the stack, keeps the job from being run.
	Begin(ctx context.Context, job plan.Job, at time.Time) (id string, err error)
	Finish(ctx context.Context, id string, outcome plan.Outcome, reason string, at time.Time) error
}

// Config is what a Controller works with. All fields but the callbacks are needed.
type Config struct {
	Source  observe.Source
	Actor   *act.Actor
	Ledger  Ledger
	Stack   *spec.Stack
	Applied *spec.Stack                                // as last applied; nil: unknown
	Recall  func(context.Context) (*spec.Stack, error) // reads Applied, when a container was made from another file; nil: it is given, or nothing is recorded
	Begun   *observe.Look                              // at the stack, begun before there was a controller: what the first pass sees; nil: it begins to look itself
	Events  Events

	Overrides []drift.Override // what is meant to differ, for the report
	Logger    *slog.Logger

	Deploy   bool                  // the deployment verb
	Prune    bool                  // remove orphans and surplus replicas
	Services map[string]bool       // nil: all
	TakeOver bool                  // the stack moves to this project directory
	Asked    map[string]plan.Asked // service → a rung that a person asks for; nil: no command by hand
	Paused   map[string]string     // service, "" for the stack → why it is left alone; continuous mode reads its memory
	History  []plan.Attempt        // what was tried before this run, oldest first
	Pinned   map[string]string     // service → id of the image that was applied, where no moved tag is to be deployed
	Tries    int                   // failed attempts of one kind before it is held for good
	Parallel int                   // jobs in flight at once; 0: 16
	Room     chan struct{}         // for the passes that several controllers make at once; nil: there are no others

	OnPass func(Pass) // after each pass, before its jobs end
}

// Controller runs passes over one stack. Its methods are not safe for concurrent use; what it dispatches is.
type Controller struct {
	Config
	wake  chan struct{} // of capacity one: triggers coalesce
	hint  chan struct{} // of capacity one: an event that may be about the stack
	slots chan struct{} // bounds the jobs in flight
	jobs  sync.WaitGroup
	over  <-chan struct{} // closed when the run is to end: nothing is begun any more

	heal   *healer          // nil: the deployment verb
	reload chan *spec.Stack // what the files say now, taken over between passes

	ahead atomic.Int64 // how far the engine's clock was ahead at the last look, in nanoseconds

	mu      sync.Mutex
	concern *concern             // nil: nothing was looked at yet, so everything may matter
	ooms    map[string]time.Time // container id → last oom event
	broke   time.Time            // since when the event stream is broken, and no look has followed; zero: it is not
	early   map[string]time.Time // id and start of a run whose stamp cannot be right → its start by this host's clock
	busy    map[string]string    // key → what is being done
	history []plan.Attempt
}

// Pass is what one pass saw and decided.
type Pass struct {
	Stack    *spec.Stack
	Snapshot *observe.Snapshot
	Drift    drift.Report
	Judged   map[string]plan.Judgement // by container id

	// Of continuous mode only.
	File      *spec.Stack              // as the files say now; Stack is what is restored
	Applied   *spec.Stack              // as last applied, without what was decided since; nil: nothing is recorded
	Ill       map[string]string        // service → why it is not well
	Probes    []observe.ProbeResult    // as they stand
	Samples   map[string]observe.Stats // by container id
	Evidence  map[string][]observe.Evidence
	Diagnoses []diagnose.Diagnosis
	Killed    map[string]time.Time // service → when the kernel killed it for memory, where the engine has repaired it and no incident tells yet
	Unsound   map[string]string    // service → what its integrity checks say against it
	Window    map[string]string    // service → until when its maintenance window is open

	Tried    []plan.Attempt // before this pass
	Plan     plan.Plan
	InFlight int // jobs running when the pass was over, its own included

	// Unread: the compose files have changed and are still to be read. Nothing new is begun, and no incident recorded.
	Unread bool
	// Elsewhere: somebody else has the stack, or had it since what is to be restored was read. Nothing was done, and what
	// was seen says nothing.
	Elsewhere bool
}

// Turn is one turn of continuous mode, for those who watch it: it changes nothing.
type Turn struct {
	Pass Pass          // what it saw and decided; empty with Err
	Took time.Duration // from the look until all was on record
	Next time.Time     // when everything is looked at again at the latest
	Err  error         // why the engine could not be observed
	Down time.Time     // since when it cannot; zero: it can

	Glance bool // only the list of containers was asked for: Pass is the last one, as of now
}

// New returns a controller that has not looked yet.
func New(c Config) *Controller {
	if c.Parallel == 0 {
		c.Parallel = 16
	}
	return &Controller{Config: c, wake: make(chan struct{}, 1), hint: make(chan struct{}, 1), slots: make(chan struct{}, c.Parallel), busy: map[string]string{}, ooms: map[string]time.Time{}, history: c.History, reload: make(chan *spec.Stack)}
}
