package engine

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// answerer answers with the date of a clock that is ahead, after a while.
type answerer struct{ ahead, takes time.Duration }

func (a *answerer) RoundTrip(*http.Request) (*http.Response, error) {
	time.Sleep(a.takes)
	date := time.Now().Add(a.ahead).UTC().Format(http.TimeFormat)
	return &http.Response{Header: http.Header{"Date": {date}}, Body: io.NopCloser(strings.NewReader("OK"))}, nil
}

// TestClock: the difference is known to the second, does not waver with the rounding of dates, and is gone once the clocks
// agree again; an answer that took long says nothing.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := &answerer{}
		c := clocked{far, &clock{}}
		ping := func(ahead, takes time.Duration) time.Duration {
			time.Sleep(1370 * time.Millisecond)
			far.ahead, far.takes = ahead, takes
			r, _ := http.NewRequest(http.MethodGet, "http://engine/v1.41/_ping", nil)
			if _, err := c.RoundTrip(r); err != nil {
				t.Fatal(err)
			}
			return c.difference()
		}
		if got := ping(time.Second, 0); got != 0 {
			t.Errorf("a second counts as %s", got)
		}
		first := ping(-time.Hour, 10*time.Millisecond)
		if (first + time.Hour).Abs() > time.Second {
			t.Errorf("an hour behind is read as %s", first)
		}
		for range 20 {
			if got := ping(-time.Hour, 300*time.Millisecond); got != first {
				t.Fatalf("the difference wavers: %s, then %s", first, got)
			}
		}
		if got := ping(time.Hour, 5*time.Second); got != first {
			t.Errorf("an answer that took five seconds is believed: %s", got)
		}
		if got := ping(0, 0); got != 0 {
			t.Errorf("clocks that agree again differ by %s", got)
		}
	})
}
