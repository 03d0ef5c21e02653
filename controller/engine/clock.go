package engine

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

// clock compares the engine's clock with this host's, by the date that every answer to a ping carries. Whole seconds are
// all it says, and all that is needed: what a container's stamps are compared with are backoffs and healthchecks.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration // of the engine's clock; 0 while they agree
}

const (
	agree  = 2 * time.Second // clocks that differ by less are taken as one: the date is rounded, and an answer takes its time
	toldIn = time.Second     // an answer that took longer says too little about when it was given
)

// clocked has the clock read what passes.
type clocked struct {
	next http.RoundTripper
	*clock
}

// RoundTrip implements http.RoundTripper.
func (c clocked) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := time.Now()
	answer, err := c.next.RoundTrip(r)
	if err != nil || !strings.HasSuffix(r.URL.Path, "/_ping") {
		return answer, err
	}
	received := time.Now()
	date, parseErr := http.ParseTime(answer.Header.Get("Date"))
	if parseErr == nil && received.Sub(sent) <= toldIn {
		c.read(date.Add(500 * time.Millisecond).Sub(sent.Add(received.Sub(sent) / 2)))
	}
	return answer, nil
}

// read takes one reading. What is known stays until a reading differs clearly: stamps that are told by it keep their time.
func (c *clock) read(ahead time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case ahead.Abs() < agree:
		c.ahead = 0
	case (ahead - c.ahead).Abs() >= agree:
		c.ahead = ahead
	}
}

// difference is how far the engine's clock is ahead of this host's; 0 while they agree.
func (c *clock) difference() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ahead
}
