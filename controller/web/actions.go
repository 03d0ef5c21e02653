package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"composure/controller/view"
)

// Actor does what people ask for, as the commands of the same names do.
type Actor interface {
	// Preview says what an action would do now. It touches nothing; the error says why it cannot be done.
	Preview(ctx context.Context, a Action) (string, error)
	// Do does it and says how it ended. A restart or a rollback takes until its verdict.
	Do(ctx context.Context, a Action) (string, error)
}

// Action is what is asked for.
type Action struct {
	Kind     string // one of Kinds
	Service  string // empty: the stack
	Incident string
	Revision string // of a rollback; empty: the last one that was proven stable
	Reason   string
	Person   string // who asks, for the history
}

// kind is an action that people can ask for.
type kind struct {
	name, title, about string
	of                 string // service, stack (or a service), incident
}

// kinds is the one place to add an action.
var kinds = []kind{
	{"pause", "Pause", "Composure goes on watching and recording, and keeps its hands off.", "stack"},
	{"resume", "Resume", "The pause ends: Composure acts again.", "stack"},
	{"release", "Release", "A rollback or a raised memory limit ends: what was last applied counts again.", "service"},
	{"restart", "Restart", "One replica after another is stopped with grace and started; the verdict is waited for.", "service"},
	{"restart-hard", "Hard restart", "Logs are kept, the container is killed and made anew with the same image and volumes.", "service"},
	{"rollback", "Roll back", "The service goes back to a revision that was applied before, and stays there until it is released.", "service"},
	{"ack", "Take over", "You take the incident over: nobody is reminded of it again.", "incident"},
	{"confirm", "Confirm impact", "Customers saw it. This calls the emergency tier.", "incident"},
	{"resolve", "Resolve", "The incident is closed by hand; if its cause is still there, another one is opened.", "incident"},
}

// maxPerson is how long a name may be, in characters.
const maxPerson = 60

// asked reads an action from what is given of it.
func asked(name string, given func(string) string) (kind, Action, error) {
	at := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
	if at < 0 {
		return kind{}, Action{}, fmt.Errorf("%w: there is no action %q", ErrNotFound, name)
	}
	a := Action{Kind: kinds[at].name, Service: given("service"), Incident: given("incident"), Revision: given("revision"), Reason: strings.TrimSpace(given("reason")), Person: person(given("person"))}
	switch of := kinds[at].of; {
	case of == "service" && a.Service == "":
		return kind{}, a, badRequest("the service is missing")
	case of == "incident" && a.Incident == "":
		return kind{}, a, badRequest("the incident is missing")
	case len(a.Reason) > 500:
		return kind{}, a, badRequest("the reason is longer than 500 characters")
	}
	return kinds[at], a, nil
}

// person is a name as it goes into the history: one line that can be seen, and not too long.
func person(name string) string {
	seen := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, name)
	return strings.TrimSpace(string([]rune(seen)[:min(utf8.RuneCountInString(seen), maxPerson)]))
}

// Name, About, Of and Label are for the templates.
func (k kind) Name() string  { return k.name }
func (k kind) About() string { return k.about }
func (k kind) Of() string    { return k.of }
func (k kind) Label() string { return k.title }

// Title says what is done to what.
func (k kind) Title(a Action) string {
	switch {
	case k.of == "incident":
		return k.title + ": incident " + a.Incident
	case a.Service == "":
		return k.title + ": the whole stack"
	}
	return k.title + ": " + a.Service
}

// mayAct says whether who asks may act: somebody who gave the token.
func (s *Server) mayAct(r *http.Request) bool {
	return s.Token != "" && s.Actor != nil && (hasToken(r) || s.sessions.valid(cookie(r), time.Now()))
}

// confirmation is what the page that asks for it shows.
type confirmation struct {
	Kind    kind
	Action  Action
	Title   string
	Plan    string // what would be done
	Refused string // why it cannot be
	Form    string
	Back    string
}

// confirm shows the plan of an action and asks whether it is meant.
func (s *Server) confirm(w http.ResponseWriter, r *http.Request) {
	k, a, err := asked(r.PathValue("kind"), r.FormValue)
	switch {
	case err != nil:
		s.fail(w, r, err)
		return
	case !s.mayAct(r):
		s.fail(w, r, badRequest("Nobody can act here: the remediator was started without a token (--token-file)."))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), writeTimeout-5*time.Second)
	defer cancel()
	c := confirmation{Kind: k, Action: a, Title: k.Title(a), Form: s.sessions.form(cookie(r), time.Now()), Back: back(k, a)}
	if c.Plan, err = s.Actor.Preview(ctx, a); err != nil {
		c.Refused = err.Error()
	}
	s.plainPage(w, http.StatusOK, "confirm.html", shown{Title: c.Title, Page: c})
}

// back is the page that an action is about.
func back(k kind, a Action) string {
	switch {
	case k.of == "incident":
		return "/incidents/" + url.PathEscape(a.Incident)
	case a.Service != "":
		return "/services/" + url.PathEscape(a.Service)
	}
	return "/"
}

// soon is how long an answer waits for an action to end; one that takes longer is shown going on.
const soon = 2 * time.Second

// act does what was confirmed, and shows the page that it is about.
func (s *Server) act(w http.ResponseWriter, r *http.Request) {
	k, a, err := asked(r.PathValue("kind"), r.FormValue)
	switch {
	case err != nil:
		s.fail(w, r, err)
		return
	case !s.mayAct(r):
		s.plainPage(w, http.StatusForbidden, "error.html", shown{Title: "This cannot be done", Page: "Nobody can act here without a token."})
		return
	case !hasToken(r) && !s.sessions.ours(cookie(r), r.PostFormValue("form"), time.Now()):
		s.plainPage(w, http.StatusForbidden, "error.html", shown{Title: "This cannot be done", Page: "The form is not of your session: nothing was done. Go back to the service and try again."})
		return
	}
	if a.Person = s.sessions.person(cookie(r), time.Now()); a.Person == "" {
		a.Person = "dashboard, " + sender(r)
	}
	_, ended := s.begin(r.Context(), k, a)
	timer := time.NewTimer(soon)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	}
	http.Redirect(w, r, back(k, a), http.StatusSeeOther)
}

// begin has an action done, however long it takes and whoever goes away meanwhile. The channel is closed when it has ended.
func (s *Server) begin(ctx context.Context, k kind, a Action) (id string, ended <-chan struct{}) {
	s.Logger.Info("asked by a person", "action", k.name, "service", a.Service, "incident", a.Incident, "person", a.Person)
	done := make(chan struct{})
	one := s.operations.begin(k.Title(a), a, time.Now())
	s.Changed()
	go func() {
		defer close(done)
		text, err := s.Actor.Do(context.WithoutCancel(ctx), a)
		if err != nil {
			text = strings.TrimSpace(text + "\n" + err.Error())
		}
		s.operations.end(one, text, err == nil, time.Now())
		s.Changed()
	}()
	return one.ID, done
}

// decided says what is in force on a service, "" for the stack, that an action can end.
func decided(s view.Status, service, kind string) bool {
	return slices.ContainsFunc(s.Decisions, func(d view.Decision) bool {
		return d.Service == service && (d.Kind == kind || (kind == "release" && d.Kind != "pause"))
	})
}
