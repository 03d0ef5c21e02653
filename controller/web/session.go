package web

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"net/http"
	"sync"
	"time"
)

// Bounds of sessions and of wrong tokens.
const (
	sessionLasts = 12 * time.Hour
	maxSessions  = 1000
	maxFailures  = 5           // of one address, within failureTime
	failureTime  = time.Minute // how long they are remembered
	maxSenders   = 10_000      // that are remembered
	sessionName  = "composure"
)

// sessions are the browsers that gave the token. They end with the process.
type sessions struct {
	mu  sync.Mutex
	all map[string]session
}

type session struct {
	until time.Time
	form  string // what a form of this session must bring along
	who   string // the name that was given; may be empty
}

// begin makes a session and returns its secret.
func (s *sessions) begin(who string, now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, one := range s.all {
		if now.After(one.until) {
			delete(s.all, id)
		}
	}
	if s.all == nil || len(s.all) >= maxSessions {
		s.all = map[string]session{}
	}
	id := rand.Text()
	s.all[id] = session{now.Add(sessionLasts), rand.Text(), who}
	return id
}

func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, id)
}

func (s *sessions) valid(id string, now time.Time) bool { return s.form(id, now) != "" }

// form is what forms of a session bring along; empty when there is no such session.
func (s *sessions) form(id string, now time.Time) string { return s.of(id, now).form }

// person is who began a session, as they call themselves.
func (s *sessions) person(id string, now time.Time) string { return s.of(id, now).who }

// of is a session that has not ended; else the zero value.
func (s *sessions) of(id string, now time.Time) session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one := s.all[id]; !now.After(one.until) {
		return one
	}
	return session{}
}

// ours says whether a form was made for the session that sends it.
func (s *sessions) ours(id, form string, now time.Time) bool {
	want := s.form(id, now)
	return want != "" && subtle.ConstantTimeCompare([]byte(want), []byte(form)) == 1
}

// cookie is the secret of the session that a request brings.
func cookie(r *http.Request) string {
	if c, err := r.Cookie(sessionName); err == nil {
		return c.Value
	}
	return ""
}

// tokenKey marks a request that brought the token.
type tokenKey struct{}

func withToken(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), tokenKey{}, true))
}

func hasToken(r *http.Request) bool { return r.Context().Value(tokenKey{}) != nil }

// login shows the form that asks for the token, and takes it.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	if s.Token == "" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	if r.Method == http.MethodGet {
		s.plainPage(w, http.StatusOK, "login.html", shown{Title: "Log in"})
		return
	}
	if !s.admit(&asPage{w, s}, r, r.PostFormValue("token")) {
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: sessionName, Value: s.sessions.begin(person(r.PostFormValue("person")), time.Now()), Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil, MaxAge: int(sessionLasts.Seconds()),
	})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// asPage shows a refusal as the login page with the reason on it.
type asPage struct {
	http.ResponseWriter
	s *Server
}

func (p *asPage) WriteHeader(code int) {
	p.Header().Del("Content-Type")
	why := "This is not the token."
	if code == http.StatusTooManyRequests {
		why = "Too many wrong tokens from this address; try again in a minute."
	}
	p.s.plainPage(p.ResponseWriter, code, "login.html", shown{Title: "Log in", Page: why})
}

func (p *asPage) Write(b []byte) (int, error) { return len(b), nil }

// logout ends the session.
func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	s.sessions.end(cookie(r))
	http.SetCookie(w, &http.Cookie{Name: sessionName, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// failures counts wrong tokens by their sender.
type failures struct {
	mu  sync.Mutex
	all map[string]failed
}

type failed struct {
	times int
	until time.Time
}

// wait is how long a sender is not listened to.
func (f *failures) wait(from string, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if one := f.all[from]; one.times >= maxFailures && now.Before(one.until) {
		return one.until.Sub(now)
	}
	return 0
}

func (f *failures) add(from string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == nil {
		f.all = map[string]failed{}
	}
	if len(f.all) >= maxSenders {
		for k, one := range f.all {
			if now.After(one.until) {
				delete(f.all, k)
			}
		}
	}
	one := f.all[from]
	if now.After(one.until) {
		one = failed{}
	}
	if len(f.all) < maxSenders || one.times > 0 {
		f.all[from] = failed{one.times + 1, now.Add(failureTime)}
	}
}

func (f *failures) forget(from string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.all, from)
}
