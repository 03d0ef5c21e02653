// Package web serves what the remediator sees to people and programs: pages, JSON, metrics. It is a surface: it reads
// what the passes saw and what the store remembers through one Source, renders the types of package view, and decides
// nothing. What people ask for with it is done by the same commands that the terminal has.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"composure/controller/drift"
	"composure/controller/view"
)

// Source is where the surfaces read: the last turn of the loop, and the store. Implementations are safe for concurrent
// use. Errors are ErrNotReady before the first look at the stack, and ErrNotFound for what does not exist.
type Source interface {
	Status(ctx context.Context) (view.Status, error)
	Service(ctx context.Context, service string) (view.Detail, error)
	Log(ctx context.Context, service string) (view.Log, error)
	Drift(ctx context.Context) (drift.Document, error)
	Diagnoses(ctx context.Context) (view.Diagnoses, error)
	Plan(ctx context.Context) (view.Plan, error)
	// History is the newest of a service, or of the stack when service is empty, of each kind at most limit.
	History(ctx context.Context, service string, limit int) (view.History, error)
	Incidents(ctx context.Context, limit int) (view.Incidents, error)
	Incident(ctx context.Context, id string) (view.Incident, error)
	// Report is the document of an incident, in Markdown.
	Report(ctx context.Context, id string) (string, error)
}

var (
	// ErrNotReady says that the stack has not been looked at yet.
	ErrNotReady = errors.New("the stack has not been looked at yet")
	// ErrNotFound says that there is no such thing.
	ErrNotFound = errors.New("not found")
)

// Config is what a Server works with.
type Config struct {
	Stack  string // name of it
	Source Source
	Meters *Meters // what is counted beside; they belong to one server
	Logger *slog.Logger
	Token  string   // what a program or a person must give; empty: anybody may read, and nobody may act
	Actor  Actor    // does what people ask for; nil: nobody can
	Hosts  []string // names of this server, beside its addresses and localhost
}

// Server serves one stack. Its methods are safe for concurrent use.
type Server struct {
	Config
	news     *news
	pages    *pages
	mux      *http.ServeMux
	sessions sessions
	failures failures

	operations operations
	plans      plans
	asking     singleflight.Group
	mu         sync.Mutex
	known      uint64 // version that last belongs to
	last       view.Status
}

// New returns a server that has nothing to show yet. The error says what is wrong with what is built in.
func New(c Config) (*Server, error) {
	s := &Server{Config: c, news: newNews()}
	var err error
	if s.pages, err = newPages(); err != nil {
		return nil, fmt.Errorf("read the built-in pages: %w", err)
	}
	return s, nil
}

// Changed says that there is something new to show. It never blocks.
func (s *Server) Changed() { s.news.changed() }

// status is how the stack is: put together once for each version, however many ask.
func (s *Server) status(ctx context.Context) (view.Status, error) {
	version, _, _ := s.news.now()
	s.mu.Lock()
	last, fresh := s.last, s.known == version
	s.mu.Unlock()
	if fresh {
		return last, nil
	}
	now, err, _ := s.asking.Do(strconv.FormatUint(version, 10), func() (any, error) {
		now, err := s.Source.Status(context.WithoutCancel(ctx))
		if err == nil {
			s.mu.Lock()
			s.known, s.last = version, now
			s.mu.Unlock()
		}
		return now, err
	})
	if err != nil {
		return view.Status{}, err
	}
	return now.(view.Status), nil
}

// Handler is everything that is served.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.overview)
	mux.HandleFunc("GET /services/{service}", s.service)
	mux.HandleFunc("GET /incidents", s.incidentList)
	mux.HandleFunc("GET /incidents/{id}", s.incident)
	mux.HandleFunc("GET /history", s.history)
	mux.HandleFunc("GET /do/{kind}", s.confirm)
	mux.HandleFunc("POST /do/{kind}", s.act)
	mux.HandleFunc("GET /events", s.events)
	mux.HandleFunc("GET /assets/{name}", s.asset)
	s.api(mux)
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /metrics", s.metrics())
	mux.HandleFunc("GET /login", s.login)
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("POST /logout", s.logout)
	s.mux = mux
	return secured(s.guarded(mux))
}

// Bounds of what a client may ask of the server. A stream of events extends its own deadline.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	writeTimeout  = 30 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 16 << 10 // bytes
)

// Serve answers on a listener until ctx ends. Streams are ended at once, other answers have two seconds.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(s.Logger.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() {
		s.news.close()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if server.Shutdown(end) != nil {
			_ = server.Close()
		}
	})
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return nil
}

// healthz says that the process answers.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok") }

// readyz says whether the stack has been looked at, and the engine answers.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	now, err := s.status(r.Context())
	switch {
	case err != nil:
		plain(w, http.StatusServiceUnavailable, "not ready: "+err.Error())
	case now.Down != nil:
		plain(w, http.StatusServiceUnavailable, "not ready: the engine does not answer")
	default:
		plain(w, http.StatusOK, "ok")
	}
}

func plain(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text + "\n"))
}
