package observe

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"composure/spec"
)

// maxBody is how much of an HTTP answer is read, in bytes.
const maxBody = 64 << 10

// http asks a URL. A redirect is an answer and is not followed; no proxy is used; there is a connection for each
// question, so that a server that takes no new ones is noticed.
func (at place) http(ctx context.Context, p spec.HTTPProbe) answer {
	target, err := url.Parse(p.URL)
	if err != nil {
		return unknown("the address cannot be read")
	}
	what := "GET " + target.Redacted()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL, nil)
	if err != nil {
		return unknown("%s: it cannot be asked", what)
	}
	request.Header.Set("User-Agent", "composure-probe")
	transport := &http.Transport{DialContext: at.dial, DisableKeepAlives: true, MaxResponseHeaderBytes: maxBody}
	defer transport.CloseIdleConnections()
	asked := time.Now()
	response, err := transport.RoundTrip(request)
	if isNoAddress(err) && at.probe.From == "network" {
		return at.httpInside(ctx, p, target, err)
	}
	if err != nil {
		return at.refusal(ctx, what, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	took := time.Since(asked)
	if err != nil {
		a := at.refusal(ctx, what, err)
		a.status = response.StatusCode
		return a
	}
	a := judgeHTTP(p, response.StatusCode, body, took)
	a.status, a.detail = response.StatusCode, what+" "+a.detail
	return a
}

// judgeHTTP compares an answer with what the probe expects.
func judgeHTTP(p spec.HTTPProbe, status int, body []byte, took time.Duration) answer {
	accepted := status >= 200 && status < 400
	if len(p.Status) > 0 {
		accepted = slices.Contains(p.Status, status)
	}
	rounded := took.Round(time.Millisecond)
	switch {
	case !accepted:
		return failing("answered %d in %s", status, rounded)
	case p.Latency > 0 && took > p.Latency:
		return failing("answered %d in %s, slower than %s", status, rounded, p.Latency)
	case p.Body != "":
		pattern, err := regexp.Compile(p.Body)
		if err != nil {
			return unknown("answered %d, and the body's pattern cannot be read", status)
		}
		if !pattern.Match(body) {
			return failing("answered %d in %s, its body does not match %q", status, rounded, p.Body)
		}
	}
	return okay("answered %d in %s", status, rounded)
}

// tcp opens a connection to the container's own address and, from the host, to the published port too: the engine's
// proxy accepts there for an application that is dead, and a dead proxy hides a live one.
func (at place) tcp(ctx context.Context, port int) answer {
	own, err := at.address(at.self)
	var published []string
	if at.probe.From != "network" {
		published = slices.DeleteFunc(at.published(port), at.besideHost)
	}
	if err != nil && len(published) == 0 {
		return at.tcpInside(ctx, port, err)
	}
	var places []string
	if err == nil {
		places = append(places, net.JoinHostPort(own, strconv.Itoa(port)))
	}
	for _, place := range append(places, published...) {
		conn, err := at.cfg.Dial(ctx, "tcp", place)
		if err != nil {
			return at.refusal(ctx, place, err)
		}
		dropped := len(places) == 0 && closedAtOnce(conn)
		_ = conn.Close()
		if dropped {
			return failing("%s: the published port accepts and closes, nothing answers behind it", place)
		}
	}
	return okay("%s accepts connections", strings.Join(append(places, published...), " and "))
}

// closedAtOnce says whether a connection ends right after it was accepted, which is what the engine's proxy does when
// nobody listens in the container.
func closedAtOnce(conn net.Conn) bool {
	_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	_, err := conn.Read(make([]byte, 1))
	return err != nil && !isTimeout(err)
}

// exec runs a command in the container.
func (at place) exec(ctx context.Context, argv []string) answer {
	if len(argv) == 0 {
		return unknown("there is no command")
	}
	result, a := at.command(ctx, argv)
	switch {
	case a != nil:
		return *a
	case result.ExitCode != 0:
		return failing("%s ended with %d: %s", argv[0], result.ExitCode, lastLine(result.Output))
	}
	return okay("%s ended with 0", argv[0])
}

// Bounds of one look for a log line.
const (
	logProbeLines = 2000
	logProbeBytes = 1 << 20
)

// logReader looks for a line since the start of a container, reading only what is new.
type logReader struct {
	found string    // the line, for good
	upTo  time.Time // lines before it have been read
	holes bool      // there was more than one look could read: absence proves nothing
}

// find looks for the line. One that is not there yet is a failure, unless the log was longer than what can be read.
func (l *logReader) find(ctx context.Context, at place, pattern string) answer {
	if l.found != "" {
		return okay("the log said: %s", l.found)
	}
	match, err := regexp.Compile(pattern)
	if err != nil {
		return unknown("the pattern cannot be read")
	}
	since := l.upTo
	if since.IsZero() {
		since = at.self.LogFrom()
	}
	asked := time.Now()
	text, err := at.cfg.Engine.LogsSince(ctx, at.self.ID, since, logProbeLines, logProbeBytes)
	if err != nil {
		return unknown("the log cannot be read: %s", reason(err))
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for _, line := range lines {
		if match.MatchString(line) {
			l.found = line
			return okay("the log said: %s", line)
		}
	}
	l.holes = l.holes || len(lines) >= logProbeLines || len(text) >= logProbeBytes
	l.upTo = asked.Add(-eager) // a line is written a moment after its time
	if l.holes {
		return unknown("no line matches %q in the last %d of a longer log", pattern, logProbeLines)
	}
	return failing("no line since the start matches %q", pattern)
}

// isOwnFault says whether an error is of this process or of trust, which a restart of the other side does not mend.
func isOwnFault(err error) bool {
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &certificate) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) ||
		errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM)
}
