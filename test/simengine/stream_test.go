//go:build linux

package simengine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/events"
)

// stream is a subscription to events.
type stream struct {
	s    *subject
	mu   sync.Mutex
	seen []events.Message
	done chan struct{} // closed when it has ended
	err  error         // why, unless it ended as it should
}

// subscribe opens a stream of events, with a query such as "since=1", and begins to read it when it is told to.
func (s *subject) subscribe(query url.Values) (read func() *stream) {
	s.Helper()
	request, err := http.NewRequestWithContext(s.Context(), http.MethodGet, "http://engine/v1.41/events?"+query.Encode(), nil)
	s.must(err)
	answer, err := s.client.Do(request)
	s.must(err)
	if answer.StatusCode != http.StatusOK {
		s.Fatalf("%s: subscribe to events: %s", s.where(), answer.Status)
	}
	return func() *stream {
		follow := &stream{s: s, done: make(chan struct{})}
		go follow.read(answer.Body)
		return follow
	}
}

// follow subscribes to events of a type and reads them, all from now on: the engine answers a moment before it listens.
func (s *subject) follow(kind events.Type) *stream {
	s.Helper()
	query := ofType(kind)
	query.Set("since", nanoseconds(time.Now().UnixNano()))
	return s.subscribe(query)()
}

func ofType(kind events.Type) url.Values {
	return url.Values{"filters": {fmt.Sprintf(`{"type":{%q:true}}`, kind)}}
}

func (f *stream) read(body io.ReadCloser) {
	defer close(f.done)
	defer body.Close()
	for decoder := json.NewDecoder(body); ; {
		var m events.Message
		if err := decoder.Decode(&m); err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, context.Canceled) {
				f.err = err
			}
			return
		}
		f.mu.Lock()
		f.seen = append(f.seen, m)
		f.mu.Unlock()
	}
}

// over says whether the stream has ended.
func (f *stream) over() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// all are the messages so far.
func (f *stream) all() []events.Message {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]events.Message(nil), f.seen...)
}

// of are the actions on one object so far.
func (f *stream) of(id string) string { return actions(f.all(), id) }

// compact is of, with an action that is told several times in a row only once: on a busy machine the kernel finds no memory more than
// once before the process that it has killed is gone.
func (f *stream) compact(id string) string {
	return strings.Join(slices.Compact(strings.Split(f.of(id), ", ")), ", ")
}

func actions(messages []events.Message, id string) string {
	var list []string
	for _, m := range messages {
		if m.Actor.ID != id {
			continue
		}
		action := string(m.Action)
		if signal := m.Actor.Attributes["signal"]; signal != "" {
			action += " " + signal
		}
		list = append(list, action)
	}
	return strings.Join(list, ", ")
}

// until waits for a message.
func (f *stream) until(id string, action events.Action) events.Message {
	f.s.Helper()
	var found events.Message
	f.s.eventually(func() bool {
		for _, m := range f.all() {
			if m.Actor.ID == id && m.Action == action {
				found = m
				return true
			}
		}
		return false
	})
	return found
}

// past are the events that the engine still has, of a type or, when it is empty, of all.
func (s *subject) past(kind events.Type) []events.Message {
	s.Helper()
	query := url.Values{}
	if kind != "" {
		query = ofType(kind)
	}
	query.Set("since", "1")
	query.Set("until", nanoseconds(time.Now().UnixNano()))
	f := s.subscribe(query)()
	<-f.done
	return f.all()
}

// nanoseconds is a time as the query takes it.
func nanoseconds(ns int64) string {
	return strconv.FormatInt(ns/1e9, 10) + fmt.Sprintf(".%09d", ns%1e9)
}
