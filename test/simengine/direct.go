package simengine

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Answer answers the looks of one caller without a connection: reading and writing HTTP is most of what a look costs, and
// a simulation looks a million times. What changes something, and what streams, goes over connections.
func (l *Line) Answer(next http.RoundTripper) http.RoundTripper { return direct{l, next} }

type direct struct {
	line *Line
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (d direct) RoundTrip(r *http.Request) (response *http.Response, err error) {
	if r.Method != http.MethodGet || strings.HasSuffix(r.URL.Path, "/events") || strings.HasSuffix(r.URL.Path, "/logs") {
		return d.next.RoundTrip(r)
	}
	if d.line.isDown() {
		return nil, &net.OpError{Op: "dial", Net: "unix", Err: errors.New("connect: connection refused")}
	}
	breaks := d.line.breaks()
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			panic(p)
		} else if p != nil || isClosed(breaks) {
			response, err = nil, errors.Join(r.Context().Err(), io.EOF)
		}
	}()
	asked := r.WithContext(context.WithValue(r.Context(), requestKey{}, request{from: d.line.name, at: time.Now(), breaks: breaks}))
	u := *r.URL
	asked.URL, asked.Body = &u, http.NoBody
	kept := &answered{header: http.Header{}, status: http.StatusOK}
	d.line.e.handler.ServeHTTP(kept, asked)
	return &http.Response{
		Status: http.StatusText(kept.status), StatusCode: kept.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: kept.header, Body: io.NopCloser(&kept.body), ContentLength: int64(kept.body.Len()),
	}, nil
}

// answered keeps an answer.
type answered struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answered) Header() http.Header         { return a.header }
func (a *answered) Write(p []byte) (int, error) { return a.body.Write(p) }
func (a *answered) WriteHeader(status int)      { a.status = status }

// wait lets a request wait. One without a connection ends with its caller's patience, or where its connection would break.
func wait(r *http.Request, d time.Duration, until <-chan struct{}) {
	breaks := about(r).breaks
	if breaks == nil && until != nil {
		<-until
		return
	}
	if breaks == nil || until == nil && d < 10*time.Millisecond {
		time.Sleep(d)
		return
	}
	var timer <-chan time.Time
	if until == nil {
		t := time.NewTimer(d)
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-timer:
	case <-until:
	case <-breaks:
		panic(http.ErrAbortHandler)
	case <-r.Context().Done():
		panic(http.ErrAbortHandler)
	}
}

// isDown says whether no connection can be made.
func (l *Line) isDown() bool {
	l.e.mu.Lock()
	down := l.e.down
	l.e.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	return down || l.cut
}

// breaks is closed when the line's connections break next.
func (l *Line) breaks() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
