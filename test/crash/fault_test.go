//go:build linux

package crash

import (
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"composure/test/dockerd"
	"composure/test/proxy"
)

// fault is what becomes of one call that would change something, and of who made it.
type fault struct {
	name   string
	slice  bool // part of `make test`; all of them are in `make crash`
	late   bool // the engine executes the call when Composure is elsewhere
	strike func(c *call)
}

// call is a call that a fault strikes.
type call struct {
	w       http.ResponseWriter
	execute func() (int, []byte, error)
	kill    func() // the binary, as kill -9 does
	late    func(after time.Duration)
	later   func(do func()) // beside everything else; it is waited for
	daemon  *dockerd.Engine // nil: the machine's, which nothing is done to
}

// abort breaks the connection without an answer.
func (c *call) abort() { panic(http.ErrAbortHandler) }

func (c *call) refuse() {
	http.Error(c.w, `{"message":"refused for a test"}`, http.StatusInternalServerError)
}

// run has the engine execute the call; what it answers is lost.
func (c *call) run() { _, _, _ = c.execute() }

// faults are all of them: each is made at each call of each scenario.
var faults = []fault{
	{name: "killed before", slice: true, strike: func(c *call) { c.kill(); c.abort() }},
	{name: "killed after", slice: true, strike: func(c *call) { c.run(); c.kill(); c.abort() }},
	{name: "lost before", strike: func(c *call) { c.abort() }},
	{name: "lost after", slice: true, strike: func(c *call) { c.run(); c.abort() }},
	{name: "refused before", strike: func(c *call) { c.refuse() }},
	{name: "refused after", slice: true, strike: func(c *call) { c.run(); c.refuse() }},
	{name: "executed soon after", late: true, strike: func(c *call) { c.late(200 * time.Millisecond); c.abort() }},
	{name: "executed long after", late: true, strike: func(c *call) { c.late(3 * time.Second); c.abort() }},
	{name: "executed after the kill", slice: true, late: true, strike: func(c *call) { c.late(500 * time.Millisecond); c.kill(); c.abort() }},
}

// striker lets one fault strike the n-th call that would change something, and writes down those that the engine was
// given.
type striker struct {
	proxy  *proxy.Proxy
	daemon *dockerd.Engine // nil: the machine's
	kill   func()
	spared []string // operations that are no part of what is struck

	mu       sync.Mutex
	fault    *fault
	at       int
	struck   string // the call that was struck; "": none
	executed []string
	pending  sync.WaitGroup // late calls
}

func newStriker(p *proxy.Proxy, d *dockerd.Engine) *striker {
	s := &striker{proxy: p, daemon: d}
	p.Intercept(s.intercept)
	return s
}

// arm has a fault strike the n-th call from now on.
func (s *striker) arm(f *fault, n int, kill func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault, s.at, s.kill, s.struck, s.executed = f, n, kill, "", nil
}

// disarm waits for the calls that are executed late, and returns the call that was struck and all that were executed.
func (s *striker) disarm() (struck string, executed []string) {
	s.pending.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = nil
	return s.struck, s.executed
}

func (s *striker) intercept(w http.ResponseWriter, r *http.Request) bool {
	op := operation(r)
	if r.Method == http.MethodGet || r.Method == http.MethodHead || strings.Contains(r.URL.Path, "/exec") || slices.Contains(s.spared, op) {
		return false
	}
	s.mu.Lock()
	f := s.fault
	hit := f != nil && s.struck == "" && s.at == 0
	s.at--
	if hit {
		s.struck = op
	} else {
		s.executed = append(s.executed, op)
	}
	s.mu.Unlock()
	if !hit {
		return false
	}
	take, err := s.proxy.Take(r)
	if err != nil {
		return false
	}
	execute := func() (int, []byte, error) {
		s.mu.Lock()
		s.executed = append(s.executed, op)
		s.mu.Unlock()
		return take()
	}
	s.pending.Add(1) // a stack may be healed before the strike is over
	defer s.pending.Done()
	late := func(after time.Duration) { s.pending.Go(func() { time.Sleep(after); _, _, _ = execute() }) }
	f.strike(&call{w: w, execute: execute, kill: s.kill, late: late, later: s.pending.Go, daemon: s.daemon})
	return true
}

// operation names a call: "create", "rename", "remove".
func operation(r *http.Request) string {
	kind := path.Base(path.Dir(r.URL.Path))
	switch name := path.Base(r.URL.Path); {
	case r.Method == http.MethodDelete:
		return "remove"
	case name == "create" && kind != "containers":
		return "create " + strings.TrimSuffix(kind, "s")
	default:
		return name
	}
}
