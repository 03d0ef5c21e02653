// Package proxy stands between a program under test and a Docker Engine, so that a test can answer in the engine's place,
// or let it answer to nobody.
package proxy

import (
	"bytes"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// Dial connects to an engine.
type Dial = func(ctx context.Context, network, address string) (net.Conn, error)

// Intercept is asked about each request. It answers it, or returns false: then the engine does.
type Intercept = func(w http.ResponseWriter, r *http.Request) bool

// Proxy listens on a unix socket of its own until the test ends. It is safe for concurrent use.
type Proxy struct {
	Host string // for -H and DOCKER_HOST

	path      string // of the socket
	calls     atomic.Int32
	intercept atomic.Pointer[Intercept]
	transport *http.Transport
}

// New starts a proxy to the engine that dial reaches.
func New(t testing.TB, dial Dial) *Proxy {
	t.Helper()
	dir, err := os.MkdirTemp("", "proxy") // short: the path of a socket is limited to 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Host: "unix://" + path, path: path, transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	forward := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "engine" },
		Transport:     p.transport,
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
		// An engine that is away does not answer: neither does the proxy.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p.calls.Add(1)
			if f := p.intercept.Load(); f != nil && (*f)(w, r) {
				return
			}
			forward.ServeHTTP(w, r)
		}),
		ErrorLog: log.New(io.Discard, "", 0),
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return p
}

// System connects to the engine that the tests use: DOCKER_HOST, else the default socket.
func System(ctx context.Context, _, _ string) (net.Conn, error) {
	network, address := "unix", "/var/run/docker.sock"
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		network, address, _ = strings.Cut(host, "://")
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// Dial connects to the proxy, for another one before it.
func (p *Proxy) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "unix", p.path)
}

// Calls is how many requests there were.
func (p *Proxy) Calls() int { return int(p.calls.Load()) }

// Intercept has f asked about each request from now on; nil: none.
func (p *Proxy) Intercept(f Intercept) {
	if f == nil {
		p.intercept.Store(nil)
		return
	}
	p.intercept.Store(&f)
}

// Execute has the engine execute a request to its end, whatever becomes of whoever asked, and returns what it says. It
// reads the request's body, so it can be called once.
func (p *Proxy) Execute(r *http.Request) (status int, answer []byte, err error) {
	call, err := p.Take(r)
	if err != nil {
		return 0, nil, err
	}
	return call()
}

// Take reads a request, and returns what has the engine execute it: at any time, whatever has become of whoever asked.
func (p *Proxy) Take(r *http.Request) (call func() (status int, answer []byte, err error), err error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	out := r.Clone(context.WithoutCancel(r.Context()))
	out.URL.Scheme, out.URL.Host, out.RequestURI = "http", "engine", ""
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return func() (int, []byte, error) {
		response, err := p.transport.RoundTrip(out)
		if err != nil {
			return 0, nil, err
		}
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		return response.StatusCode, answer, err
	}, nil
}
