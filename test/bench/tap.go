package main

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"composure/test/proxy"
)

// call is one request that went through a tap.
type call struct {
	path       string // without the version
	began, end time.Time
}

// tap stands between a program and the engine and notes the calls.
type tap struct {
	host   string
	server *http.Server

	mu    sync.Mutex
	calls []call
}

var version = regexp.MustCompile(`^/v[0-9.]+`)

func newTap(dir string) (*tap, error) {
	path := filepath.Join(dir, "tap.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	t := &tap{host: "unix://" + path}
	forward := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "engine" },
		Transport:     &http.Transport{DialContext: proxy.System, MaxIdleConnsPerHost: 16},
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
	}
	t.server = &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.mu.Lock()
		n := len(t.calls)
		t.calls = append(t.calls, call{path: version.ReplaceAllString(r.URL.Path, ""), began: time.Now()})
		t.mu.Unlock()
		defer func() {
			t.mu.Lock()
			t.calls[n].end = time.Now()
			t.mu.Unlock()
		}()
		forward.ServeHTTP(w, r)
	})}
	go func() { _ = t.server.Serve(listener) }()
	return t, nil
}

// since returns the calls that began after a time.
func (t *tap) since(at time.Time) []call {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(t.calls), func(c call) bool { return c.began.Before(at) })
}

// quiet waits until there was no call for a while, after there were some.
func (t *tap) quiet(ctx context.Context, pause time.Duration) error {
	for {
		t.mu.Lock()
		last := time.Time{}
		for _, c := range t.calls {
			if !strings.HasSuffix(c.path, "/stats") { // samples come one after another, all the time
				last = c.began
			}
		}
		t.mu.Unlock()
		if !last.IsZero() && time.Since(last) > pause {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
