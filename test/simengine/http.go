package simengine

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/system"
)

// unversioned is a request's path without the version.
func unversioned(path string) string {
	if !strings.HasPrefix(path, "/v1.") {
		return path
	}
	_, rest, _ := strings.Cut(path[1:], "/")
	return "/" + rest
}

// Handler is the Engine API.
func (e *Engine) Handler() http.Handler {
	mux := http.NewServeMux()
	e.looks(mux)
	e.changes(mux)
	e.resources(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.notKnown(w, r, "")
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = arrived(r)
		r.URL.Path = unversioned(r.URL.Path)
		r.URL.RawPath = unversioned(r.URL.RawPath)
		header := w.Header()
		header["Api-Version"], header["Builder-Version"], header["Ostype"], header["Date"] = api, builder, linux, []string{e.date()}
		e.faulty(w, r, mux)
	})
}

// date is the time by the engine's clock as an answer carries it.
func (e *Engine) date() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.now().UTC().Format(http.TimeFormat)
}

// route serves a kind of request that takes these parameters: any other is not known, and must not be without effect.
func (e *Engine) route(mux *http.ServeMux, pattern string, serve http.HandlerFunc, parameters ...string) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "" {
			serve(w, r)
			return
		}
		for name := range r.URL.Query() {
			if !slices.Contains(parameters, name) {
				e.mu.Lock()
				defer e.mu.Unlock()
				e.notKnown(w, r, "parameter "+name)
				return
			}
		}
		serve(w, r)
	})
}

// notKnown answers a request for what the simulation does not have, and keeps it for whoever asks. The lock is held.
func (e *Engine) notKnown(w http.ResponseWriter, r *http.Request, what string) {
	text := strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Method, r.URL.Path, what))
	e.unknown = append(e.unknown, text)
	fail(w, http.StatusNotImplemented, "the simulated engine does not know: "+text)
}

// filters are the filters of a request, of these kinds.
func (e *Engine) filters(r *http.Request, kinds ...string) (filters.Args, error) {
	text := r.URL.Query().Get("filters")
	if same, ok := e.filtered.Load(strings.Join(kinds, " ") + text); ok { // the same few are asked for ever
		return same.(filters.Args), nil
	}
	wanted, err := filters.FromJSON(text)
	if err != nil {
		return wanted, &answer{http.StatusBadRequest, err.Error()}
	}
	if err := wanted.Validate(known(kinds)); err != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.unknown = append(e.unknown, fmt.Sprintf("%s %s: %v", r.Method, r.URL.Path, err))
		return wanted, &answer{http.StatusNotImplemented, "the simulated engine does not know: " + err.Error()}
	}
	e.filtered.Store(strings.Join(kinds, " ")+text, wanted)
	return wanted, nil
}

func known(kinds []string) map[string]bool {
	all := map[string]bool{}
	for _, kind := range kinds {
		all[kind] = true
	}
	return all
}

// looks are the requests that change nothing.
func (e *Engine) looks(mux *http.ServeMux) {
	e.route(mux, "/_ping", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "OK") })
	e.route(mux, "GET /info", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, system.Info{
			ID: "SIMULATED", Name: "simulated", ServerVersion: "20.10.24", OSType: "linux", Architecture: "x86_64", LoggingDriver: "json-file", DefaultRuntime: "runc",
			MemoryLimit: true, SwapLimit: true, CPUShares: true, CPUCfsPeriod: true, CPUCfsQuota: true, CPUSet: true, PidsLimit: true,
		})
	})
	e.route(mux, "GET /events", e.events, "filters", "since", "until")
	e.route(mux, "GET /containers/json", e.list, "filters", "all", "limit")
	e.route(mux, "GET /containers/{id}/json", e.with(func(w http.ResponseWriter, r *http.Request, i *instance) error {
		if isTrue(r.URL.Query().Get("size")) {
			reply(w, http.StatusOK, i.inspect())
			return nil
		}
		reply(w, http.StatusOK, i.said())
		return nil
	}), "size")
	e.route(mux, "GET /containers/{id}/logs", e.with(logs), "tail", "since", "timestamps", "stdout", "stderr", "follow", "until", "details")
	e.route(mux, "GET /containers/{id}/top", e.with(top), "ps_args")
	e.route(mux, "GET /containers/{id}/stats", e.with(func(w http.ResponseWriter, _ *http.Request, i *instance) error {
		reply(w, http.StatusOK, container.StatsResponse{ID: i.id, Name: "/" + i.name, Read: time.Now(), MemoryStats: container.MemoryStats{Usage: 1 << 20, Limit: 1 << 30}})
		return nil
	}), "stream", "one-shot")
	e.route(mux, "/containers/{id}/archive", e.with(func(w http.ResponseWriter, r *http.Request, i *instance) error {
		if r.Method == http.MethodPut {
			_, _ = io.Copy(io.Discard, r.Body)
			return nil
		}
		return &answer{http.StatusNotFound, fmt.Sprintf("Could not find the file %s in container %s", r.URL.Query().Get("path"), i.id)}
	}), "path", "noOverwriteDirNonDir", "copyUIDGID")
}

// find is a container by id, a prefix of it, or name.
func (e *Engine) find(ref string) *instance {
	if i := e.containers[ref]; i != nil {
		return i
	}
	for _, i := range e.containers {
		if i.name == strings.TrimPrefix(ref, "/") || (len(ref) >= 12 && strings.HasPrefix(i.id, ref)) {
			return i
		}
	}
	return nil
}

// with finds the container of a request and answers its error. The lock is held.
func (e *Engine) with(do func(http.ResponseWriter, *http.Request, *instance) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		e.mu.Lock()
		defer e.mu.Unlock()
		ref := r.PathValue("id")
		i := e.find(ref)
		if i == nil {
			text := "No such container: " + ref
			if strings.HasSuffix(r.URL.Path, "/kill") {
				text = "Cannot kill container: " + ref + ": " + text
			}
			fail(w, http.StatusNotFound, text)
			return
		}
		if err := do(w, r, i); err != nil {
			refuse(w, err)
		}
	}
}

// logs are the last lines, framed as standard output.
func logs(w http.ResponseWriter, r *http.Request, i *instance) error {
	q := r.URL.Query()
	lines := i.log
	for since := instant(q.Get("since")); len(lines) > 0 && lines[0].at.Before(since); {
		lines = lines[1:]
	}
	if tail, err := strconv.Atoi(q.Get("tail")); err == nil {
		lines = lines[max(0, len(lines)-tail):]
	}
	for _, l := range lines {
		text := l.text + "\n"
		if q.Get("timestamps") == "1" {
			text = stamp(l.at) + " " + text
		}
		var head [8]byte
		head[0] = 1
		binary.BigEndian.PutUint32(head[4:], uint32(len(text)))
		_, _ = w.Write(append(head[:], text...))
	}
	return nil
}

// reply answers with a body, or with one that is encoded already.
func reply(w http.ResponseWriter, status int, body any) {
	w.Header()["Content-Type"] = asJSON
	w.WriteHeader(status)
	if encoded, is := body.([]byte); is {
		_, _ = w.Write(encoded)
		return
	}
	_ = json.NewEncoder(w).Encode(body)
}

// Values of headers that are the same in all answers.
var asJSON, api, builder, linux = []string{"application/json"}, []string{"1.41"}, []string{"1"}, []string{"linux"}

func fail(w http.ResponseWriter, status int, text string) {
	reply(w, status, map[string]string{"message": text})
}

func refuse(w http.ResponseWriter, err error) {
	var a *answer
	if errors.As(err, &a) {
		if a.status == http.StatusNotModified || a.status == http.StatusNoContent {
			w.WriteHeader(a.status)
			return
		}
		fail(w, a.status, a.text)
		return
	}
	fail(w, http.StatusInternalServerError, err.Error())
}

func decode(r *http.Request, into any) error {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		return &answer{http.StatusInternalServerError, err.Error()} // bad JSON is a 500 (engine fact 14)
	}
	return nil
}
