package simengine

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// Line is how one caller reaches the engine: its calls carry its name, and it can be cut, as the death of a process cuts
// it. What was asked for before is still done.
type Line struct {
	e    *Engine
	name string

	mu    sync.Mutex
	cut   bool
	conns map[*conn]bool

	broken chan struct{} // closed when the connections break next
}

// Line returns a line for a caller.
func (e *Engine) Line(name string) *Line {
	l := &Line{e: e, name: name, conns: map[*conn]bool{}, broken: make(chan struct{})}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lines = append(e.lines, l)
	return l
}

// Dial makes an in-memory connection; it is refused while the engine is down, and for ever once the line is cut.
func (l *Line) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	l.e.mu.Lock()
	down := l.e.refusing
	l.e.mu.Unlock()
	ours, theirs := net.Pipe()
	c := &conn{Conn: theirs, line: l}
	if down || !l.add(c) {
		return nil, &net.OpError{Op: "dial", Net: "unix", Err: errors.New("connect: connection refused")}
	}
	select {
	case l.e.accept <- c:
		return ours, nil
	case <-ctx.Done():
		_ = c.Close()
		return nil, ctx.Err()
	}
}

func (l *Line) add(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.cut {
		l.conns[c] = true
	}
	return !l.cut
}

// Cut breaks the line's connections, and keeps it from making others.
func (l *Line) Cut() {
	l.mu.Lock()
	l.cut = true
	l.mu.Unlock()
	l.hangUp()
}

func (l *Line) hangUp() {
	l.mu.Lock()
	var all []*conn
	for c := range l.conns {
		if l.cut || !c.streams {
			all = append(all, c)
		}
	}
	close(l.broken)
	l.broken = make(chan struct{})
	l.mu.Unlock()
	for _, c := range all {
		_ = c.Close()
	}
}

// conn is the engine's end of a connection.
type conn struct {
	net.Conn
	line    *Line
	streams bool // events: the stream ends by itself, after what is in its buffer
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.line.mu.Lock()
	delete(c.line.conns, c)
	c.line.mu.Unlock()
	return c.Conn.Close()
}

// request is what the engine knows of a request beside its text.
type request struct {
	from   string          // name of the caller's line
	at     time.Time       // of its arrival
	breaks <-chan struct{} // of one without a connection: closed when that would break; nil: it has one
}

type (
	requestKey struct{}
	connKey    struct{}
)

func about(r *http.Request) request {
	known, _ := r.Context().Value(requestKey{}).(request)
	return known
}

// arrived notes who sent a request, and when: of one without a connection it is known.
func arrived(r *http.Request) *http.Request {
	if about(r).breaks != nil {
		return r
	}
	known := request{at: time.Now()}
	if c, ok := r.Context().Value(connKey{}).(*conn); ok {
		known.from = c.line.name
	}
	return r.WithContext(context.WithValue(r.Context(), requestKey{}, known))
}

// streaming marks the connection of a request as a stream.
func streaming(r *http.Request) {
	if c, ok := r.Context().Value(connKey{}).(*conn); ok {
		c.line.mu.Lock()
		c.streams = true
		c.line.mu.Unlock()
	}
}
