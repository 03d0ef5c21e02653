package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"unicode"

	"composure/controller/drift"
	"composure/controller/view"
)

// root is where the API begins. A change that breaks a reader gets another number; fields may be added to v1.
const root = "/api/v1"

// route is one operation of the API: the handler and its description are made from it.
type route struct {
	method, path string // below root
	id, summary  string
	params       []param
	answer       any // of the type that it answers with; a string: Markdown
	do           func(ctx context.Context, s *Server, v values) (any, error)
}

// param is a parameter in the path, in the query, or a field of the JSON document that is the body.
type param struct {
	name, in, about string
	number          bool
}

// values are the parameters of a request.
type values map[string]string

var (
	inService = param{name: "service", in: "path", about: "Name of a service of the compose file."}
	ofService = param{name: "service", in: "query", about: "Only what is about this service."}
	limited   = param{name: "limit", in: "query", about: "How many of each kind, newest first; 20 without it, at most 1000.", number: true}
	inID      = param{name: "id", in: "path", about: "Id of an incident, or the end of it."}
)

// routes is the one place to add an operation.
var routes = []route{
	{"GET", "/status", "status", "How every service is, what is held and why, what happens next.", nil, view.Status{},
		func(ctx context.Context, s *Server, _ values) (any, error) { return s.status(ctx) }},
	{"GET", "/services/{service}", "service", "One service: decision tree, drift, plots, containers, incidents.", []param{inService}, view.Detail{},
		func(ctx context.Context, s *Server, v values) (any, error) {
			return s.Source.Service(ctx, v["service"])
		}},
	{"GET", "/services/{service}/log", "serviceLog", "The end of what the containers of a service wrote, secrets masked.", []param{inService}, view.Log{},
		func(ctx context.Context, s *Server, v values) (any, error) { return s.Source.Log(ctx, v["service"]) }},
	{"GET", "/drift", "drift", "What differs from the compose file, field by field.", nil, drift.Document{},
		func(ctx context.Context, s *Server, _ values) (any, error) { return s.Source.Drift(ctx) }},
	{"GET", "/diagnoses", "diagnoses", "The decision trees of what is not well, as last walked.", nil, view.Diagnoses{},
		func(ctx context.Context, s *Server, _ values) (any, error) { return s.Source.Diagnoses(ctx) }},
	{"GET", "/plan", "plan", "What the last pass decided to do, and what it decided against.", nil, view.Plan{},
		func(ctx context.Context, s *Server, _ values) (any, error) { return s.Source.Plan(ctx) }},
	{"GET", "/history", "history", "What was applied, what was tried and what people decided.", []param{ofService, limited}, view.History{},
		func(ctx context.Context, s *Server, v values) (any, error) {
			limit, err := v.limit()
			if err != nil {
				return nil, err
			}
			return s.Source.History(ctx, v["service"], limit)
		}},
	{"GET", "/incidents", "incidents", "Incidents, the open ones first, then newest first.", []param{limited}, view.Incidents{},
		func(ctx context.Context, s *Server, v values) (any, error) {
			limit, err := v.limit()
			if err != nil {
				return nil, err
			}
			return s.Source.Incidents(ctx, limit)
		}},
	{"GET", "/incidents/{id}", "incident", "One incident: timeline, decision tree, evidence.", []param{inID}, view.Incident{},
		func(ctx context.Context, s *Server, v values) (any, error) { return s.Source.Incident(ctx, v["id"]) }},
	{"GET", "/actions", "actions", "The actions that there are, and those that were begun here, the newest first.", nil, view.Actions{},
		func(_ context.Context, s *Server, _ values) (any, error) { return s.begun(), nil }},
	{"POST", "/actions/{kind}", "act", "Without confirm: the plan of an action; nothing is touched. The same again with confirm: it is carried out.", actionParams, view.Action{},
		func(ctx context.Context, s *Server, v values) (any, error) { return s.order(ctx, v) }},
	{"GET", "/incidents/{id}/report", "incidentReport", "The incident report.", []param{inID}, "",
		func(ctx context.Context, s *Server, v values) (any, error) { return s.Source.Report(ctx, v["id"]) }},
}

// badRequest is what is wrong with a request.
type badRequest string

func (b badRequest) Error() string { return string(b) }

// maxListed is how much of a list is given at most.
const maxListed = 1000

func (v values) limit() (int, error) {
	if v["limit"] == "" {
		return 20, nil
	}
	n, err := strconv.Atoi(v["limit"])
	if err != nil || n < 1 || n > maxListed {
		return 0, badRequest(fmt.Sprintf("limit: %q is not a number from 1 to %d", v["limit"], maxListed))
	}
	return n, nil
}

// api adds the operations.
func (s *Server) api(mux *http.ServeMux) {
	for _, r := range routes {
		mux.HandleFunc(r.method+" "+root+r.path, func(w http.ResponseWriter, q *http.Request) { s.answer(w, q, r) })
	}
	mux.HandleFunc("GET "+root+"/openapi.json", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, description()) })
	mux.HandleFunc(root+"/", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusNotFound, problem{"no such operation; " + root + "/openapi.json describes them"})
	})
}

// problem is how the API says that something is wrong.
type problem struct {
	Error string `json:"error"`
}

// answer does one operation.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, op route) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		writeJSON(w, http.StatusBadRequest, problem{"the query cannot be read"})
		return
	}
	v, err := given(r, op, query)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	if op.method == http.MethodPost && (s.Token == "" || s.Actor == nil || !hasToken(r)) {
		writeJSON(w, http.StatusForbidden, problem{"actions need the token that the remediator was started with (--token-file): Authorization: Bearer …"})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	answer, err := op.do(ctx, s, v)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	if text, ok := answer.(string); ok {
		w.Header().Set("Content-Type", "text/markdown; charset=utf-8")
		_, _ = w.Write([]byte(text))
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

// given reads the parameters of a request.
func given(r *http.Request, op route, query url.Values) (values, error) {
	v, body := values{}, map[string]string{}
	if op.method == http.MethodPost {
		text, err := io.ReadAll(r.Body)
		if err == nil && len(bytes.TrimSpace(text)) > 0 {
			err = json.Unmarshal(text, &body)
		}
		if err != nil {
			return nil, badRequest("the body is not a JSON object of strings: " + err.Error())
		}
	}
	for _, p := range op.params {
		switch p.in {
		case "path":
			v[p.name] = r.PathValue(p.name)
		case "body":
			v[p.name] = body[p.name]
			delete(body, p.name)
		default:
			v[p.name] = query.Get(p.name)
		}
	}
	for name := range body {
		return nil, badRequest(fmt.Sprintf("the body has a field %q, which this operation does not know", name))
	}
	return v, nil
}

// refuse says what is wrong.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	code := http.StatusInternalServerError
	var bad badRequest
	switch {
	case errors.Is(err, ErrNotFound):
		code = http.StatusNotFound
	case errors.As(err, &bad):
		code = http.StatusBadRequest
	case errors.As(err, new(refused)):
		code = http.StatusConflict
	case errors.Is(err, ErrNotReady):
		code = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "1")
	default:
		s.Logger.Warn("not answered", "path", r.URL.Path, "error", err)
	}
	writeJSON(w, code, problem{drift.Line(err.Error())})
}

// writeJSON answers with a document. What a terminal would obey is escaped in it.
func writeJSON(w http.ResponseWriter, code int, document any) {
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		code, text = http.StatusInternalServerError, []byte(`{"error": "the answer could not be encoded"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(harmless(text), '\n'))
}

// harmless escapes what cannot be seen: encoding/json leaves the C1 controls and the bidirectional marks as they are.
// They can only stand in strings.
func harmless(text []byte) []byte {
	plain := func(r rune) bool { return r == '\n' || unicode.IsPrint(r) }
	var out []byte
	for i, r := range string(text) {
		switch {
		case plain(r) && out != nil:
			out = append(out, string(r)...)
		case plain(r):
		default:
			if out == nil {
				out = append(make([]byte, 0, len(text)+64), text[:i]...)
			}
			if r > 0xffff {
				r1, r2 := (r-0x10000)>>10+0xd800, (r-0x10000)&0x3ff+0xdc00
				out = fmt.Appendf(out, `\u%04x\u%04x`, r1, r2)
				continue
			}
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	if out == nil {
		return text
	}
	return out
}
