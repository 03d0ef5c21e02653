package engine_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"composure/controller/engine"
	"composure/controller/observe"
	"composure/test/ports"
)

// cleanEnvironment takes away what the machine's environment says about engines.
func cleanEnvironment(t *testing.T) (configDir string) {
	t.Helper()
	for _, name := range []string{"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_API_VERSION"} {
		t.Setenv(name, "")
	}
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	return dir
}

// engineSocket is where the machine's engine listens.
const engineSocket = "/var/run/docker.sock"

// usable asks the engine something.
func usable(t *testing.T, e *engine.Engine) {
	t.Helper()
	defer e.Close()
	about, err := e.Engine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if about.Version == "" || about.APIVersion == "" || about.OS != "linux" || about.Arch == "" || about.Builder == "" {
		t.Errorf("incomplete answer: %+v", about)
	}
}

// forward joins accepted connections to the engine's socket until the test ends.
func forward(t *testing.T, listener net.Listener) {
	t.Helper()
	var open sync.WaitGroup
	t.Cleanup(func() {
		_ = listener.Close()
		open.Wait()
	})
	open.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("unix", engineSocket)
			if err != nil {
				_ = conn.Close()
				continue
			}
			open.Go(func() { join(conn, upstream) })
		}
	})
}

// join copies both ways and closes both when either ends.
func join(a, b net.Conn) {
	var copies sync.WaitGroup
	for _, pair := range [][2]net.Conn{{a, b}, {b, a}} {
		copies.Go(func() {
			_, _ = io.Copy(pair[0], pair[1])
			_, _ = a.Close(), b.Close()
		})
	}
	copies.Wait()
}

func writeFile(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// serveTLS is an engine that wants a client certificate; it returns its host:port.
func serveTLS(t *testing.T, a authority) string {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{a.server}, ClientCAs: a.pool, ClientAuth: tls.RequireAndVerifyClientCert,
	})
	if err != nil {
		t.Fatal(err)
	}
	forward(t, listener)
	return listener.Addr().String()
}

func serveTCP(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	forward(t, listener)
	return listener.Addr().String()
}

// writeContext stores a docker context, as `docker context create` lays it out.
func writeContext(t *testing.T, dir, name, host string, material string) {
	t.Helper()
	sum := sha256.Sum256([]byte(name))
	id := hex.EncodeToString(sum[:])
	meta, err := json.Marshal(map[string]any{
		"Name": name, "Metadata": map[string]any{}, "Endpoints": map[string]any{"docker": map[string]any{"Host": host, "SkipTLSVerify": false}},
	})
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "contexts", "meta", id, "meta.json"), meta)
	if material == "" {
		return
	}
	for _, file := range []string{"ca.pem", "cert.pem", "key.pem"} {
		content, err := os.ReadFile(filepath.Join(material, file))
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, "contexts", "tls", id, "docker", file), content)
	}
}

// TestConnectPrecedence has exactly one right source in each case; every other one points nowhere.
func TestConnectPrecedence(t *testing.T) {
	const right, wrong = "unix://" + engineSocket, "unix:///nonexistent/docker.sock"
	tests := map[string]struct {
		host, context, envHost, envContext, current string
	}{
		"nothing said":                    {},
		"host before DOCKER_HOST":         {host: right, envHost: wrong},
		"host before DOCKER_CONTEXT":      {host: right, envContext: "wrong", current: "wrong"},
		"DOCKER_HOST before contexts":     {envHost: right, envContext: "wrong", current: "wrong"},
		"context before DOCKER_HOST":      {context: "right", envHost: wrong, envContext: "wrong", current: "wrong"},
		"DOCKER_CONTEXT before current":   {envContext: "right", current: "wrong"},
		"current context":                 {current: "right"},
		"context default is the socket":   {context: "default", current: "wrong"},
		"context default has DOCKER_HOST": {context: "default", envHost: right, current: "wrong"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := cleanEnvironment(t)
			writeContext(t, dir, "right", right, "")
			writeContext(t, dir, "wrong", wrong, "")
			t.Setenv("DOCKER_HOST", test.envHost)
			t.Setenv("DOCKER_CONTEXT", test.envContext)
			writeFile(t, filepath.Join(dir, "config.json"), []byte(`{"currentContext":"`+test.current+`"}`))
			e, err := engine.Connect(t.Context(), engine.Options{Host: test.host, Context: test.context})
			if err != nil {
				t.Fatal(err)
			}
			usable(t, e)
		})
	}
}

func TestConnectTCP(t *testing.T) {
	cleanEnvironment(t)
	address := serveTCP(t)
	for _, host := range []string{"tcp://" + address, address, "http://" + address} {
		e, err := engine.Connect(t.Context(), engine.Options{Host: host})
		if err != nil {
			t.Fatal(err)
		}
		usable(t, e)
	}
}

func TestConnectTLS(t *testing.T) {
	dir := cleanEnvironment(t)
	a := newAuthority(t)
	address := serveTLS(t, a)

	t.Run("environment", func(t *testing.T) {
		t.Setenv("DOCKER_TLS_VERIFY", "1")
		t.Setenv("DOCKER_CERT_PATH", a.dir)
		e, err := engine.Connect(t.Context(), engine.Options{Host: "tcp://" + address})
		if err != nil {
			t.Fatal(err)
		}
		usable(t, e)
	})
	t.Run("context", func(t *testing.T) {
		writeContext(t, dir, "secure", "tcp://"+address, a.dir)
		e, err := engine.Connect(t.Context(), engine.Options{Context: "secure"})
		if err != nil {
			t.Fatal(err)
		}
		usable(t, e)
	})
	t.Run("unverified with a certificate", func(t *testing.T) {
		t.Setenv("DOCKER_TLS", "1")
		t.Setenv("DOCKER_CERT_PATH", a.dir)
		e, err := engine.Connect(t.Context(), engine.Options{Host: "tcp://" + address})
		if err != nil {
			t.Fatal(err)
		}
		usable(t, e)
	})
	t.Run("foreign authority is refused", func(t *testing.T) {
		t.Setenv("DOCKER_TLS_VERIFY", "1")
		t.Setenv("DOCKER_CERT_PATH", newAuthority(t).dir)
		_, err := engine.Connect(t.Context(), engine.Options{Host: "tcp://" + address})
		if !errors.Is(err, observe.ErrUnreachable) || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("exec upgrades the connection over TLS too", func(t *testing.T) {
		e, err := engine.Connect(t.Context(), engine.Options{Context: "secure"})
		if err != nil {
			t.Fatal(err)
		}
		s := newSandbox(t, e)
		id := s.start(t, s.desired("tls", "sleep", "600"))
		result, err := s.Exec(t.Context(), id, []string{"echo", "over TLS"})
		if err != nil || result.Output != "over TLS\n" {
			t.Errorf("got %+v, %v", result, err)
		}
	})
}

// TestConnectErrors wants the address, who gave it, and what to do.
func TestConnectErrors(t *testing.T) {
	tests := map[string]struct {
		opts engine.Options
		env  map[string]string
		want []string
	}{
		"no socket": {
			opts: engine.Options{Host: "unix:///nonexistent/docker.sock"},
			want: []string{"unix:///nonexistent/docker.sock", "--host", "start it"},
		},
		"nobody listens": {
			env:  map[string]string{"DOCKER_HOST": "tcp://127.0.0.1:1"},
			want: []string{"tcp://127.0.0.1:1", "DOCKER_HOST", "check the address"},
		},
		"unknown scheme": {
			opts: engine.Options{Host: "carrier-pigeon://roof"},
			want: []string{"carrier-pigeon", "unix://PATH"},
		},
		"unknown context": {
			opts: engine.Options{Context: "elsewhere"},
			want: []string{`"elsewhere"`, "--context", "docker context ls"},
		},
		"both": {
			opts: engine.Options{Host: "unix:///x", Context: "y"},
			want: []string{"exclude each other"},
		},
		"no certificates": {
			env:  map[string]string{"DOCKER_HOST": "tcp://127.0.0.1:1", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/nonexistent"},
			want: []string{"/nonexistent", "DOCKER_CERT_PATH"},
		},
		"ssh without a host": {
			opts: engine.Options{Host: "ssh://"},
			want: []string{"ssh://"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cleanEnvironment(t)
			for key, value := range test.env {
				t.Setenv(key, value)
			}
			_, err := engine.Connect(t.Context(), test.opts)
			if err == nil {
				t.Fatal("connected")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
		})
	}
}

func TestConnectBrokenConfiguration(t *testing.T) {
	dir := cleanEnvironment(t)
	writeFile(t, filepath.Join(dir, "config.json"), []byte("{"))
	_, err := engine.Connect(t.Context(), engine.Options{})
	if err == nil || !strings.Contains(err.Error(), "config.json") {
		t.Errorf("got %v", err)
	}
}

// TestUnreachableLater asks an engine that was there and has gone.
func TestUnreachableLater(t *testing.T) {
	cleanEnvironment(t)
	listener, err := net.Listen("tcp", "127.0.0.1:"+ports.Text(t)) // which nobody else gets once it is closed
	if err != nil {
		t.Fatal(err)
	}
	forward(t, listener)
	e, err := engine.Connect(t.Context(), engine.Options{Host: listener.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	_ = e.Close() // so that the kept connection does not answer
	if _, err = e.Engine(t.Context()); !errors.Is(err, observe.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
	if err = e.Start(t.Context(), "x"); !errors.Is(err, observe.ErrUnreachable) || errors.Is(err, observe.ErrNoAnswer) {
		t.Errorf("nothing was sent, so the outcome is known: %v", err)
	}
}

// TestHungEngine speaks to a server that accepts and never answers, as a stopped engine process does.
func TestHungEngine(t *testing.T) {
	cleanEnvironment(t)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go answerPings(conn, release)
		}
	}()
	e, err := engine.Connect(t.Context(), engine.Options{Host: listener.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := e.Start(ctx, "x"); !errors.Is(err, observe.ErrNoAnswer) || errors.Is(err, observe.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
}

// answerPings answers pings and leaves every other request open.
func answerPings(conn net.Conn, release <-chan struct{}) {
	defer conn.Close()
	buffer := make([]byte, 4096)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		if !bytes.Contains(buffer[:n], []byte("/_ping")) {
			<-release
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nOstype: linux\r\nContent-Length: 0\r\n\r\n")
	}
}
