package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// policy lets a page load nothing but what this server embeds: no inline script or style, no foreign address, no frame.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// maxBody is how much a request may bring, in bytes.
const maxBody = 16 << 10

// secured adds the headers that keep a browser from doing anything else with what is served.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin") // without it a form would be sent with the origin "null"
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// guarded lets through whom the server answers. A program proves itself with the token; a browser with a session, and
// only from our own pages, under a name that we know: a foreign page must neither ask in its user's name nor, by a name
// of its own that leads here, read.
func (s *Server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		switch {
		case anybody(r):
			next.ServeHTTP(w, r)
		case bearer && s.Token != "":
			s.program(w, r, given, next)
		case !s.knownHost(r.Host):
			plain(w, http.StatusMisdirectedRequest, fmt.Sprintf("this server is not known as %.100q; name it with --allow-host", r.Host))
		case crossSite(r):
			plain(w, http.StatusForbidden, "requests from other sites are not answered")
		case s.Token != "" && !s.sessions.valid(cookie(r), time.Now()):
			s.challenge(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// anybody says whether a request is answered whoever asks: whether the process lives.
func anybody(r *http.Request) bool {
	switch r.URL.Path {
	case "/healthz", "/readyz":
		return true
	}
	return false
}

// public says whether a page is shown without a session.
func public(path string) bool { return path == "/login" || strings.HasPrefix(path, "/assets/") }

// program answers who brings the token.
func (s *Server) program(w http.ResponseWriter, r *http.Request, given string, next http.Handler) {
	if !s.admit(w, r, given) {
		return
	}
	next.ServeHTTP(w, withToken(r))
}

// admit compares a token with ours, in the same time whatever it is, and counts failures.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, given string) bool {
	from, now := sender(r), time.Now()
	if wait := s.failures.wait(from, now); wait > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(int(wait.Seconds())+1))
		plain(w, http.StatusTooManyRequests, "too many wrong tokens from this address; try again later")
		return false
	}
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(s.Token))
	if subtle.ConstantTimeCompare(a[:], b[:]) == 1 {
		s.failures.forget(from)
		return true
	}
	s.failures.add(from, now)
	s.Logger.Warn("a wrong token was given", "address", from)
	w.Header().Set("WWW-Authenticate", `Bearer realm="composure"`)
	plain(w, http.StatusUnauthorized, "this is not the token")
	return false
}

// challenge asks for the token: a browser by its login page.
func (s *Server) challenge(w http.ResponseWriter, r *http.Request) {
	if public(r.URL.Path) {
		s.mux.ServeHTTP(w, r)
		return
	}
	if strings.Contains(r.Header.Get("Accept"), "text/html") { // also who sends a form after the session has ended
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="composure"`)
	if strings.HasPrefix(r.URL.Path, root+"/") {
		writeJSON(w, http.StatusUnauthorized, problem{"a token is needed: Authorization: Bearer …"})
		return
	}
	plain(w, http.StatusUnauthorized, "a token is needed: Authorization: Bearer …")
}

// knownHost says whether a request names this server: by an address, as localhost, or as --allow-host says. Whoever
// rebinds a name to our address cannot make a browser name us so.
func (s *Server) knownHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if _, err := netip.ParseAddr(host); err == nil || host == "localhost" {
		return true
	}
	for _, known := range s.Hosts {
		if strings.EqualFold(host, known) {
			return true
		}
	}
	return false
}

// crossSite says whether another site's page made a browser send this. Following a link to a page is fine.
func crossSite(r *http.Request) bool {
	reading := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return false
	case "cross-site", "same-site":
		return !reading || r.Header.Get("Sec-Fetch-Mode") != "navigate"
	}
	origin := r.Header.Get("Origin") // of browsers that do not say more
	if origin == "" {
		return false
	}
	_, host, found := strings.Cut(origin, "://")
	return !found || host != r.Host
}

// sender is who is counted together: an address, of IPv6 its network.
func sender(r *http.Request) string {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	if a := at.Addr().Unmap(); a.Is4() {
		return a.String()
	} else if network, err := a.WithZone("").Prefix(64); err == nil {
		return network.String()
	}
	return at.Addr().String()
}
