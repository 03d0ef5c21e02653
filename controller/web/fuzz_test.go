package web

import (
	"bufio"
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"
	"time"
)

// FuzzRequests: whatever is sent, nothing breaks, and nothing but health, the login page and its style is shown to who
// does not have the token.
func FuzzRequests(f *testing.F) {
	for _, text := range []string{
		"GET / HTTP/1.1\r\nHost: status.example.org\r\n\r\n",
		"GET /api/v1/services/api/log?tail=10 HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer wrong\r\n\r\n",
		"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 11\r\n\r\ntoken=wrong",
		"POST /logout HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\nCookie: composure=x\r\n\r\n",
		"GET /assets/../../etc/passwd HTTP/1.0\r\n\r\n",
		"GET /api/v1/incidents/%2e%2e%2f HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /events HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: 99999999999999999999\r\n\r\n",
	} {
		f.Add([]byte(text))
	}
	server, err := New(Config{Stack: "app", Meters: NewMeters("test"), Source: &source{status: trouble()}, Logger: slog.New(slog.DiscardHandler), Token: secret, Hosts: []string{"status.example.org"}})
	if err != nil {
		f.Fatal(err)
	}
	handler := server.Handler()
	f.Fuzz(func(t *testing.T, sent []byte) {
		request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(sent)))
		if err != nil || bytes.Contains(sent, []byte(secret)) {
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		request.RemoteAddr = "192.0.2.1:1000"
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request.WithContext(ctx))
		if answer.Code >= 500 && request.URL.Path != "/readyz" {
			t.Errorf("%s %s answers %d", request.Method, request.URL.Path, answer.Code)
		}
		if at := path.Clean("/" + request.URL.Path); answer.Code < 300 && !openToAll(at) {
			t.Errorf("%s %s is shown without the token", request.Method, request.URL.Path)
		}
		if strings.Contains(answer.Body.String(), secret) {
			t.Error("the token is shown")
		}
	})
}

// openToAll is what may be seen without the token.
func openToAll(at string) bool {
	return at == "/healthz" || at == "/readyz" || at == "/login" || strings.HasPrefix(at, "/assets/")
}
