// Package simengine is a simulated Docker Engine: one HTTP handler that speaks the part of the Engine API (1.41) that
// Composure uses, with state machines for containers, health, restart policies, networks, volumes, images and events.
//
// It reads the time from package time only, so inside a testing/synctest bubble it runs on virtual time: serve it over
// its own in-memory connections there (Dial), and over a unix socket elsewhere (Handler). Its truth is the real engine:
// the conformance table runs against both.
package simengine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
)

// Behaviour is what the process in a container does, from one start to its end. The zero value runs for ever, is
// healthy, and ends at once with 0 when it is told to.
type Behaviour struct {
	ExitAfter  time.Duration // how long it runs; 0: for ever
	ExitCode   int
	OOM        bool                              // the end by itself is the kernel's, for memory
	ChildOOM   time.Duration                     // after which the kernel kills a child of it for memory, which it survives; 0: never
	Healthy    func(up time.Duration) bool       // what a check says, up after the start; nil: healthy
	CheckHangs bool                              // a check does not end by itself
	CheckSays  string                            // what a check writes
	StopTakes  time.Duration                     // from the signal to the end; beyond the grace it is killed
	StartError string                            // the engine cannot start it
	Log        string                            // what it writes at its start
	Exec       func(argv []string) (int, string) // what a command in it answers; nil: 0 and nothing
}

// Start is one start of a container of a service.
type Start struct {
	Service, Name, Image string // Image is the id
	N                    int    // of the service, from 1
}

// Engine is a simulated engine. It is safe for concurrent use.
type Engine struct {
	mu          sync.Mutex
	containers  map[string]*instance // by id
	networks    map[string]*network.Inspect
	volumes     map[string]*volume.Volume
	images      map[string]*image.InspectResponse // by reference and by id; none is ever changed
	encoded     map[*image.InspectResponse][]byte // as answers have them
	behaviours  map[string]func(Start) Behaviour
	starts      map[string]int
	execs       map[string]*execution
	hub         hub
	unknown     []string // requests for what this engine does not know
	faults      []Fault
	attempts    map[string]int
	trouble     func(*http.Request, string) Trouble
	witness     Witness
	photo       []container.Summary // what a stale list shows
	calls       []string            // mutating calls, in order
	serials     map[string]int
	hostPorts   map[string]bool // held by processes of the host
	skew        time.Duration   // of the engine's clock against that of who asks
	liveRestore bool
	refusing    bool // takes no connections: the daemon ends, or is down
	down        bool
	socket      *socket
	asleep      chan struct{} // closed when the daemon goes on; nil: it runs
	accept      chan net.Conn
	line        *Line // of Dial
	lines       []*Line
	server      *http.Server
	handler     http.Handler
	filtered    sync.Map // filters.Args, by what was asked for
}

// New returns an engine without anything in it.
func New() *Engine {
	e := &Engine{
		containers: map[string]*instance{}, networks: map[string]*network.Inspect{}, volumes: map[string]*volume.Volume{},
		images: map[string]*image.InspectResponse{}, encoded: map[*image.InspectResponse][]byte{}, behaviours: map[string]func(Start) Behaviour{}, starts: map[string]int{},
		execs: map[string]*execution{}, attempts: map[string]int{}, serials: map[string]int{}, hostPorts: map[string]bool{}, accept: make(chan net.Conn),
	}
	e.line, e.handler = e.Line(""), e.Handler()
	for name, driver := range map[string]string{"bridge": "bridge", "host": "host", "none": "null"} {
		e.addNetwork(name, nil).Driver = driver
	}
	return e
}

// Image makes an image present and returns its id.
func (e *Engine) Image(ref string, config dockerspec.DockerOCIImageConfig) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	id := "sha256:" + e.id("image "+ref)
	if config.Cmd == nil {
		config.Cmd = []string{"/server"}
	}
	found := &image.InspectResponse{ID: id, RepoTags: []string{tagged(ref)}, Architecture: "amd64", Os: "linux", Config: &config}
	e.images[id], e.images[tagged(ref)] = found, found
	return id
}

// tagged is a reference with its tag.
func tagged(ref string) string {
	if last := ref[strings.LastIndexByte(ref, '/')+1:]; strings.Contains(last, ":") {
		return ref
	}
	return ref + ":latest"
}

// Behave says what containers of a service do, from their next start on.
func (e *Engine) Behave(service string, b func(Start) Behaviour) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.behaviours[service] = b
}

// Calls are the mutating calls that were executed, in their order, such as "POST restart p-web-1".
func (e *Engine) Calls() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.calls...)
}

// ForgetCalls begins the record of calls anew.
func (e *Engine) ForgetCalls() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls = nil
}

// Unknown are the requests for what this engine does not know. Whoever uses it fails on them: what is answered to them is
// not what an engine would say.
func (e *Engine) Unknown() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.unknown)
}

// id is a fresh identifier, the same in every run for the n-th thing of a name.
func (e *Engine) id(of string) string {
	e.serials[of]++
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", e.serials[of], of))
	return hex.EncodeToString(sum[:])
}

// now is the time by the engine's clock.
func (e *Engine) now() time.Time { return time.Now().Add(e.skew) }

// Skew sets the engine's clock against that of whoever asks.
func (e *Engine) Skew(by time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.skew = by
}

// Serve answers the connections that lines make, until ctx ends.
func (e *Engine) Serve(ctx context.Context) {
	e.server = &http.Server{
		Handler: e.handler, BaseContext: func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
	}
	go func() { _ = e.server.Serve(pipes{e, ctx}) }()
	context.AfterFunc(ctx, func() { _ = e.server.Close() })
}

// Dial makes an in-memory connection; it is refused while the engine is down.
func (e *Engine) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return e.line.Dial(ctx, network, address)
}

// pipes is the listener of lines.
type pipes struct {
	e   *Engine
	ctx context.Context
}

// Accept implements net.Listener.
func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.e.accept:
		return c, nil
	case <-p.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p pipes) Close() error { return nil }

// Addr implements net.Listener.
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "sim", Net: "unix"} }

// publish emits a container event of something that has changed.
func (e *Engine) publish(i *instance, action events.Action, attributes map[string]string) {
	e.tell(i, action, attributes)
	e.happened(i, string(action))
}

// tell emits a container event; labels overwrite attributes, as in the engine.
func (e *Engine) tell(i *instance, action events.Action, attributes map[string]string) {
	all := make(map[string]string, 2+len(attributes)+len(i.config.Labels))
	all["name"], all["image"] = i.name, i.config.Image
	for k, v := range attributes {
		all[k] = v
	}
	for k, v := range i.config.Labels {
		all[k] = v
	}
	e.hub.send(e.now(), events.Message{Type: events.ContainerEventType, Action: action, Actor: events.Actor{ID: i.id, Attributes: all}})
}
