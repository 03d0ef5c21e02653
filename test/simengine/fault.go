package simengine

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"time"
)

// FaultKind is what goes wrong with a request.
type FaultKind string

// Kinds of faults.
const (
	Error FaultKind = "500"   // nothing is done
	Lost  FaultKind = "lost"  // nothing is done, and the connection breaks
	Drop  FaultKind = "drop"  // it is done, and the connection breaks before the answer
	Late  FaultKind = "late"  // it is done, after a while
	Hang  FaultKind = "hang"  // nothing is done, and nothing is answered
	Stale FaultKind = "stale" // a list shows what was so when the last photo was taken
)

// Fault is an answer of the engine that is not what was asked for.
type Fault struct {
	Method   string         // empty: any
	Path     *regexp.Regexp // of the path without the version
	From, To int            // attempts at one method and path, from 1; To 0: for ever
	Kind     FaultKind
	Late     time.Duration // of Late
	Until    time.Time     // when it is over; zero: never
}

// Trouble is what goes wrong with one request. The zero value is nothing.
type Trouble struct {
	Kind  FaultKind
	Late  time.Duration // of Late
	Delay time.Duration // before anything else: how long the engine takes
	Then  func()        // called when the request was dealt with, before it is answered; nil: nothing
}

// Fault adds faults.
func (e *Engine) Fault(faults ...Fault) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.faults = append(e.faults, faults...)
}

// FaultFor lets the engine answer 500 to a kind of request for some time, or until the function that it returns is called.
func (e *Engine) FaultFor(d time.Duration, method, path string) (end func()) {
	f := Fault{Method: method, Path: regexp.MustCompile(path), Kind: Error, Until: time.Now().Add(d)}
	e.Fault(f)
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.faults = nil
	}
}

// TroubleBy asks a function about every request, with the name of the caller's line. It must be a function of the request
// and of the time for a run to be repeatable.
func (e *Engine) TroubleBy(f func(r *http.Request, from string) Trouble) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.trouble = f
}

// TakePhoto keeps what a stale list shows.
func (e *Engine) TakePhoto() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.photo = nil
	for _, i := range e.ordered() {
		e.photo = append(e.photo, i.summary())
	}
}

// faulty answers, as well as the faults let it.
func (e *Engine) faulty(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if r.Body != http.NoBody {
		body, _ := io.ReadAll(r.Body) // what was sent stays with the engine, also when the caller goes away
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	e.mu.Lock()
	asleep, trouble := e.asleep, e.trouble
	e.mu.Unlock()
	if asleep != nil {
		wait(r, 0, asleep)
	}
	t := Trouble{}
	if trouble != nil {
		t = trouble(r, about(r).from)
	}
	if f := e.fault(r); t.Kind == "" {
		t.Kind, t.Late = f.Kind, f.Late
	}
	if t.Delay > 0 {
		wait(r, t.Delay, nil)
	}
	then := t.Then
	if then == nil {
		then = func() {}
	}
	switch t.Kind {
	case Error:
		then()
		fail(w, http.StatusInternalServerError, "simulated fault")
	case Lost:
		then()
		panic(http.ErrAbortHandler)
	case Drop:
		next.ServeHTTP(discard{http.Header{}}, r)
		then()
		panic(http.ErrAbortHandler)
	case Hang:
		then()
		wait(r, 0, r.Context().Done())
		panic(http.ErrAbortHandler)
	case Stale:
		next.ServeHTTP(w, stale(r))
		then()
	case Late:
		time.Sleep(t.Late)
		next.ServeHTTP(w, r)
		then()
	default:
		next.ServeHTTP(w, r)
		then()
	}
}

// discard is where an answer goes that nobody gets.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

// fault is the fault of this attempt.
func (e *Engine) fault(r *http.Request) Fault {
	e.mu.Lock()
	defer e.mu.Unlock()
	for n, f := range e.faults {
		if (f.Method != "" && f.Method != r.Method) || !f.Path.MatchString(r.URL.Path) || (!f.Until.IsZero() && time.Now().After(f.Until)) {
			continue
		}
		key := fmt.Sprintf("%d %s %s", n, r.Method, r.URL.Path)
		e.attempts[key]++
		if at := e.attempts[key]; at >= f.From && (f.To == 0 || at <= f.To) {
			return f
		}
	}
	return Fault{}
}
