package web

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// piped is a listener whose connections are pipes: nothing is buffered on the way, and time is the test's.
type piped struct {
	conns chan net.Conn
	once  sync.Once
	ended chan struct{}
}

func (p *piped) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.ended:
		return nil, net.ErrClosed
	}
}
func (p *piped) Close() error   { p.once.Do(func() { close(p.ended) }); return nil }
func (p *piped) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// dial connects to the server.
func (p *piped) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

// bubble serves a stack under virtual time while the test runs.
func bubble(t *testing.T, test func(t *testing.T, p *piped)) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{Stack: "app", Meters: NewMeters("test"), Source: &source{status: trouble()}, Logger: slog.New(slog.DiscardHandler), Token: secret, Actor: &hand{}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, end := context.WithCancel(t.Context())
		p, done := &piped{conns: make(chan net.Conn), ended: make(chan struct{})}, make(chan error)
		go func() { done <- s.Serve(ctx, p) }()
		test(t, p)
		end()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// trickle writes a text again and again, with pauses, until the server hangs up; it returns how long that took and how
// much was taken.
func trickle(conn net.Conn, text string, pause, patience time.Duration) (took time.Duration, written int) {
	began := time.Now()
	for time.Since(began) < patience {
		n, err := conn.Write([]byte(text))
		if written += n; err != nil {
			break
		}
		time.Sleep(pause)
	}
	return time.Since(began), written
}

// TestSlowClients: who sends or reads slowly is hung up on, and does not keep others waiting.
func TestSlowClients(t *testing.T) {
	const patience = 10 * time.Minute
	bubble(t, func(t *testing.T, p *piped) {
		for name, c := range map[string]struct {
			begin, text string
			within      time.Duration
		}{
			"a header a second":       {"GET / HTTP/1.1\r\nHost: localhost\r\n", "X-A: b\r\n", headerTimeout},
			"an empty line a second":  {"\r\n", "\r\n", headerTimeout},
			"a byte of body a second": {"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 10000\r\n\r\n", "a", readTimeout},
		} {
			conn := p.dial()
			go func() { _, _ = io.Copy(io.Discard, conn) }()
			if _, err := conn.Write([]byte(c.begin)); err != nil {
				t.Fatal(err)
			}
			if took, _ := trickle(conn, c.text, time.Second, patience); took > c.within+2*time.Second {
				t.Errorf("%s: the server hung up after %s", name, took)
			}
		}
		deaf := p.dial() // it asks, and does not read
		if _, err := deaf.Write([]byte("GET /login HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		other := p.dial()
		if _, err := other.Write([]byte("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		if answer, err := http.ReadResponse(bufio.NewReader(other), nil); err != nil || answer.StatusCode != 200 {
			t.Errorf("another is not answered meanwhile: %v", err)
		}
		time.Sleep(writeTimeout + time.Second)
		if got, _ := io.ReadAll(deaf); len(got) > 0 {
			t.Errorf("who did not read for %s is still sent %d bytes", writeTimeout, len(got))
		}
	})
}

// TestLargeRequests: a body of 10 MB or a header of 1 MB is refused after a small part of it.
func TestLargeRequests(t *testing.T) {
	const form = "Content-Type: application/x-www-form-urlencoded\r\n"
	bubble(t, func(t *testing.T, p *piped) {
		for name, c := range map[string]struct {
			begin string
			codes string
		}{
			"login":                 {"POST /login HTTP/1.1\r\nHost: localhost\r\n" + form + "Content-Length: 10000000\r\n\r\ntoken=", "401"},
			"action":                {"POST " + root + "/actions/pause HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + secret + "\r\nContent-Length: 10000000\r\n\r\n", "400 413"},
			"without a length":      {"POST /login HTTP/1.1\r\nHost: localhost\r\n" + form + "Transfer-Encoding: chunked\r\n\r\n989680\r\n", "401"},
			"header":                {"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: ", "431"},
			"one that nobody reads": {"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n\r\n", "200"},
		} {
			conn := p.dial()
			code := make(chan string, 1)
			go func() {
				answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					code <- err.Error()
					return
				}
				code <- fmt.Sprint(answer.StatusCode)
				_, _ = io.Copy(io.Discard, conn)
			}()
			if _, err := conn.Write([]byte(c.begin)); err != nil {
				t.Fatal(err)
			}
			_, written := trickle(conn, strings.Repeat("a", 1000), 0, time.Hour)
			if got := <-code; !strings.Contains(c.codes, got) || written > 600_000 {
				t.Errorf("%s: %s, expected %s, after %d bytes", name, got, c.codes, written)
			}
			_ = conn.Close()
		}
	})
}
