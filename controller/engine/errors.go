package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/client"

	"composure/controller/observe"
)

// marked is the engine's answer with the sentinels that say what it means.
type marked struct {
	text  string
	kinds []error // and the answer itself, last
}

func (m *marked) Error() string   { return m.text }
func (m *marked) Unwrap() []error { return m.kinds }

// meanings are the texts of the engine that callers decide on, first match wins. Status codes alone do not tell:
// a port conflict is a 500 and so is bad JSON.
var meanings = []struct {
	text *regexp.Regexp
	kind error
}{
	{regexp.MustCompile(`port is already allocated`), observe.ErrPortAllocated},                     // libnetwork: a container
	{regexp.MustCompile(`(bind|listen|host port).*: address already in use`), observe.ErrPortInUse}, // the host's kernel
	{regexp.MustCompile(`Address already in use`), observe.ErrAddressTaken},                         // libnetwork's IPAM
	{regexp.MustCompile(`(?i)network \S+ not found`), observe.ErrNetworkMissing},                    // also at start, years after create
	{regexp.MustCompile(`network \S+ is ambiguous`), observe.ErrNetworkTwice},
	{regexp.MustCompile(`(?i)no such image|manifest .*unknown|repository name not known|manifest for .* not found`), observe.ErrImageMissing},
	{regexp.MustCompile(`(?i)unauthorized|authentication required|no basic auth credentials|pull access denied|access to the resource is denied`), observe.ErrDenied},
	{regexp.MustCompile(`exec: "|exec format error|exec user process|stat \S+: no such file or directory: unknown$`), observe.ErrBadCommand},
}

// nameTaken is the engine's answer to create and rename; the holder's id is what a caller needs.
var nameTaken = regexp.MustCompile(`container name "/?([^"]+)" is already in use by container "?([0-9a-f]+)`)

// wrap says what was tried and marks the error with what it means; nil stays nil.
func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, classify(err))...)
}

// classify marks an error of the client with observe's sentinels.
func classify(err error) error {
	text := strings.TrimSuffix(strings.TrimPrefix(err.Error(), "Error response from daemon: "), ". Is the docker daemon running?")
	mark := func(kinds ...error) error { return &marked{text, append(kinds, err)} }
	if match := nameTaken.FindStringSubmatch(text); match != nil {
		return &observe.NameTaken{Name: match[1], Holder: match[2], Err: errors.New(text)}
	}
	for _, m := range meanings {
		if m.text.MatchString(text) {
			return mark(m.kind)
		}
	}
	switch {
	case errors.Is(err, context.Canceled):
		return mark()
	case notSent(err):
		return mark(observe.ErrUnreachable)
	case errors.Is(err, context.DeadlineExceeded):
		text = observe.ErrNoAnswer.Error() // says more than "context deadline exceeded"
		return mark(observe.ErrNoAnswer)
	case client.IsErrConnectionFailed(err), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return mark(observe.ErrUnreachable, observe.ErrNoAnswer)
	case cerrdefs.IsNotFound(err) && !strings.Contains(text, "sandbox "): // renaming a crash-looping container may lack its network's sandbox: it is there all the same
		return mark(observe.ErrNotFound)
	case cerrdefs.IsConflict(err):
		return mark(observe.ErrConflict)
	}
	return mark()
}

// notSent says whether the request certainly never reached the engine, because no connection came about.
func notSent(err error) bool {
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		return op.Op == "dial"
	}
	// The client replaces the dial error of a refused or missing socket with a sentence of its own.
	return client.IsErrConnectionFailed(err) && strings.HasPrefix(err.Error(), "Cannot connect to the Docker daemon")
}
