package simengine

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
)

// What the engine keeps of events (engine facts 6 and 7): its history, of all types, and what waits for one slow reader,
// who loses the rest without notice.
const (
	remembered = 256
	buffered   = 1024
)

// hub hands events to those who follow them. The engine's lock guards it.
type hub struct {
	followers map[chan events.Message]filters.Args
	history   []events.Message // the last ones, oldest first
	closed    bool
	losing    func(events.Message) bool // events that get lost on their way; nil: none
}

// LoseEvents lets events get lost on their way; nil: none any more.
func (e *Engine) LoseEvents(which func(events.Message) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hub.losing = which
}

func (h *hub) send(now time.Time, m events.Message) {
	m.Time, m.TimeNano, m.Scope = now.Unix(), now.UnixNano(), "local"
	if len(h.history) == 2*remembered {
		h.history = append(h.history[:0], h.history[remembered:]...)
	}
	h.history = append(h.history, m)
	if h.losing != nil && h.losing(m) {
		return
	}
	for f, wanted := range h.followers {
		if !passes(wanted, m) {
			continue
		}
		select {
		case f <- m:
		default:
		}
	}
}

// past are the remembered events from a time on, that time included (engine fact 8), until another.
func (h *hub) past(since, until time.Time, wanted filters.Args) []events.Message {
	return slices.DeleteFunc(slices.Clone(h.history[max(0, len(h.history)-remembered):]), func(m events.Message) bool {
		return m.TimeNano < since.UnixNano() || !until.IsZero() && m.TimeNano > until.UnixNano() || !passes(wanted, m)
	})
}

func (h *hub) follow(wanted filters.Args) chan events.Message {
	f := make(chan events.Message, buffered)
	if h.followers == nil {
		h.followers = map[chan events.Message]filters.Args{}
	}
	h.followers[f] = wanted
	return f
}

// close ends every stream, and with it the history: the daemon goes.
func (h *hub) close() {
	for f := range h.followers {
		close(f)
	}
	h.followers, h.history, h.closed = nil, nil, true
}

func (h *hub) open() { h.closed = false }

// instant reads a time of a query: seconds since 1970, with a fraction.
func instant(text string) time.Time {
	whole, fraction, _ := strings.Cut(text, ".")
	s, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || s == 0 {
		return time.Time{}
	}
	ns, _ := strconv.ParseInt((fraction + "000000000")[:9], 10, 64)
	return time.Unix(s, ns)
}

func (e *Engine) events(w http.ResponseWriter, r *http.Request) {
	wanted, err := e.filters(r, "type", "event")
	if err != nil {
		refuse(w, err)
		return
	}
	since, until := instant(r.URL.Query().Get("since")), instant(r.URL.Query().Get("until"))
	e.mu.Lock()
	var past []events.Message
	if !since.IsZero() {
		past = e.hub.past(since, until, wanted)
	}
	stream := e.hub.follow(wanted)
	e.mu.Unlock()
	streaming(r)
	defer func() {
		e.mu.Lock()
		delete(e.hub.followers, stream)
		e.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Connection", "close") // its end is that of the connection
	w.WriteHeader(http.StatusOK)
	encoder, out := json.NewEncoder(w), http.NewResponseController(w)
	for _, m := range past {
		_ = encoder.Encode(m)
	}
	_ = out.Flush()
	var end <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		end = timer.C
	}
	for {
		select {
		case m, open := <-stream:
			if !open || encoder.Encode(m) != nil {
				return
			}
			_ = out.Flush()
		case <-end:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// passes applies the filters that are used: type and event.
func passes(wanted filters.Args, m events.Message) bool {
	action, _, _ := strings.Cut(string(m.Action), ":")
	return (!wanted.Contains("type") || wanted.ExactMatch("type", string(m.Type))) && (!wanted.Contains("event") || wanted.ExactMatch("event", action))
}
