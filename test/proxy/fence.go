package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"composure/controller/engine"
)

// CallsFile names the variable that holds the file to which every endpoint called is added, one line for each mode that
// called it; empty: none. `make test-proxy` reads it.
const CallsFile = "COMPOSURE_TEST_CALLS"

// Lists are what `composure endpoints` prints for each mode, as an allow-list of a socket proxy. They are read from the
// binary and matched by regular expressions, so that the product's own matching is not asked about itself. They are safe
// for concurrent use.
type Lists struct {
	allowed map[engine.Mode][]allowed
	called  sync.Map // line of CallsFile → true
}

type allowed struct {
	engine.Endpoint
	path *regexp.Regexp
}

// ReadLists asks the binary for its lists.
func ReadLists(binary string) (*Lists, error) {
	l := &Lists{allowed: map[engine.Mode][]allowed{}}
	for _, mode := range engine.Modes() {
		out, err := exec.Command(binary, "endpoints", "--mode", string(mode), "-o", "json").Output()
		if err != nil {
			return nil, fmt.Errorf("composure endpoints --mode %s: %w", mode, err)
		}
		var said struct{ Endpoints []engine.Endpoint }
		if err := json.NewDecoder(bytes.NewReader(out)).Decode(&said); err != nil {
			return nil, err
		}
		for _, e := range said.Endpoints {
			l.allowed[mode] = append(l.allowed[mode], allowed{e, pattern(e.Path)})
		}
	}
	return l, nil
}

// pattern is a path as printed, with or without a version: {ref} may be several segments, any other brace is one.
func pattern(path string) *regexp.Regexp {
	text := regexp.MustCompile(`\\{\w+\\}`).ReplaceAllStringFunc(regexp.QuoteMeta(path), func(brace string) string {
		if brace == `\{ref\}` {
			return `.+`
		}
		return `[^/]+`
	})
	return regexp.MustCompile(`^(/v1\.\d+)?` + text + `$`)
}

// Fence is one engine behind three proxies, each of which answers 403 to what its mode does not list.
type Fence struct{ modes map[engine.Mode]*Proxy }

// Fence stands before the engine that dial reaches until the test ends, and fails the test for every call that it refuses.
func (l *Lists) Fence(t testing.TB, dial Dial) *Fence {
	t.Helper()
	f := &Fence{modes: map[engine.Mode]*Proxy{}}
	for _, mode := range engine.Modes() {
		f.modes[mode] = New(t, dial)
		f.modes[mode].Intercept(func(w http.ResponseWriter, r *http.Request) bool {
			i := slices.IndexFunc(l.allowed[mode], func(a allowed) bool { return a.Method == r.Method && a.path.MatchString(r.URL.EscapedPath()) })
			if i < 0 {
				t.Errorf("composure endpoints --mode %s does not list %s %s", mode, r.Method, r.URL.Path)
				http.Error(w, `{"message":"the proxy allows only what is listed"}`, http.StatusForbidden)
				return true
			}
			l.note(t, string(mode)+" "+l.allowed[mode][i].Method+" "+l.allowed[mode][i].Path)
			return false
		})
	}
	return f
}

// note adds a line to CallsFile, once. Lines are short: several processes may add to the file.
func (l *Lists) note(t testing.TB, line string) {
	if _, known := l.called.LoadOrStore(line, true); known || os.Getenv(CallsFile) == "" {
		return
	}
	file, err := os.OpenFile(os.Getenv(CallsFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = file.WriteString(line + "\n")
		_ = file.Close()
	}
	if err != nil {
		t.Error(err)
	}
}

// For is the proxy for a command line: that of the mode that the first command in it needs.
func (f *Fence) For(args ...string) *Proxy { return f.modes[ModeOf(args)] }

// ModeOf is the mode that a command line needs, as `composure endpoints --help` says it.
func ModeOf(args []string) engine.Mode {
	for _, arg := range args {
		switch arg {
		case "drift", "history", "incidents", "pause", "resume", "release", "lint", "init", "health":
			return engine.ModeDrift
		case "diagnose", "status", "baseline":
			return engine.ModeDiagnose
		case "reconcile":
			if slices.Contains(args, "--dry-run") {
				return engine.ModeDiagnose
			}
			return engine.ModeReconcile
		}
	}
	return engine.ModeReconcile
}

// Environment is the variable that has a command line go through the fence.
func (f *Fence) Environment(args ...string) string { return "DOCKER_HOST=" + f.For(args...).Host }

// Uncalled are the endpoints that no command of the least mode listing them has called, by the lines of a CallsFile.
func Uncalled(lines []string) []engine.Endpoint {
	return slices.DeleteFunc(engine.Endpoints(engine.ModeReconcile), func(e engine.Endpoint) bool {
		return slices.Contains(lines, strings.Join([]string{string(e.Mode), e.Method, e.Path}, " "))
	})
}
