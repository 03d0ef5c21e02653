package web

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Bounds of streams of events.
const (
	maxStreams = 1000
	quiet      = time.Second      // between two messages: a burst of passes is one message
	keepAlive  = 20 * time.Second // a comment, so that nothing on the way takes the stream for dead
)

// news tells those who listen that there is something new.
type news struct {
	mu      sync.Mutex
	version uint64
	next    chan struct{} // closed with the next version
	streams int
	closed  bool
}

func newNews() *news { return &news{next: make(chan struct{}), version: 1} }

// changed makes a new version and wakes everybody.
func (n *news) changed() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	n.version++
	close(n.next)
	n.next = make(chan struct{})
}

// close ends all streams, and those to come.
func (n *news) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.closed {
		n.closed = true
		close(n.next)
	}
}

// now is the version, a channel that is closed with the next one, and whether there will be none.
func (n *news) now() (version uint64, next <-chan struct{}, closed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.version, n.next, n.closed
}

// enter counts a stream; false: there are too many.
func (n *news) enter() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || n.streams >= maxStreams {
		return false
	}
	n.streams++
	return true
}

func (n *news) leave() {
	n.mu.Lock()
	n.streams--
	n.mu.Unlock()
}

// events tells a browser when a page has changed; it then asks for the page again. The first message is sent at once:
// something may have changed between the page and the stream.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	if !s.news.enter() {
		w.Header().Set("Retry-After", "10")
		plain(w, http.StatusServiceUnavailable, "too many viewers")
		return
	}
	defer s.news.leave()
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	send := func(text string) bool {
		_ = out.SetWriteDeadline(time.Now().Add(writeTimeout))
		_, err := fmt.Fprint(w, text)
		return err == nil && out.Flush() == nil
	}
	_ = out.SetReadDeadline(time.Time{}) // the request is read; the connection stays
	beat := time.NewTicker(keepAlive)
	defer beat.Stop()
	for {
		version, next, closed := s.news.now()
		if closed || !send(fmt.Sprintf("event: changed\ndata: %d\n\n", version)) {
			return
		}
		if !pause(r, quiet) || !wait(r, next, beat.C, send) {
			return
		}
	}
}

// pause waits; false: the client is gone.
func pause(r *http.Request, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-r.Context().Done():
		return false
	case <-timer.C:
		return true
	}
}

// wait waits for the next version and keeps the stream alive; false: the client is gone.
func wait(r *http.Request, next <-chan struct{}, beat <-chan time.Time, send func(string) bool) bool {
	for {
		select {
		case <-r.Context().Done():
			return false
		case <-next:
			return true
		case <-beat:
			if !send(": still here\n\n") {
				return false
			}
		}
	}
}
