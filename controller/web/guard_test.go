package web

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

const secret = "a-token-of-some-length"

// locked serves a stack behind a token.
func locked(t *testing.T) string {
	t.Helper()
	s, err := New(Config{Stack: "app", Meters: NewMeters("test"), Source: &source{status: trouble()}, Logger: slog.New(slog.DiscardHandler), Token: secret, Hosts: []string{"status.example.org"}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	t.Cleanup(func() { s.news.close(); server.Close() })
	return server.URL
}

// ask sends a request with headers, given as name, value, name, value.
func ask(t *testing.T, method, address, body string, headers ...string) *http.Response {
	t.Helper()
	request, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" {
			request.Host = headers[i+1]
		}
	}
	answer, _ := send(t, request)
	return answer
}

// TestNothingWithoutTheToken: where a token is configured, nothing but health and the login page is shown without it.
func TestNothingWithoutTheToken(t *testing.T) {
	at := locked(t)
	for path, code := range map[string]int{
		"/": 401, "/events": 401, "/api/v1/status": 401, "/api/v1/openapi.json": 401, "/nowhere": 401, "/healthz": 200, "/readyz": 200, "/login": 200, "/assets/style.css": 200,
	} {
		if got := ask(t, "GET", at+path, "").StatusCode; got != code {
			t.Errorf("%s answers %d without a token, expected %d", path, got, code)
		}
	}
	if answer := ask(t, "GET", at+"/", "", "Accept", "text/html"); answer.StatusCode != 303 || answer.Header.Get("Location") != "/login" {
		t.Errorf("a browser gets %d, %s", answer.StatusCode, answer.Header.Get("Location"))
	}
	if answer := ask(t, "POST", at+"/do/pause", "service=api", "Accept", "text/html", "Content-Type", "application/x-www-form-urlencoded"); answer.StatusCode != 303 || answer.Header.Get("Location") != "/login" {
		t.Errorf("a form that is sent after the session has ended gets %d, %s", answer.StatusCode, answer.Header.Get("Location"))
	}
	for _, path := range []string{"/", "/api/v1/status"} {
		if got := ask(t, "GET", at+path, "", "Authorization", "Bearer "+secret).StatusCode; got != 200 {
			t.Errorf("%s with the token: %d", path, got)
		}
	}
}

// TestLogin: the form gives a session that no script and no other site can use, and logging out ends it.
func TestLogin(t *testing.T) {
	at := locked(t)
	form := func(token string) *http.Response {
		return ask(t, "POST", at+"/login", url.Values{"token": {token}}.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	}
	if got := form("wrong"); got.StatusCode != 401 || len(got.Cookies()) > 0 {
		t.Errorf("a wrong token: %d, %v", got.StatusCode, got.Cookies())
	}
	answer := form(secret)
	if answer.StatusCode != 303 || len(answer.Cookies()) != 1 {
		t.Fatalf("the token: %d, %v", answer.StatusCode, answer.Cookies())
	}
	c := answer.Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || strings.Contains(c.Value, secret) {
		t.Errorf("the cookie is %v", c)
	}
	with := func(path string) int { return ask(t, "GET", at+path, "", "Cookie", c.Name+"="+c.Value).StatusCode }
	if got := with("/"); got != 200 {
		t.Errorf("with the session: %d", got)
	}
	ask(t, "POST", at+"/logout", "", "Cookie", c.Name+"="+c.Value)
	if got := with("/"); got != 401 {
		t.Errorf("after logging out: %d", got)
	}
}

// TestWrongTokensAreLimited: after five from one address even the right one is not looked at for a while.
func TestWrongTokensAreLimited(t *testing.T) {
	at := locked(t)
	for range maxFailures {
		ask(t, "GET", at+"/", "", "Authorization", "Bearer wrong")
	}
	answer := ask(t, "GET", at+"/", "", "Authorization", "Bearer "+secret)
	if answer.StatusCode != 429 || answer.Header.Get("Retry-After") == "" {
		t.Errorf("after %d wrong tokens: %d", maxFailures, answer.StatusCode)
	}
	var f failures
	now := time.Now()
	for range maxFailures {
		f.add("a", now)
	}
	if f.wait("a", now) <= 0 || f.wait("b", now) > 0 || f.wait("a", now.Add(failureTime+1)) > 0 {
		t.Error("the limit is not of one address and a minute")
	}
}

// TestForeignPages: a page of another site can neither act nor, under a name that it made point here, read.
func TestForeignPages(t *testing.T) {
	_, at := open(t, &source{status: trouble()})
	host := strings.TrimPrefix(at, "http://")
	for name, c := range map[string]struct {
		method, path string
		headers      []string
		code         int
	}{
		"rebound name":               {"GET", "/", []string{"Host", "evil.example:9180"}, 421},
		"rebound name, API":          {"GET", "/api/v1/status", []string{"Host", "evil.example"}, 421},
		"localhost":                  {"GET", "/", []string{"Host", "localhost:9180"}, 200},
		"IPv6":                       {"GET", "/", []string{"Host", "[::1]:9180"}, 200},
		"foreign fetch":              {"GET", "/api/v1/status", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}, 403},
		"followed link":              {"GET", "/", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, 200},
		"foreign form":               {"POST", "/login", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, 403},
		"another port":               {"POST", "/login", []string{"Sec-Fetch-Site", "same-site"}, 403},
		"foreign origin, no fetch":   {"POST", "/login", []string{"Origin", "http://evil.example"}, 403},
		"sandboxed origin, no fetch": {"POST", "/login", []string{"Origin", "null"}, 403},
		"own origin":                 {"POST", "/login", []string{"Origin", "http://" + host}, 303},
		"own page":                   {"GET", "/", []string{"Sec-Fetch-Site", "same-origin"}, 200},
	} {
		if got := ask(t, c.method, at+c.path, "", c.headers...).StatusCode; got != c.code {
			t.Errorf("%s: %d, expected %d", name, got, c.code)
		}
	}
	named := locked(t)
	if got := ask(t, "GET", named+"/login", "", "Host", "status.example.org").StatusCode; got != 200 {
		t.Errorf("a name that is allowed: %d", got)
	}
	if got := ask(t, "GET", named+"/", "", "Host", "composure:9180", "Authorization", "Bearer "+secret).StatusCode; got != 200 {
		t.Errorf("a program with the token, under another name: %d", got)
	}
}
