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
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/connhelper"
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

// Engine is a connected engine. It is safe for concurrent use.
type Engine struct {
	api       *client.Client
	clock     *clock
	host      string
	configDir string // of the docker configuration, read again for credentials
	log       *slog.Logger

	answers answers // to looks

	starts *semaphore.Weighted // calls that start a container

	mu    sync.Mutex
	about observe.Engine // from the version call, which is slow: the engine asks its runtimes
	known bool           // about is right; false after the engine was away
}

// Connect finds the engine with the docker CLI's precedence (--context; -H; DOCKER_HOST; DOCKER_CONTEXT;
// currentContext of config.json; the default socket), connects and negotiates the API version. The error says which
// of these named the engine and what to do.
func Connect(ctx context.Context, opts Options) (*Engine, error) {
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
	api, watch, err := newClient(target, cfg.HTTPHeaders, opts)
	if err != nil {
		return nil, fmt.Errorf("connect to %s (from %s): %w", target.host, target.source, err)
	}
	e := &Engine{api: api, clock: watch, host: target.host, configDir: dir, log: log, starts: semaphore.NewWeighted(startsAtOnce)}
	if err := e.negotiate(ctx, target); err != nil {
		_ = api.Close()
		return nil, err
	}
	return e, nil
}

// Host is the address of the engine, such as "unix:///var/run/docker.sock".
func (e *Engine) Host() string { return e.host }

// Close gives up the connections. Calls in flight are not ended.
func (e *Engine) Close() error { return e.api.Close() }

// newClient builds the client with its transport: connections stay open between passes, and a broken one is found by
// TCP keep-alive.
func newClient(target endpoint, headers map[string]string, with Options) (*client.Client, *clock, error) {
	transport := &http.Transport{
		MaxIdleConns:        idleConnections,
		MaxIdleConnsPerHost: idleConnections,
		IdleConnTimeout:     90 * time.Second,
		TLSClientConfig:     target.tls,
	}
	calls := &http.Client{Transport: transport, CheckRedirect: client.CheckRedirect}
	opts := []client.Opt{
		client.WithHTTPClient(calls),
		client.WithUserAgent("composure"),
		client.WithHTTPHeaders(headers),
		client.WithVersionFromEnv(),
		client.WithAPIVersionNegotiation(),
	}
	helper, err := connhelper.GetConnectionHelper(target.host)
	switch {
	case err != nil:
		return nil, nil, err
	case helper != nil:
		opts = append(opts, client.WithHost(helper.Host), client.WithDialContext(helper.Dialer))
	default:
		opts = append(opts, client.WithHost(target.host))
		if with.Dial != nil {
			opts = append(opts, client.WithDialContext(with.Dial))
		}
	}
	api, err := client.NewClientWithOpts(opts...)
	if helper != nil {
		transport.Proxy = nil // the host of an ssh endpoint is a placeholder; a proxy must not be asked for it
	}
	// The client, which has looked at the transport by now, uses what stands here. It has put tracing around it, which nobody
	// collects and which costs more than an answer in memory.
	calls.Transport = transport
	if with.Wrap != nil {
		calls.Transport = with.Wrap(calls.Transport)
	}
	if with.Observe != nil {
		calls.Transport = timed{calls.Transport, with.Observe}
	}
	watch := &clock{next: unchanged{calls.Transport}}
	calls.Transport = watch
	return api, watch, err
}

// negotiate proves that the engine is there and settles the API version.
func (e *Engine) negotiate(ctx context.Context, target endpoint) error {
	ctx, cancel := context.WithTimeout(ctx, 3*readTimeout) // ssh may have to log in first
	defer cancel()
	ping, err := e.api.Ping(ctx)
	if err != nil {
		return fmt.Errorf("connect to the engine at %s (from %s): %w; %s", target.host, target.source, classify(err), adviceFor(target, err))
	}
	e.api.NegotiateAPIVersionPing(ping)
	if version := e.api.ClientVersion(); versions.LessThan(version, minAPI) {
		return fmt.Errorf("connect to the engine at %s: it speaks API %s and Composure needs %s or newer; upgrade it to Docker Engine 20.10 or newer", target.host, version, minAPI)
	}
	e.log.Debug("engine connected", "host", target.host, "from", target.source, "api_version", e.api.ClientVersion())
	return nil
}

// below says whether the negotiated API version is older.
func (e *Engine) below(version string) bool { return versions.LessThan(e.api.ClientVersion(), version) }
