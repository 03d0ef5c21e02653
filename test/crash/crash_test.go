//go:build linux

// Package crash strikes every call of every remedy on a real engine, and asserts what users rely on: the next run
// converges, with the right names and nothing left over, with the rows intact, and never did the old and the new
// container run at once.
package crash

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"composure/test/dockerd"
	"composure/test/proxy"
	"composure/test/results"
	"composure/test/rig"
)

// whole is the matrix with all scenarios, for `make crash`; else a slice of it.
var whole = os.Getenv("CRASH") == "whole"

// struck and empty count the runs with a fault and those that had no such call any more.
var struck, empty atomic.Int32

func TestMain(m *testing.M) {
	began := time.Now()
	os.Exit(rig.Main(m, func(code int) error {
		if !whole || flag.Lookup("test.run").Value.String() != "" {
			return nil
		}
		verdict := "all converged, rows intact, never two at once"
		if code != 0 {
			verdict = "FAILED"
		}
		version, err := rig.System().Docker("version", "--format", "{{.Server.Version}}")
		return errors.Join(err, results.Add("Crash matrix", "make crash", results.Figure{Name: "faults struck", Value: fmt.Sprint(struck.Load())},
			results.Figure{Name: "runs without one", Value: fmt.Sprint(empty.Load())}, results.Figure{Name: "engine", Value: version},
			results.Figure{Name: "took", Value: time.Since(began).Round(time.Second).String()}, results.Figure{Name: "result", Value: verdict}))
	}))
}

// lab is a stack with a striker before its engine.
type lab struct {
	*rig.Stack
	*striker
	version int
	was     string // id of web's container before the run
}

// newLab deploys a file on a daemon of the test's own, or on the engine that the tests use.
func newLab(t *testing.T, d *dockerd.Engine, name, file string) *lab {
	t.Helper()
	e := rig.System()
	if d != nil {
		e = rig.Private(d)
	}
	l := &lab{Stack: rig.New(t, e, "cmpsr-crash-"+strings.NewReplacer(" ", "", ",", "").Replace(name), file)}
	l.striker = newStriker(proxy.New(t, e.Dial), d)
	l.Converge()
	l.Seed("web")
	return l
}

// edit makes the file want another container.
func (l *lab) edit() {
	l.T.Helper()
	l.version++
	l.Edit(fmt.Sprintf(`VERSION: "v%d"`, l.version-1), fmt.Sprintf(`VERSION: "v%d"`, l.version))
}

// unedit takes the last edit back.
func (l *lab) unedit() {
	l.T.Helper()
	l.version--
	l.Edit(fmt.Sprintf(`VERSION: "v%d"`, l.version+1), fmt.Sprintf(`VERSION: "v%d"`, l.version))
}

// each makes a fault at the first call, at the second, and so on, until a run has no such call.
func (l *lab) each(strike func(n int) bool) {
	outer := l.T.(*testing.T)
	for n, more := 0, true; more && !outer.Failed(); n++ {
		outer.Run(fmt.Sprint(n+1), func(t *testing.T) {
			l.T = t
			defer func() { l.T = outer }()
			if more = strike(n); more {
				struck.Add(1)
			} else {
				empty.Add(1)
			}
		})
	}
}

// cell is one row of the matrix: a fault at each call of something that Composure does.
type cell struct {
	name  string
	slice bool // part of `make test`
	run   func(t *testing.T)
}

func TestMatrix(t *testing.T) {
	for _, c := range slices.Concat(deployments(), remedies(), daemons()) {
		if c.slice || whole {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				c.run(t)
			})
		}
	}
}

func deployments() (cells []cell) {
	for _, sc := range scenarios {
		for i := range faults {
			f := &faults[i]
			cells = append(cells, cell{sc.name + ", " + f.name, sc.slice && f.slice, func(t *testing.T) { deploying(t, nil, sc, f) }})
		}
	}
	return cells
}

// deploying makes a fault at each call of a scenario.
func deploying(t *testing.T, d *dockerd.Engine, sc scenario, f *fault) {
	l := newLab(t, d, sc.name+"-"+f.name, sc.file)
	names, volumes := l.Names(), l.Volumes()
	l.each(func(n int) bool {
		more := l.deploy(sc, f, n)
		l.after(sc, names, volumes)
		return more
	})
}

// deploy makes one run with the fault at its n-th call, and says whether there was such a call. What is executed late is
// executed while the next run works, or after it.
func (l *lab) deploy(sc scenario, f *fault, n int) bool {
	l.T.Helper()
	l.was = l.Inspect("web").ID
	sc.prepare(l)
	args := rig.Once()
	if sc.args != nil {
		args = sc.args(l)
	}
	var run *rig.Run
	started := make(chan struct{})
	l.arm(f, n, func() { <-started; run.Kill() })
	l.Through = l.proxy.Host
	run = l.Start(args...)
	close(started)
	r := run.Wait()
	l.Through = ""
	if f.late {
		l.Composure(rig.Once()...)
	}
	struck, executed := l.disarm()
	l.T.Logf("%s: %s (exit %d; executed: %s)", f.name, struck, r.Code, strings.Join(executed, ", "))
	if strings.Contains(r.Err, "internal error") {
		l.T.Errorf("a panic: %s", r)
	}
	if struck == "" && r.Code != sc.exit {
		l.T.Errorf("nothing was struck: exit status %d, expected %d: %s", r.Code, sc.exit, r)
	}
	return struck != ""
}

// after is what must hold once Composure has run again.
func (l *lab) after(sc scenario, names, volumes []string) {
	l.T.Helper()
	if sc.undo != nil {
		sc.undo(l)
	}
	if l.daemon != nil {
		l.recheck()
	}
	l.Converge()
	l.Has(names...)
	if got := l.Volumes(); !slices.Equal(got, volumes) {
		l.T.Errorf("volumes %v, expected %v", got, volumes)
	}
	if sc.fresh {
		l.Seed("web")
	}
	l.Intact("web")
	if sc.check != nil {
		sc.check(l)
	}
}
