package sim

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// journal keeps the program's log, when it is wanted.
type journal struct {
	on    bool
	began time.Time
	mu    sync.Mutex
	lines []string
}

func (j *journal) handler(name string) slog.Handler { return scribe{j, name} }

func (j *journal) text() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lines
}

type scribe struct {
	j    *journal
	name string
}

// Enabled implements slog.Handler.
func (s scribe) Enabled(context.Context, slog.Level) bool { return s.j.on }

// Handle implements slog.Handler.
func (s scribe) Handle(_ context.Context, r slog.Record) error {
	text := fmt.Sprintf("%-14s %s %s", r.Time.Sub(s.j.began), s.name, r.Message)
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	s.j.mu.Lock()
	defer s.j.mu.Unlock()
	s.j.lines = append(s.j.lines, text)
	return nil
}

// WithAttrs implements slog.Handler.
func (s scribe) WithAttrs([]slog.Attr) slog.Handler { return s }

// WithGroup implements slog.Handler.
func (s scribe) WithGroup(string) slog.Handler { return s }

// writer keeps what a command prints.
func (j *journal) writer(name string) io.Writer { return printer{j, name} }

type printer struct {
	j    *journal
	name string
}

// Write implements io.Writer.
func (p printer) Write(data []byte) (int, error) {
	if p.j.on {
		p.j.mu.Lock()
		defer p.j.mu.Unlock()
		p.j.lines = append(p.j.lines, fmt.Sprintf("%-14s %s prints: %s", time.Since(p.j.began), p.name, strings.TrimSpace(string(data))))
	}
	return len(data), nil
}
