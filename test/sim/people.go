package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// people are who is called: a webhook that keeps what it was told.
type people struct {
	w    *world
	host string

	mu    sync.Mutex
	down  bool
	told  []told
	known map[string]bool // ids
}

// told is one message that was taken.
type told struct {
	at                       time.Duration
	id, incident, kind, tier string
	service, cause           string
	services                 []string
}

// switchboard dispatches what the program sends by HTTP to the world that it is for. The program's notifiers use the
// default transport; nothing in a simulation leaves the process.
var switchboard sync.Map // host → *people

func init() { http.DefaultTransport = toPeople{} }

type toPeople struct{}

// RoundTrip implements http.RoundTripper.
func (toPeople) RoundTrip(r *http.Request) (*http.Response, error) {
	found, ok := switchboard.Load(r.URL.Host)
	if !ok {
		return nil, fmt.Errorf("dial tcp: lookup %s: no such host", r.URL.Host)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	status := found.(*people).take(body)
	return &http.Response{
		Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(nil)),
	}, nil
}

func (p *people) open(w *world) {
	p.w, p.host, p.known = w, "people.sim", map[string]bool{}
	switchboard.Store(p.host, p)
}

func (p *people) close() { switchboard.Delete(p.host) }

// take is one message.
func (p *people) take(body []byte) int {
	var m struct {
		ID, Kind, Tier string
		Incident       struct {
			ID, Service, Cause string
			Impact             struct{ Services []string }
		}
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return http.StatusBadRequest
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		return http.StatusServiceUnavailable
	}
	t := told{time.Since(p.w.began), m.ID, m.Incident.ID, m.Kind, m.Tier, m.Incident.Service, m.Incident.Cause, m.Incident.Impact.Services}
	p.w.trace.add("people are told: %s %s of %s (%s)", t.tier, t.kind, t.incident, strings.Join(append([]string{t.service}, t.services...), " "))
	for _, before := range p.told {
		if t.kind == "escalated" && before.kind == t.kind && before.incident == t.incident && before.tier == t.tier && before.id != t.id {
			p.w.check.violated("escalated twice", "%s of %s, as %s and %s", t.tier, t.incident, before.id, t.id)
		}
	}
	p.told, p.known[t.id] = append(p.told, t), true
	return http.StatusOK
}
