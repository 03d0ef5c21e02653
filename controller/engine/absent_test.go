package engine_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"composure/controller/engine"
)

// someEngine answers as an engine of one API version: to what is asked in another one as the engine does.
func someEngine(t *testing.T, oldest, newest *atomic.Value) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", newest.Load().(string))
		version, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v"), "/")
		switch {
		case r.URL.Path == "/_ping":
		case version > newest.Load().(string) || version < oldest.Load().(string):
			http.Error(w, `{"message": "client version `+version+` is refused"}`, http.StatusBadRequest)
		case path == "info":
			fmt.Fprint(w, `{"ID": "X", "OSType": "linux", "ServerVersion": "of `+version+`"}`)
		default:
			fmt.Fprint(w, `[]`)
		}
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// changing connects to an engine whose versions of the API can be replaced.
func changing(t *testing.T, version string) (e *engine.Engine, replace func(oldest, newest string)) {
	cleanEnvironment(t)
	var oldest, newest atomic.Value
	replace = func(low, high string) { oldest.Store(low); newest.Store(high) }
	replace("1.24", version)
	e, err := engine.Connect(t.Context(), engine.Options{Host: someEngine(t, &oldest, &newest)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e, replace
}

// TestAnotherVersion: the engine is replaced by a newer one that refuses the old API, and by an older one that does not
// know the new API. Neither needs Composure to be started again, and that the engine was away is not needed for it.
func TestAnotherVersion(t *testing.T) {
	e, upgrade := changing(t, "1.44")
	for _, speaks := range [][2]string{{"1.24", "1.44"}, {"1.44", "1.51"}, {"1.24", "1.41"}, {"1.24", "1.43"}} {
		upgrade(speaks[0], speaks[1])
		about, err := e.Engine(t.Context())
		if err != nil || about.APIVersion != speaks[1] || about.Version != "of "+speaks[1] {
			t.Errorf("of an engine of %s: %+v, %v", speaks[1], about, err)
		}
		if _, err := e.Containers(t.Context(), "shop"); err != nil {
			t.Errorf("an engine of %s is not spoken to in its own API: %v", speaks[1], err)
		}
	}
	upgrade("1.24", "1.40")
	if _, err := e.Engine(t.Context()); err == nil || !strings.Contains(err.Error(), "needs 1.41 or newer") || engine.Absent(err) {
		t.Errorf("of an engine that is too old: %v", err)
	}
}

// TestEventsOfAnotherVersion: the stream that breaks with the engine is taken up in the API of the next one, and who that is
// is asked again.
func TestEventsOfAnotherVersion(t *testing.T) {
	e, upgrade := changing(t, "1.51")
	subscribe := func() error {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		_, ended := e.Events(ctx, "shop")
		return <-ended
	}
	upgrade("1.24", "1.41")
	_ = subscribe() // refused, or broken: it was the stream of the engine of before
	if err := subscribe(); err != nil && strings.Contains(err.Error(), "is refused") {
		t.Errorf("it goes on asking in the API of before: %v", err)
	}
}

// TestAbsent tells an engine that may come from one that refuses.
func TestAbsent(t *testing.T) {
	cleanEnvironment(t)
	answers := func(status int) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		t.Cleanup(server.Close)
		return server.Listener.Addr().String()
	}
	refuses := func(err error) func(context.Context, string, string) (net.Conn, error) {
		return func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", err)}
		}
	}
	tests := map[string]struct {
		opts   engine.Options
		absent bool
	}{
		"no socket":                    {engine.Options{Host: "unix:///nonexistent/docker.sock"}, true},
		"nobody listens":               {engine.Options{Host: "tcp://127.0.0.1:1"}, true},
		"no such host":                 {engine.Options{Host: "tcp://engine.invalid:2375"}, true},
		"starting":                     {engine.Options{Host: answers(http.StatusServiceUnavailable)}, true},
		"a proxy before nothing":       {engine.Options{Host: answers(http.StatusBadGateway)}, true},
		"a proxy that waited":          {engine.Options{Host: answers(http.StatusGatewayTimeout)}, true},
		"a proxy that forbids it":      {engine.Options{Host: answers(http.StatusForbidden)}, false},
		"no engine at all":             {engine.Options{Host: answers(http.StatusNotFound)}, false},
		"no right to use the socket":   {engine.Options{Host: "unix:///nowhere", Dial: refuses(syscall.EACCES)}, false},
		"the socket's process is gone": {engine.Options{Host: "unix:///nowhere", Dial: refuses(syscall.ECONNREFUSED)}, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			e, err := engine.Find(test.opts)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			if _, err = e.Engine(t.Context()); err == nil || engine.Absent(err) != test.absent {
				t.Errorf("absent is not %v: %v", test.absent, err)
			}
		})
	}
	t.Run("certificates that do not fit", func(t *testing.T) {
		t.Setenv("DOCKER_TLS_VERIFY", "1")
		t.Setenv("DOCKER_CERT_PATH", newAuthority(t).dir)
		e, err := engine.Find(engine.Options{Host: "tcp://" + serveTLS(t, newAuthority(t))})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		if _, err = e.Engine(t.Context()); err == nil || engine.Absent(err) {
			t.Errorf("taken for an engine that may come: %v", err)
		}
	})
}
