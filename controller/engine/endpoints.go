package engine

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// Mode is how much of the engine a command needs. Each has what the modes before it have.
type Mode string

// Modes, from the least to the most.
const (
	ModeDrift     Mode = "drift"     // drift, history, incidents: only looks
	ModeDiagnose  Mode = "diagnose"  // diagnose, status, baseline: looks into containers too, and runs commands in them
	ModeReconcile Mode = "reconcile" // everything else
)

// Modes are all of them, from the least to the most.
func Modes() []Mode { return []Mode{ModeDrift, ModeDiagnose, ModeReconcile} }

// Endpoint is one operation of the Engine API.
type Endpoint struct {
	Method string `json:"method"`
	Path   string `json:"path"` // without the version; {…} is a segment, {ref} and {path} may be several
	Mode   Mode   `json:"mode"` // the least that needs it
	Why    string `json:"why"`
}

// endpoints is the one place to add an operation of the Engine API. A test holds what the commands call to it.
var endpoints = []Endpoint{
	{"HEAD", "/_ping", ModeDrift, "is the engine there, and which API does it speak"},
	{"GET", "/_ping", ModeDrift, "the same, for engines and proxies that refuse HEAD"},
	{"GET", "/info", ModeDrift, "which engine it is: its id tells two hosts apart"},
	{"GET", "/containers/json", ModeDrift, "containers of the stack"},
	{"GET", "/containers/{id}/json", ModeDrift, "every field of a container"},
	{"GET", "/containers/{id}/archive", ModeDrift, "content of configs and secrets that were copied in"},
	{"GET", "/networks", ModeDrift, "networks of the stack"},
	{"GET", "/networks/{name}", ModeDrift, "a network that the file names"},
	{"GET", "/volumes", ModeDrift, "volumes of the stack"},
	{"GET", "/volumes/{name}", ModeDrift, "a volume that the file names"},
	{"GET", "/images/{ref}/json", ModeDrift, "the image of a service"},

	{"GET", "/containers/{id}/logs", ModeDiagnose, "the end of a log"},
	{"GET", "/containers/{id}/stats", ModeDiagnose, "memory and CPU"},
	{"GET", "/containers/{id}/top", ModeDiagnose, "processes"},
	{"POST", "/containers/{id}/exec", ModeDiagnose, "probes and checks inside of a container"},
	{"POST", "/exec/{id}/start", ModeDiagnose, "the same"},
	{"GET", "/exec/{id}/json", ModeDiagnose, "the same"},

	{"GET", "/events", ModeReconcile, "when to look"},
	{"POST", "/containers/create", ModeReconcile, "create"},
	{"PUT", "/containers/{id}/archive", ModeReconcile, "copy configs and secrets in"},
	{"POST", "/containers/{id}/start", ModeReconcile, "start"},
	{"POST", "/containers/{id}/stop", ModeReconcile, "stop"},
	{"POST", "/containers/{id}/restart", ModeReconcile, "restart"},
	{"POST", "/containers/{id}/kill", ModeReconcile, "hard restart"},
	{"POST", "/containers/{id}/unpause", ModeReconcile, "unpause"},
	{"POST", "/containers/{id}/rename", ModeReconcile, "recreation under the same name"},
	{"POST", "/containers/{id}/update", ModeReconcile, "limits and restart policy in place"},
	{"DELETE", "/containers/{id}", ModeReconcile, "the old container, once the new one is proven; never its volumes"},
	{"POST", "/networks/create", ModeReconcile, "missing networks"},
	{"DELETE", "/networks/{name}", ModeReconcile, "the second of two networks of one name, which nothing is attached to"},
	{"POST", "/networks/{name}/connect", ModeReconcile, "attach to a network"},
	{"POST", "/networks/{name}/disconnect", ModeReconcile, "detach from a network"},
	{"POST", "/volumes/create", ModeReconcile, "missing volumes"},
	{"POST", "/images/create", ModeReconcile, "pull"},
	{"POST", "/images/{ref}/tag", ModeReconcile, "keep the image of a proven revision"},
	{"POST", "/build", ModeReconcile, "build"},
	{"POST", "/session", ModeReconcile, "build with BuildKit"},
}

// Endpoints returns what a mode needs of the Engine API.
func Endpoints(m Mode) []Endpoint {
	var needed []Endpoint
	for _, e := range endpoints {
		if slices.Index(Modes(), e.Mode) <= slices.Index(Modes(), m) {
			needed = append(needed, e)
		}
	}
	return needed
}

// EndpointOf returns the endpoint that a request is for; false when it is none that Composure uses.
func EndpointOf(method, path string) (Endpoint, bool) {
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	if len(segments) > 1 && strings.HasPrefix(segments[0], "v1.") {
		segments = segments[1:]
	}
	for _, e := range endpoints {
		if e.Method == method && fits(strings.Split(strings.TrimPrefix(e.Path, "/"), "/"), segments) {
			return e, true
		}
	}
	return Endpoint{}, false
}

// fits says whether a path is of a pattern.
func fits(pattern, path []string) bool {
	if extra := len(path) - len(pattern); extra > 0 && len(pattern) > 1 && pattern[1] == "{ref}" { // a reference has slashes
		path = append(append([]string{path[0]}, ""), path[2+extra:]...)
	}
	if len(pattern) != len(path) {
		return false
	}
	for i, p := range pattern {
		if p != path[i] && !strings.HasPrefix(p, "{") {
			return false
		}
	}
	return true
}

// timed tells how long the engine takes to begin its answers.
type timed struct {
	next    http.RoundTripper
	observe func(endpoint string, took time.Duration, failed bool)
}

// RoundTrip implements http.RoundTripper.
func (t timed) RoundTrip(r *http.Request) (*http.Response, error) {
	began := time.Now()
	answer, err := t.next.RoundTrip(r)
	name := "other"
	if e, known := EndpointOf(r.Method, r.URL.Path); known {
		name = e.Method + " " + e.Path
	}
	t.observe(name, time.Since(began), err != nil || answer.StatusCode >= http.StatusInternalServerError)
	return answer, err
}
