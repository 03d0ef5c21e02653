package observe

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgproto3"

	"composure/spec"
)

// fake is an engine whose commands and logs are functions of the test.
type fake struct {
	exec func(context.Context, []string) (ExecResult, error)
	logs func(since time.Time) (string, error)
	gone atomic.Bool // the engine itself does not answer
}

func (f *fake) Exec(ctx context.Context, _ string, argv []string) (ExecResult, error) {
	return f.exec(ctx, argv)
}

func (f *fake) LogsSince(_ context.Context, _ string, since time.Time, _, _ int) (string, error) {
	return f.logs(since)
}

func (f *fake) Container(context.Context, string) (*container.InspectResponse, error) {
	if f.gone.Load() {
		return nil, ErrUnreachable
	}
	return &container.InspectResponse{}, nil
}

// running is a container of a service that runs since now, on a bridge that this host is on.
func running(service, id string) Container {
	return Container{ID: id, Name: service + "-1", Service: service, Number: 1, Inspect: &container.InspectResponse{
		ContainerJSONBase: &container.ContainerJSONBase{
			State:      &container.State{Status: "running", Running: true, StartedAt: time.Now().Format(time.RFC3339Nano)},
			HostConfig: &container.HostConfig{},
		},
		Config: &container.Config{},
		NetworkSettings: &container.NetworkSettings{Networks: map[string]*network.EndpointSettings{
			"app_default": {IPAddress: "127.0.0.1", Aliases: []string{service}},
		}},
	}}
}

// withProbes is a stack of one service with probes, and its running container.
func withProbes(probes ...spec.Probe) (*spec.Stack, *Snapshot) {
	for i := range probes {
		p := &probes[i]
		p.Interval, p.Timeout, p.Failures, p.Successes = 10*time.Second, 5*time.Second, 3, max(p.Successes, 1)
	}
	svc := &spec.Service{Name: "api", Image: "api:1", Policy: spec.ServicePolicy{Probes: probes}}
	return &spec.Stack{Name: "app", Services: []*spec.Service{svc}}, &Snapshot{
		Containers: []Container{running("api", "c1")},
		Networks:   map[string]network.Inspect{"app_default": {Name: "app_default", Driver: "bridge"}},
	}
}

// at sleeps until so long after the start and lets the probes settle.
func at(start time.Time, after time.Duration) {
	time.Sleep(time.Until(start.Add(after)))
	synctest.Wait()
}

// Commands answer one letter a second: o is exit 0, f exit 1, x an engine error. The states are read just after
// the seconds of the keys.
func TestThresholds(t *testing.T) {
	cases := map[string]struct {
		answers  string // one every 10 s; the last one goes on
		startup  time.Duration
		period   time.Duration // start_period of the healthcheck
		success  int
		states   map[int]ProbeState // seconds after the start
		reported int                // changes
	}{
		"one success is enough": {answers: "o", states: map[int]ProbeState{1: ProbeOK}, reported: 1},
		"two are asked for":     {answers: "o", success: 2, states: map[int]ProbeState{1: ProbeUnknown, 11: ProbeOK}, reported: 1},
		"three failures in a row": {
			answers: "f", states: map[int]ProbeState{1: ProbeUnknown, 11: ProbeUnknown, 21: ProbeFailing}, reported: 1,
		},
		"a hiccup is left alone": {
			answers: "offoffo", states: map[int]ProbeState{1: ProbeOK, 21: ProbeOK, 31: ProbeOK, 51: ProbeOK, 61: ProbeOK}, reported: 1,
		},
		"fails and recovers": {
			answers: "offfo", states: map[int]ProbeState{1: ProbeOK, 21: ProbeOK, 31: ProbeFailing, 41: ProbeOK}, reported: 3,
		},
		"no failure counts before the startup time is over": {
			answers: "f", startup: 35 * time.Second,
			states: map[int]ProbeState{31: ProbeUnknown, 51: ProbeUnknown, 61: ProbeFailing}, reported: 1,
		},
		"start_period stands for it": {
			answers: "f", period: 35 * time.Second, states: map[int]ProbeState{51: ProbeUnknown, 61: ProbeFailing}, reported: 1,
		},
		"what cannot be asked never fails": {answers: "x", states: map[int]ProbeState{1: ProbeUnknown, 301: ProbeUnknown}},
		"what cannot be asked once changes nothing": {
			answers: "oxxo", states: map[int]ProbeState{11: ProbeOK, 21: ProbeOK, 31: ProbeOK}, reported: 1,
		},
		"what cannot be asked any more is unknown": {
			answers: "oxxx", states: map[int]ProbeState{21: ProbeOK, 31: ProbeUnknown}, reported: 2,
		},
		"a failure in between is not in a row": {
			answers: "ffxfff", states: map[int]ProbeState{31: ProbeUnknown, 41: ProbeUnknown, 51: ProbeFailing}, reported: 1,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				engine := &fake{exec: func(context.Context, []string) (ExecResult, error) {
					n := min(int(time.Since(start)/(10*time.Second)), len(c.answers)-1)
					return map[byte]ExecResult{'f': {ExitCode: 1, Output: "no"}}[c.answers[n]],
						map[byte]error{'x': errors.New("engine trouble")}[c.answers[n]]
				}}
				stack, snapshot := withProbes(spec.Probe{Exec: &spec.ExecProbe{Command: []string{"check"}}, Startup: c.startup, Successes: c.success})
				snapshot.Containers[0].Inspect.Config.Healthcheck = &container.HealthConfig{StartPeriod: c.period}
				changes := 0
				p := NewProber(ProberConfig{Engine: engine, Changed: func() { changes++ }})
				defer p.Close()
				p.Sync(t.Context(), stack, snapshot)
				last := 0
				for second := range 400 {
					want, asked := c.states[second]
					if !asked {
						continue
					}
					at(start, time.Duration(second)*time.Second)
					if got := p.Results()[0]; got.State != want {
						t.Errorf("after %d s: %s (%d in a row, %s), want %s", second, got.State, got.Consecutive, got.Detail, want)
					}
					last = second
				}
				if changes != c.reported {
					t.Errorf("%d changes reported until second %d, want %d", changes, last, c.reported)
				}
			})
		})
	}
}

func TestAnotherRunBeginsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		engine := &fake{exec: func(context.Context, []string) (ExecResult, error) { return ExecResult{ExitCode: 1}, nil }}
		stack, snapshot := withProbes(spec.Probe{Name: "check", Exec: &spec.ExecProbe{Command: []string{"check"}}})
		p := NewProber(ProberConfig{Engine: engine})
		defer p.Close()
		p.Sync(t.Context(), stack, snapshot)
		at(start, 21*time.Second)
		if got := p.Results()[0].State; got != ProbeFailing {
			t.Fatalf("before the restart: %s", got)
		}
		restarted := *snapshot
		restarted.Containers = []Container{running("api", "c1")}
		p.Sync(t.Context(), stack, &restarted)
		synctest.Wait()
		if got := p.Results(); len(got) != 1 || got[0].State != ProbeUnknown {
			t.Errorf("after the restart: %+v, want unknown", got)
		}
		at(start, 40*time.Second)
		if got := p.Results()[0].State; got != ProbeUnknown {
			t.Errorf("two failures after the restart: %s, want unknown", got)
		}
		at(start, 41*time.Second)
		if got := p.Results()[0].State; got != ProbeFailing {
			t.Errorf("three failures after the restart: %s, want failing", got)
		}
		for _, status := range []container.ContainerState{"paused", "exited"} {
			restarted.Containers[0].Inspect.State.Status = status
			restarted.Containers[0].Inspect.State.Running = status == "paused"
			p.Sync(t.Context(), stack, &restarted)
			if got := p.Results(); len(got) != 0 {
				t.Errorf("%s: %d results, want none", status, len(got))
			}
		}
	})
}

// pipes dials servers of the test through net.Pipe, which virtual time can wait for.
func pipes(serve func(net.Conn)) DialFunc {
	return func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			serve(server)
		}()
		return client, nil
	}
}

// speaksHTTP answers every request after a while.
func speaksHTTP(status int, body string, after time.Duration) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			return
		}
		gone := make(chan struct{})
		go func() { _, _ = conn.Read(make([]byte, 1)); close(gone) }()
		select {
		case <-time.After(after):
		case <-gone:
			return
		}
		fmt.Fprintf(conn, "HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, len(body), body)
	}
}

func TestHTTP(t *testing.T) {
	refused := func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	}
	lost := func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.DNSError{Err: "no such host", Name: "nowhere", IsNotFound: true}
	}
	cases := map[string]struct {
		probe  spec.HTTPProbe
		dial   DialFunc
		want   ProbeState
		status int
		says   string
	}{
		"200":              {dial: pipes(speaksHTTP(200, "fine", 0)), want: ProbeOK, status: 200, says: "answered 200 in 0s"},
		"a redirect is ok": {dial: pipes(speaksHTTP(302, "", 0)), want: ProbeOK, status: 302},
		"503":              {dial: pipes(speaksHTTP(503, "no", 0)), want: ProbeFailing, status: 503, says: "answered 503"},
		"503 is wanted":    {probe: spec.HTTPProbe{Status: []int{503}}, dial: pipes(speaksHTTP(503, "no", 0)), want: ProbeOK, status: 503},
		"200 is not":       {probe: spec.HTTPProbe{Status: []int{204}}, dial: pipes(speaksHTTP(200, "", 0)), want: ProbeFailing, status: 200},
		"body":             {probe: spec.HTTPProbe{Body: "^fin"}, dial: pipes(speaksHTTP(200, "fine", 0)), want: ProbeOK, status: 200},
		"other body": {
			probe: spec.HTTPProbe{Body: "connected"}, dial: pipes(speaksHTTP(200, "fine", 0)), want: ProbeFailing, status: 200, says: `does not match "connected"`,
		},
		"a huge body is cut": {
			probe: spec.HTTPProbe{Body: "^a+$"}, dial: pipes(speaksHTTP(200, strings.Repeat("a", 1<<20), 0)), want: ProbeOK, status: 200,
		},
		"slow": {
			probe: spec.HTTPProbe{Latency: time.Second}, dial: pipes(speaksHTTP(200, "fine", 2*time.Second)), want: ProbeFailing, status: 200, says: "in 2s, slower than 1s",
		},
		"hangs":        {dial: pipes(speaksHTTP(200, "fine", time.Hour)), want: ProbeFailing, says: "no answer within 5s"},
		"not http":     {dial: pipes(func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0\r\n") }), want: ProbeFailing},
		"refused":      {dial: refused, want: ProbeFailing, says: "connection refused"},
		"no such host": {dial: lost, want: ProbeUnknown, says: "no host is named nowhere here"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.probe.URL = "http://user:hunter22@api:8000/health"
				stack, snapshot := withProbes(spec.Probe{HTTP: &c.probe})
				p := NewProber(ProberConfig{Engine: &fake{}, Dial: c.dial})
				defer p.Close()
				got := p.Once(t.Context(), stack, snapshot, "api")
				if len(got) != 1 || got[0].State != c.want || got[0].Status != c.status || !strings.Contains(got[0].Detail, c.says) {
					t.Errorf("got %+v, want %s, status %d, saying %q", got, c.want, c.status, c.says)
				}
				if strings.Contains(got[0].Detail, "hunter22") {
					t.Errorf("the detail shows the password: %s", got[0].Detail)
				}
			})
		})
	}
}

// A service that comes up within an interval is seen at once, and asking often does not make its failures count.
func TestEagerWhileUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var samples []ProbeState
		dial := func(ctx context.Context, network, address string) (net.Conn, error) {
			if time.Since(start) < 13500*time.Millisecond {
				return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
			}
			return pipes(speaksHTTP(200, "", 0))(ctx, network, address)
		}
		stack, snapshot := withProbes(spec.Probe{HTTP: &spec.HTTPProbe{URL: "http://127.0.0.1:1/"}})
		p := NewProber(ProberConfig{Engine: &fake{}, Dial: dial, Sample: func(s Sample) { samples = append(samples, s.State) }})
		p.Sync(t.Context(), stack, snapshot)
		at(start, 13*time.Second)
		if got := p.Results()[0]; got.State != ProbeUnknown || got.Consecutive != 2 {
			t.Errorf("after 13 s: %s with %d failures in a row, want unknown with 2", got.State, got.Consecutive)
		}
		at(start, 14*time.Second)
		if got := p.Results()[0]; got.State != ProbeOK || !got.Since.Equal(start.Add(14*time.Second)) {
			t.Errorf("after 14 s: %s since %s", got.State, got.Since.Sub(start))
		}
		at(start, 35*time.Second)
		p.Close()
		if len(samples) != 17 { // seconds 0 to 14, then 24 and 34
			t.Errorf("%d samples, want 17: %v", len(samples), samples)
		}
	})
}

func TestExec(t *testing.T) {
	hang := func(ctx context.Context, _ []string) (ExecResult, error) {
		<-ctx.Done()
		return ExecResult{}, ctx.Err()
	}
	cases := map[string]struct {
		exec func(context.Context, []string) (ExecResult, error)
		gone bool
		want ProbeState
	}{
		"exit 0":       {exec: func(context.Context, []string) (ExecResult, error) { return ExecResult{}, nil }, want: ProbeOK},
		"exit 1":       {exec: func(context.Context, []string) (ExecResult, error) { return ExecResult{ExitCode: 1}, nil }, want: ProbeFailing},
		"missing":      {exec: func(context.Context, []string) (ExecResult, error) { return ExecResult{ExitCode: 127}, nil }, want: ProbeUnknown},
		"hangs":        {exec: hang, want: ProbeFailing},
		"engine hangs": {exec: hang, gone: true, want: ProbeUnknown},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				engine := &fake{exec: c.exec}
				engine.gone.Store(c.gone)
				stack, snapshot := withProbes(spec.Probe{Exec: &spec.ExecProbe{Command: []string{"check"}}})
				p := NewProber(ProberConfig{Engine: engine})
				defer p.Close()
				if got := p.Once(t.Context(), stack, snapshot, "api"); got[0].State != c.want {
					t.Errorf("got %s (%s), want %s", got[0].State, got[0].Detail, c.want)
				}
			})
		})
	}
}

func TestLogLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		reads := 0
		engine := &fake{logs: func(since time.Time) (string, error) {
			reads++
			if ready := start.Add(12500 * time.Millisecond); time.Now().After(ready) && !since.After(ready) {
				return "INFO: Application startup complete.\n", nil
			}
			return "INFO: loading model\n", nil
		}}
		stack, snapshot := withProbes(spec.Probe{Log: &spec.LogProbe{Pattern: "startup complete"}})
		p := NewProber(ProberConfig{Engine: engine})
		defer p.Close()
		p.Sync(t.Context(), stack, snapshot)
		at(start, 12*time.Second)
		if got := p.Results()[0]; got.State != ProbeUnknown {
			t.Errorf("before the line: %s", got.State)
		}
		at(start, 13*time.Second)
		if got := p.Results()[0]; got.State != ProbeOK || !strings.Contains(got.Detail, "Application startup complete.") {
			t.Errorf("after the line: %+v", got)
		}
		before := reads
		at(start, 3*time.Minute)
		if got := p.Results()[0]; got.State != ProbeOK || reads != before {
			t.Errorf("later: %s, %d more reads of the log; want ok without any", got.State, reads-before)
		}
	})
}

func TestLogLineOfALongLogIsUnknown(t *testing.T) {
	engine := &fake{logs: func(time.Time) (string, error) { return strings.Repeat("GET /\n", logProbeLines), nil }}
	stack, snapshot := withProbes(spec.Probe{Log: &spec.LogProbe{Pattern: "startup complete"}})
	p := NewProber(ProberConfig{Engine: engine})
	defer p.Close()
	if got := p.Once(t.Context(), stack, snapshot, "api"); got[0].State != ProbeUnknown {
		t.Errorf("got %s (%s), want unknown: the line may have scrolled away", got[0].State, got[0].Detail)
	}
}

// speaksPostgres answers a startup message as a server in some state does.
func speaksPostgres(t *testing.T, message pgproto3.BackendMessage, startup *map[string]string) func(net.Conn) {
	return func(conn net.Conn) {
		backend := pgproto3.NewBackend(conn, conn)
		received, err := backend.ReceiveStartupMessage()
		if err != nil {
			t.Error(err)
			return
		}
		*startup = received.(*pgproto3.StartupMessage).Parameters
		if message == nil {
			_, _ = conn.Read(make([]byte, 1))
			return
		}
		backend.Send(message)
		_ = backend.Flush()
		_, _ = io.Copy(io.Discard, conn)
	}
}

func TestHandshake(t *testing.T) {
	cases := map[string]struct {
		message pgproto3.BackendMessage
		want    ProbeState
		says    string
	}{
		"asks for a password": {&pgproto3.AuthenticationSASL{AuthMechanisms: []string{"SCRAM-SHA-256"}}, ProbeOK, "127.0.0.1:5433 accepts connections"},
		"trusts":              {&pgproto3.AuthenticationOk{}, ProbeOK, ""},
		"no such database":    {&pgproto3.ErrorResponse{Code: "3D000"}, ProbeOK, "3D000"},
		"starting up":         {&pgproto3.ErrorResponse{Code: "57P03", Message: "the database system is starting up"}, ProbeFailing, "the database system is starting up (57P03)"},
		"full":                {&pgproto3.ErrorResponse{Code: "53300", Message: "sorry, too many clients already"}, ProbeFailing, "53300"},
		"silent":              {nil, ProbeFailing, "no answer within 5s"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stack, snapshot := withProbes()
				stack.Services[0].Image = "registry.test/library/postgres:15"
				snapshot.Containers[0].Inspect.Config.Env = []string{"POSTGRES_USER=app", "POSTGRES_PASSWORD=hunter22", "PGPORT=5433"}
				var startup map[string]string
				p := NewProber(ProberConfig{Engine: &fake{}, Dial: pipes(speaksPostgres(t, c.message, &startup))})
				defer p.Close()
				got := p.Once(t.Context(), stack, snapshot, "api")
				if len(got) != 1 || got[0].Kind != "handshake" || got[0].State != c.want || !strings.Contains(got[0].Detail, c.says) {
					t.Errorf("got %+v, want %s saying %q", got, c.want, c.says)
				}
				synctest.Wait()
				want := map[string]string{"user": "app", "database": "app", "application_name": "composure"}
				if diff := cmp.Diff(want, startup); diff != "" {
					t.Errorf("the startup message differs (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestIsPostgres(t *testing.T) {
	cases := []struct {
		image string
		env   []string
		want  bool
	}{
		{"postgres:15", nil, true},
		{"registry.test:5000/bitnami/postgresql@sha256:00", nil, true},
		{"postgis/postgis", nil, true},
		{"private/db:3", []string{"PGDATA=/var/lib/postgresql/data"}, true},
		{"private/api:3", []string{"POSTGRES_PASSWORD=x", "PGHOST=db"}, false},
		{"prometheuscommunity/postgres-exporter", nil, false},
		{"postgrest/postgrest", nil, false},
		{"edoburu/pgbouncer", nil, false},
		{"redis:7", nil, false},
	}
	for _, c := range cases {
		if got := IsPostgres(c.image, c.env); got != c.want {
			t.Errorf("IsPostgres(%q, %q) = %t", c.image, c.env, got)
		}
	}
}

func TestTCPWhereOnlyTheProxyIsReached(t *testing.T) {
	cases := map[string]struct {
		serve func(net.Conn)
		want  ProbeState
	}{
		"dead behind the proxy": {func(net.Conn) {}, ProbeFailing},
		"waits for the client":  {func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }, ProbeOK},
		"greets":                {func(c net.Conn) { _, _ = io.Copy(c, bytes.NewReader([]byte("hello"))) }, ProbeOK},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stack, snapshot := withProbes(spec.Probe{TCP: &spec.TCPProbe{Port: 8000}})
				publish(snapshot, "8000/tcp", "0.0.0.0", "18000")
				p := NewProber(ProberConfig{Engine: &fake{}, EngineHost: "engine.test", Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
					if address != "engine.test:18000" {
						t.Errorf("dialled %s", address)
					}
					return pipes(c.serve)(ctx, network, address)
				}})
				defer p.Close()
				if got := p.Once(t.Context(), stack, snapshot, "api"); got[0].State != c.want {
					t.Errorf("got %s (%s), want %s", got[0].State, got[0].Detail, c.want)
				}
			})
		})
	}
}

// publish adds a published port to the only container.
func publish(s *Snapshot, port nat.Port, ip, hostPort string) {
	s.Containers[0].Inspect.NetworkSettings.Ports = nat.PortMap{port: {{HostIP: ip, HostPort: hostPort}, {HostIP: "::", HostPort: hostPort}}}
}

// In a container of its own, Composure's localhost is not the host's: what is not found there says nothing.
func TestLocalhostOfAnotherMachine(t *testing.T) {
	refused := func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	}
	for gateway, want := range map[string]ProbeState{"127.0.0.1": ProbeFailing, "203.0.113.1": ProbeUnknown} {
		stack, snapshot := withProbes(spec.Probe{HTTP: &spec.HTTPProbe{URL: "http://localhost:8000/"}})
		snapshot.Containers[0].Inspect.NetworkSettings.Networks["app_default"].Gateway = gateway
		p := NewProber(ProberConfig{Engine: &fake{}, Dial: refused})
		if got := p.Once(t.Context(), stack, snapshot, "api"); got[0].State != want {
			t.Errorf("gateway %s: %s (%s), want %s", gateway, got[0].State, got[0].Detail, want)
		}
		p.Close()
	}
}

// Where the host has no way into the network, a program of a container there asks: the first one that can.
func TestInside(t *testing.T) {
	const page = "HTTP/1.1 200 OK\r\nServer: x\r\n\r\nfine"
	httpProbe := spec.Probe{From: "network", HTTP: &spec.HTTPProbe{URL: "http://api:8000/health", Body: "fine"}}
	tcpProbe := spec.Probe{From: "network", TCP: &spec.TCPProbe{Port: 8000}}
	type answers map[string]ExecResult // by the program; the others are not there
	cases := map[string]struct {
		probe   spec.Probe
		answers answers
		want    ProbeState
	}{
		"curl":             {httpProbe, answers{"curl": {Output: page}}, ProbeOK},
		"wget":             {httpProbe, answers{"wget": {Output: "  " + page}}, ProbeOK},
		"wget, 503":        {httpProbe, answers{"wget": {ExitCode: 8, Output: "  HTTP/1.1 503 No\n"}}, ProbeFailing},
		"curl, refused":    {httpProbe, answers{"curl": {ExitCode: 7, Output: "curl: (7) Failed to connect"}}, ProbeFailing},
		"wget crashes":     {httpProbe, answers{"wget": {ExitCode: 139}}, ProbeUnknown},
		"nothing can":      {httpProbe, nil, ProbeUnknown},
		"nc":               {tcpProbe, answers{"nc": {}}, ProbeOK},
		"nc, refused":      {tcpProbe, answers{"nc": {ExitCode: 1}}, ProbeFailing},
		"bash, nc too old": {tcpProbe, answers{"nc": {ExitCode: 1, Output: "nc: invalid option -- z\nUsage: nc"}, "bash": {}}, ProbeOK},
		"bash without tcp": {tcpProbe, answers{"bash": {ExitCode: 1, Output: "/dev/tcp/1.2.3.4/80: No such file or directory"}}, ProbeUnknown},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			engine := &fake{exec: func(_ context.Context, argv []string) (ExecResult, error) {
				if result, found := c.answers[argv[0]]; found {
					return result, nil
				}
				return ExecResult{ExitCode: 127, Output: "executable file not found"}, nil
			}}
			stack, snapshot := withProbes(c.probe)
			p := NewProber(ProberConfig{Engine: engine, EngineHost: "engine.test"})
			defer p.Close()
			if got := p.Once(t.Context(), stack, snapshot, "api"); got[0].State != c.want {
				t.Errorf("got %s (%s), want %s", got[0].State, got[0].Detail, c.want)
			}
		})
	}
}
