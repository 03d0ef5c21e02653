package simengine

import (
	"context"
	"net"
	"os"
)

// socket is the unix socket that an engine listens on, beside its lines; nil: there is none.
type socket struct {
	e        *Engine
	path     string
	listener *net.UnixListener // nil while nobody listens
}

// Listen serves the engine on a unix socket until ctx ends: it is refused while the daemon is down.
func (e *Engine) Listen(ctx context.Context, path string) error {
	e.Serve(ctx)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.socket = &socket{e: e, path: path}
	context.AfterFunc(ctx, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.socket.close()
	})
	return e.socket.open()
}

func (s *socket) open() error {
	if s == nil {
		return nil
	}
	_ = os.Remove(s.path)
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.path, Net: "unix"})
	if err != nil {
		return err
	}
	s.listener = listener
	go s.accept(listener)
	return nil
}

// close refuses new connections; the file goes, as it does when a daemon ends in order.
func (s *socket) close() {
	if s != nil && s.listener != nil {
		_ = s.listener.Close()
		s.listener = nil
	}
}

func (s *socket) accept(listener net.Listener) {
	for {
		taken, err := listener.Accept()
		if err != nil {
			return
		}
		c := &conn{Conn: taken, line: s.e.line}
		s.e.line.add(c)
		s.e.accept <- c
	}
}
