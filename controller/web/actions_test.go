package web

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"composure/controller/view"
)

// hand does what it is told, and remembers it.
type hand struct {
	mu   sync.Mutex
	did  []Action
	fail error
}

func (h *hand) Preview(_ context.Context, a Action) (string, error) {
	return "would " + a.Kind + " <b>" + a.Service + "</b>\x1b[31m", h.fail
}

func (h *hand) Do(_ context.Context, a Action) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.did = append(h.did, a)
	return "did it\x1b[31m", h.fail
}

// helped serves a stack with somebody who acts.
func helped(t *testing.T, token string) (*hand, string) {
	t.Helper()
	h := &hand{}
	s, err := New(Config{Stack: "app", Meters: NewMeters("test"), Source: &source{status: trouble()}, Logger: slog.New(slog.DiscardHandler), Token: token, Actor: h})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	t.Cleanup(func() { s.news.close(); server.Close() })
	return h, server.URL
}

// login is the cookie of a session.
func login(t *testing.T, at string) string {
	t.Helper()
	answer := ask(t, "POST", at+"/login", "token="+secret+"&person=on+call%1b%20", "Content-Type", "application/x-www-form-urlencoded")
	if len(answer.Cookies()) != 1 {
		t.Fatalf("no session: %d", answer.StatusCode)
	}
	return sessionName + "=" + answer.Cookies()[0].Value
}

// TestActionsAskFirst: an action shows its plan and asks; only the form of the same session does it.
func TestActionsAskFirst(t *testing.T) {
	h, at := helped(t, secret)
	cookie := login(t, at)
	request := func(method, path, body string) (int, string) {
		r := httptest.NewRequest(method, at+path, strings.NewReader(body))
		r.RequestURI = ""
		r.Header.Set("Cookie", cookie)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		answer, page := send(t, r)
		return answer.StatusCode, page
	}
	code, page := request("GET", "/do/restart?service=api", "")
	if code != 200 || !strings.Contains(page, "would restart &lt;b&gt;api&lt;/b&gt;") || strings.Contains(page, "\x1b") {
		t.Fatalf("%d: the plan is not shown, or not made safe:\n%s", code, page)
	}
	form := regexp.MustCompile(`name="form" value="(\w+)"`).FindStringSubmatch(page)
	if form == nil {
		t.Fatal("the form has no secret")
	}
	for _, wrong := range []string{"", "form=", "form=other"} {
		if code, _ := request("POST", "/do/restart", "service=api&"+wrong); code != 403 {
			t.Errorf("%q: %d", wrong, code)
		}
	}
	if len(h.did) > 0 {
		t.Fatalf("done without a form: %v", h.did)
	}
	code, _ = request("POST", "/do/restart", url.Values{"service": {"api"}, "form": {form[1]}, "reason": {"it hangs"}, "person": {"not who logged in"}}.Encode())
	if want := []Action{{Kind: "restart", Service: "api", Reason: "it hangs", Person: "on call"}}; code != 303 || !slices.Equal(h.did, want) {
		t.Fatalf("%d: %v", code, h.did)
	}
	if _, page := request("GET", "/", ""); !strings.Contains(page, "Restart: api") || strings.Contains(page, "\x1b") {
		t.Error("the page does not say what was done")
	}
	for path, want := range map[string]int{"/do/restart": 400, "/do/remove?service=api": 404, "/do/ack": 400, "/do/pause": 200} {
		if code, _ := request("GET", path, ""); code != want {
			t.Errorf("%s: %d, expected %d", path, code, want)
		}
	}
	h.fail = errors.New("it keeps data")
	if _, page := request("GET", "/do/restart-hard?service=api", ""); !strings.Contains(page, "it keeps data") || strings.Contains(page, "<button id") {
		t.Errorf("what cannot be done is offered:\n%s", page)
	}
}

// TestNobodyActsWithoutAToken: no link, no page, no form.
func TestNobodyActsWithoutAToken(t *testing.T) {
	h, at := helped(t, "")
	if _, page := get(t, at+"/services/api"); strings.Contains(page, "/do/") {
		t.Error("actions are offered")
	}
	if got := ask(t, "GET", at+"/do/restart?service=api", "").StatusCode; got != 400 {
		t.Errorf("the page: %d", got)
	}
	if got := ask(t, "POST", at+"/do/restart", "service=api&form=", "Content-Type", "application/x-www-form-urlencoded").StatusCode; got != 403 || len(h.did) > 0 {
		t.Errorf("the form: %d, %v", got, h.did)
	}
}

// TestPagesSayAll: every page shows what it is filled with, and nothing in it acts.
func TestPagesSayAll(t *testing.T) {
	_, at := helped(t, secret)
	cookie := login(t, at)
	for path, texts := range map[string][]string{
		"/services/api":  {"Decision tree", "Drift", "Last hour", "Log", "Revisions", "Tried", "Incidents", "Roll back", `class="plot"`, "31m:7"},
		"/incidents":     {"/incidents/", "severity"},
		"/incidents/api": {"Timeline", "Decision tree as walked", "Evidence", "Report", "# Report", "Take over"},
		"/history":       {"Revisions", "Tried", "Decided"},
	} {
		r := httptest.NewRequest("GET", at+path, nil)
		r.RequestURI = ""
		r.Header.Set("Cookie", cookie)
		answer, page := send(t, r)
		if answer.StatusCode != 200 {
			t.Errorf("%s: %d", path, answer.StatusCode)
		}
		for _, text := range texts {
			if !strings.Contains(page, text) {
				t.Errorf("%s does not say %q", path, text)
			}
		}
		if strings.Contains(page, " style=") || strings.Contains(page, "<style") || strings.Contains(page, "\u009b") {
			t.Errorf("%s has a style of its own, or a control character went through", path)
		}
	}
	for path, code := range map[string]int{"/services/nobody": 404, "/incidents/none": 404} {
		if got := ask(t, "GET", at+path, "", "Cookie", cookie).StatusCode; got != code {
			t.Errorf("%s: %d", path, got)
		}
	}
}

// TestProgramsSeeThePlanFirst: without confirm nothing is done; with what the plan came with it is done, once, and only
// that very action.
func TestProgramsSeeThePlanFirst(t *testing.T) {
	h, at := helped(t, secret)
	order := func(kind, body string) (int, view.Action, string) {
		r := httptest.NewRequest("POST", at+root+"/actions/"+kind, strings.NewReader(body))
		r.RequestURI = ""
		r.Header.Set("Authorization", "Bearer "+secret)
		answer, text := send(t, r)
		var v view.Action
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		return answer.StatusCode, v, text
	}
	code, planned, text := order("restart", `{"service": "api", "person": "pipeline\u001b 7"}`)
	if code != 200 || planned.State != view.Planned || !strings.Contains(planned.Plan, "would restart") || planned.Confirm == "" || strings.Contains(text, "\x1b") {
		t.Fatalf("%d: %s", code, text)
	}
	confirm := `", "confirm": "` + planned.Confirm + `"}`
	for kind, body := range map[string]string{
		"restart":      `{"service": "db", "person": "pipeline 7` + confirm,
		"restart-hard": `{"service": "api", "person": "pipeline 7` + confirm,
		"rollback":     `{"service": "api", "confirm": "made up"}`,
	} {
		if code, _, text := order(kind, body); code != 409 || len(h.did) > 0 {
			t.Errorf("%s %s: %d %s, done %v", kind, body, code, text, h.did)
		}
	}
	code, done, text := order("restart", `{"service": "api", "person": "pipeline 7`+confirm)
	if want := []Action{{Kind: "restart", Service: "api", Person: "pipeline 7"}}; code != 200 || done.State != view.Done || done.ID == "" || !slices.Equal(h.did, want) {
		t.Fatalf("%d %s: %v", code, text, h.did)
	}
	if code, _, _ := order("restart", `{"service": "api", "person": "pipeline 7`+confirm); code != 409 || len(h.did) != 1 {
		t.Errorf("twice: %d, %v", code, h.did)
	}
	for body, want := range map[string]int{`{"service": 7}`: 400, `[]`: 400, `{"servise": "api"}`: 400, `{}`: 400, ``: 400, `{"service": "` + strings.Repeat("a", maxBody) + `"}`: 400} {
		if code, _, text := order("restart", body); code != want {
			t.Errorf("%.40s: %d %.200s, expected %d", body, code, text, want)
		}
	}
	if code, _, _ := order("remove", `{}`); code != 404 {
		t.Errorf("an action that there is not: %d", code)
	}
	h.fail = errors.New("it keeps data")
	if code, _, text := order("restart-hard", `{"service": "api"}`); code != 409 || !strings.Contains(text, "it keeps data") {
		t.Errorf("what cannot be done: %d %s", code, text)
	}
}

// TestProgramsNeedTheToken: a session of a browser is not enough, and without a token nobody acts.
func TestProgramsNeedTheToken(t *testing.T) {
	for _, token := range []string{secret, ""} {
		h, at := helped(t, token)
		headers := []string{}
		if token != "" {
			headers = []string{"Cookie", login(t, at)}
		}
		if got := ask(t, "POST", at+root+"/actions/pause", `{}`, headers...).StatusCode; got != 403 || len(h.did) > 0 {
			t.Errorf("token %q: %d, %v", token, got, h.did)
		}
	}
}

// TestPlansEnd: a plan is good for five minutes, and not too many wait.
func TestPlansEnd(t *testing.T) {
	var p plans
	now, a := time.Now(), Action{Kind: "pause"}
	old, _ := p.show(a, now)
	if p.take(old, a, now.Add(plansWait+1)) {
		t.Error("a plan of long ago was carried out")
	}
	for range 2 * maxPlans {
		p.show(a, now)
	}
	if len(p.all) > maxPlans {
		t.Errorf("%d plans wait", len(p.all))
	}
}
