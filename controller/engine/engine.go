// Package engine is the adapter on the Docker Engine API: it finds the engine as the docker CLI does, reads it for
// observation, and runs single operations on it. It decides nothing and keeps nothing but a connection.
//
// It is the only importer of the Docker client. Every call is bounded in time and every error is marked with one of
// observe's sentinels where a caller may have to decide on it. An operation whose goal is reached already (start of a
// started container) succeeds. There is no way here to remove a volume.
package engine

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/connhelper"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/client"
	"golang.org/x/sync/semaphore"

	"composure/controller/observe"
)

// minAPI is that of Docker Engine 20.10, the oldest that the tests run on.
const minAPI = "1.41"

// Bounds of calls. A call that takes longer has failed with ErrNoAnswer.
const (
	readTimeout    = 10 * time.Second // lists, inspects and other looks
	changeTimeout  = 60 * time.Second // create, start, rename and the like; a start pulls up networks and mounts
	graceMargin    = 30 * time.Second // what stop and restart may take beyond the container's grace period
	loginTimeout   = 3 * readTimeout  // the first answer by ssh, which has to log in
	cleanupTimeout = 15 * time.Second // removal of a container whose creation could not be completed
)

// startsAtOnce is how many containers are started at a time. The engine starts many faster than a few, for much of a start
// is waiting; beyond these the last is up no sooner, and each call takes longer, up to its bound.
const startsAtOnce = 16

// idleConnections is how many connections wait for the next pass: collection runs 8-way, actions run beside it.
const idleConnections = 16

// Options say which engine to use. The zero value is what `docker` without flags would use.
type Options struct {
	Host      string // -H
	Context   string // --context
	ConfigDir string // of docker's config.json and contexts; empty: DOCKER_CONFIG, else ~/.docker
	TLS       TLS    // for a TCP host that no context describes
	Logger    *slog.Logger
	// Wrap stands before the transport, such as to answer in memory; nil: nothing does.
	Wrap func(http.RoundTripper) http.RoundTripper

	// Observe is told of every answer: the endpoint as the table of endpoints writes it, the time until the answer began,
	// and whether there was none or the engine failed. It must not block; nil: nobody asks.
	Observe func(endpoint string, took time.Duration, failed bool)
	// Dial makes the connections to the host that was found, such as in memory; nil: by the host's scheme.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// TLS is what docker's --tls flags say, with files in PEM. The zero value is what the environment says: DOCKER_TLS_VERIFY,
// DOCKER_TLS, DOCKER_CERT_PATH.
type TLS struct {
	On     bool // encrypted; Verify implies it
	Verify bool // the engine's certificate is verified
	CA     string
	Cert   string
	Key    string
}

// Engine is an engine at one address. It is safe for concurrent use.
type Engine struct {
	wire      *wire
	clock     *clock
	target    endpoint
	host      string
	configDir string // of the docker configuration, read again for credentials
	log       *slog.Logger

	answers answers // to looks

	starts *semaphore.Weighted // calls that start a container

	client atomic.Pointer[client.Client] // speaks the API version that was settled last; another one with the next version

	mu     sync.Mutex
	ping   *ping          // under way, or the last one, if it failed; nil: neither
	spoken string         // the newest API version that the engine said it has; empty: it has never answered
	about  observe.Engine // from the version call, which is slow: the engine asks its runtimes
	known  bool           // about is right; false after the engine was away
}

// Find finds the engine with the docker CLI's precedence (--context; -H; DOCKER_HOST; DOCKER_CONTEXT; currentContext of
// config.json; the default socket). Nothing is sent: its errors are about what was asked for. What has to be settled with the
// engine, such as the API version, is settled when it first answers Engine or Events.
func Find(opts Options) (*Engine, error) {
	log := opts.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	dir := cmp.Or(opts.ConfigDir, os.Getenv("DOCKER_CONFIG"), config.Dir()) // config.Dir reads the environment only once
	cfg, err := config.Load(dir)
	if err != nil {
		return nil, fmt.Errorf("read the docker configuration: %w; correct or remove the file", err)
	}
	target, err := findEndpoint(opts, dir, cfg.CurrentContext)
	if err != nil {
		return nil, err
	}
	e := &Engine{target: target, host: target.host, clock: &clock{}, configDir: dir, log: log, starts: semaphore.NewWeighted(startsAtOnce)}
	var first *client.Client
	if e.wire, err = newWire(target, cfg.HTTPHeaders, opts, e.clock); err == nil {
		first, err = e.wire.client()
	}
	if err != nil {
		return nil, fmt.Errorf("connect to %s (from %s): %w", target.host, target.source, err)
	}
	e.client.Store(first)
	return e, nil
}

// Connect is Find with proof that the engine is there. The error says who named the engine and what to do.
func Connect(ctx context.Context, opts Options) (*Engine, error) {
	e, err := Find(opts)
	if err != nil {
		return nil, err
	}
	if _, err := e.settle(ctx); err != nil {
		_ = e.Close()
		return nil, err
	}
	return e, nil
}

// Host is the address of the engine, such as "unix:///var/run/docker.sock".
func (e *Engine) Host() string { return e.host }

// Close gives up the connections. Calls in flight are not ended.
func (e *Engine) Close() error {
	e.wire.transport.CloseIdleConnections()
	return nil
}

// api is the client to speak through now. One call may end on it while the next goes through another.
func (e *Engine) api() *client.Client { return e.client.Load() }

// ping is one question whether the engine is there, whose answer all share who ask meanwhile.
type ping struct {
	ended  chan struct{} // closed when what follows is known
	answer types.Ping
	err    error

	abandon context.CancelFunc

	waiting int       // of Engine.mu, as the next
	failed  time.Time // zero: it has not
}

// failedFor is how long a ping that has failed answers for the next ones.
const failedFor = time.Second

// settle proves with a ping that the engine is there, and settles the API version whenever the engine says another one than
// before: also one that was upgraded, or put back to an older release, while it was away. Many stacks ask at once, and an engine
// that hangs takes the whole time of a ping to say nothing: one ping at a time is under way, and none waits for another.
func (e *Engine) settle(ctx context.Context) (types.Ping, error) {
	p := e.join(ctx)
	select {
	case <-p.ended:
		return p.answer, p.err
	case <-ctx.Done():
		e.leave(p)
		return types.Ping{}, wrap(ctx.Err(), "ping the engine at %s", e.host)
	}
}

// join waits for the ping that is under way, or has just failed, or else begins one. It is nobody's own: whoever is told to end
// leaves it to the others.
func (e *Engine) join(ctx context.Context) *ping {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ping == nil || !e.ping.failed.IsZero() && time.Since(e.ping.failed) >= failedFor {
		ctx, abandon := context.WithCancel(context.WithoutCancel(ctx))
		e.ping = &ping{ended: make(chan struct{}), abandon: abandon}
		go e.ask(ctx, e.ping, e.spoken)
	}
	e.ping.waiting++
	return e.ping
}

// leave ends a ping that nobody waits for any more.
func (e *Engine) leave(p *ping) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p.waiting--; p.waiting > 0 {
		return
	}
	p.abandon()
	if e.ping == p {
		e.ping = nil
	}
}

// ask makes a ping, and tells all who wait for it.
func (e *Engine) ask(ctx context.Context, p *ping, spoken string) {
	defer p.abandon()
	p.answer, p.err = e.agree(ctx, spoken)
	e.mu.Lock()
	defer e.mu.Unlock()
	if p.err != nil {
		p.failed = time.Now()
	} else if e.ping == p {
		e.ping = nil
	}
	close(p.ended)
}

// agree pings the engine, and agrees with it on the API version if it does not speak the one of before.
func (e *Engine) agree(ctx context.Context, spoken string) (types.Ping, error) {
	limit := readTimeout
	if spoken == "" && strings.HasPrefix(e.host, "ssh://") {
		limit = loginTimeout
	}
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ping, err := e.api().Ping(bounded)
	switch {
	case err != nil:
		e.forget()
		return ping, e.unanswered(err, spoken == "")
	case ping.APIVersion == spoken && spoken != "":
		return ping, nil
	}
	next, err := e.wire.client()
	if err != nil {
		return ping, fmt.Errorf("connect to %s (from %s): %w", e.host, e.target.source, err)
	}
	next.NegotiateAPIVersionPing(ping)
	if version := next.ClientVersion(); versions.LessThan(version, minAPI) {
		return ping, &tooOld{host: e.host, version: version}
	}
	e.client.Store(next)
	e.mu.Lock()
	e.spoken, e.known = next.ClientVersion(), false
	if ping.APIVersion != "" {
		e.spoken = ping.APIVersion
	}
	e.mu.Unlock()
	e.log.Debug("engine connected", "host", e.host, "from", e.target.source, "api_version", next.ClientVersion())
	return ping, nil
}

// unanswered is the error of a ping: with who named the engine, and what to do, as long as it has never answered.
func (e *Engine) unanswered(err error, never bool) error {
	if never {
		return fmt.Errorf("connect to the engine at %s (from %s): %w; %s", e.host, e.target.source, classify(err), adviceFor(e.target, err))
	}
	return wrap(err, "ping the engine at %s", e.host)
}

// tooOld is the error of an engine that Composure cannot work with.
type tooOld struct{ host, version string }

func (e *tooOld) Error() string {
	return fmt.Sprintf("connect to the engine at %s: it speaks API %s and Composure needs %s or newer; upgrade it to Docker Engine 20.10 or newer", e.host, e.version, minAPI)
}

// Absent says whether an error of Engine or Connect can pass by itself, because nobody answers at the address. It does not
// when somebody does and refuses: the rights on the socket, certificates that do not fit, a proxy that forbids it, an
// engine that is too old.
func Absent(err error) bool {
	var (
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		alert       tls.AlertError
		old         *tooOld
		call        *net.OpError
	)
	switch {
	case errors.Is(err, os.ErrPermission), errors.As(err, &certificate), errors.As(err, &record), errors.As(err, &alert), errors.As(err, &old):
		return false
	case errors.As(err, &call) && call.Op == "remote error": // the engine's end of TLS refuses ours
		return false
	case cerrdefs.IsPermissionDenied(err), cerrdefs.IsUnauthorized(err), cerrdefs.IsNotFound(err), cerrdefs.IsInvalidArgument(err):
		return false
	}
	return true // also what a proxy says, whose engine is away
}

// wire is how the engine is reached: whatever client speaks, it speaks over the same connections.
type wire struct {
	transport *http.Transport
	calls     http.RoundTripper // the transport, with what stands before it
	opts      func(*http.Client) []client.Opt
}

// newWire makes the transport: connections stay open between passes, and a broken one is found by TCP keep-alive.
func newWire(target endpoint, headers map[string]string, with Options, watch *clock) (*wire, error) {
	helper, err := connhelper.GetConnectionHelper(target.host)
	if err != nil {
		return nil, err
	}
	w := &wire{transport: &http.Transport{
		MaxIdleConns:        idleConnections,
		MaxIdleConnsPerHost: idleConnections,
		IdleConnTimeout:     90 * time.Second,
		TLSClientConfig:     target.tls,
	}}
	w.opts = func(calls *http.Client) []client.Opt {
		opts := []client.Opt{
			client.WithHTTPClient(calls),
			client.WithUserAgent("composure"),
			client.WithHTTPHeaders(headers),
			client.WithVersionFromEnv(),
		}
		switch {
		case helper != nil:
			return append(opts, client.WithHost(helper.Host), client.WithDialContext(helper.Dialer))
		case with.Dial != nil:
			return append(opts, client.WithHost(target.host), client.WithDialContext(with.Dial))
		}
		return append(opts, client.WithHost(target.host))
	}
	if _, err := client.NewClientWithOpts(w.opts(&http.Client{Transport: w.transport})...); err != nil { // it prepares the transport
		return nil, err
	}
	if helper != nil {
		w.transport.Proxy = nil // the host of an ssh endpoint is a placeholder; a proxy must not be asked for it
	}
	w.calls = w.transport
	if with.Wrap != nil {
		w.calls = with.Wrap(w.calls)
	}
	if with.Observe != nil {
		w.calls = timed{w.calls, with.Observe}
	}
	w.calls = clocked{unchanged{w.calls}, watch}
	return w, nil
}

// client makes one that speaks over the wire, the newest API that it knows. It looks at the transport that it is given, for
// what it dials by itself; then ours is put in the place of that. It has put tracing around it, which nobody collects
// and which costs more than an answer in memory.
func (w *wire) client() (*client.Client, error) {
	calls := &http.Client{Transport: &http.Transport{TLSClientConfig: w.transport.TLSClientConfig}, CheckRedirect: client.CheckRedirect}
	api, err := client.NewClientWithOpts(w.opts(calls)...)
	calls.Transport = w.calls
	return api, err
}

// below says whether the negotiated API version is older.
func (e *Engine) below(version string) bool {
	return versions.LessThan(e.api().ClientVersion(), version)
}
