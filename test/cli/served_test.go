package cli

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const token = "a-token-of-these-tests"

// serve runs continuous mode with the dashboard and returns its address.
func (p *project) serve(flags ...string) string {
	p.t.Helper()
	file := filepath.Join(p.dir, "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return p.served(p.remediate(append([]string{"--listen", "127.0.0.1:0", "--token-file", file}, flags...)...))
}

// call sends a request with the token and returns the answer.
func (p *project) call(method, url, body string) (code int, answer string) {
	p.t.Helper()
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	got, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return got.StatusCode, string(text)
}

// action is what the API says of one.
type action struct{ ID, Kind, Person, State, Plan, Confirm, Said string }

// order asks for an action twice: for its plan, and, with what came with it, for its being done. It returns both answers.
func (p *project) order(at, kind string, fields map[string]string) (planned, done action) {
	p.t.Helper()
	for _, into := range []*action{&planned, &done} {
		body, err := json.Marshal(fields)
		if err != nil {
			p.t.Fatal(err)
		}
		code, text := p.call("POST", at+"/api/v1/actions/"+kind, string(body))
		if err := json.Unmarshal([]byte(text), into); err != nil || code != 200 {
			p.t.Fatalf("%s: %d, %v: %s", kind, code, err, text)
		}
		fields["confirm"] = into.Confirm
	}
	p.eventually(kind+" has ended", func() bool {
		_, text := p.call("GET", at+"/api/v1/actions", "")
		var all struct{ Actions []action }
		if err := json.Unmarshal([]byte(text), &all); err != nil {
			p.t.Fatal(err)
		}
		i := slices.IndexFunc(all.Actions, func(a action) bool { return a.ID == done.ID })
		if i >= 0 {
			done = all.Actions[i]
		}
		return done.State != "running"
	})
	if planned.State != "planned" || done.State != "done" {
		p.t.Fatalf("%s: %+v, then %+v", kind, planned, done)
	}
	return planned, done
}

// TestProgramsAct: what a program asks for by the API shows its plan, is done, and stands in the history under the name
// that it gave.
func TestProgramsAct(t *testing.T) {
	t.Parallel()
	p := newProject(t, "acts", `services:
  Web.front_end-2:
    image: composure-test/busybox:1
    command: [sleep, "1000"]
    stop_signal: SIGKILL
    restart: always
    x-composure: {min_healthy: 1s}
`)
	const web, who = "Web.front_end-2", "pipeline 7"
	p.wants(0, "reconcile", "--once")
	at := p.serve()
	run := p.container(web, ".State.StartedAt")

	planned, _ := p.order(at, "restart", map[string]string{"service": web, "person": who, "reason": "it hangs"})
	if !strings.Contains(planned.Plan, "restart "+p.name) {
		t.Errorf("the plan is %q", planned.Plan)
	}
	if p.container(web, ".State.StartedAt") == run {
		t.Error("it was not restarted")
	}
	p.order(at, "pause", map[string]string{"service": web, "person": who, "reason": "deploying"})
	now := read[stackStatus](p, "status").Decisions
	if len(now) != 1 || now[0].Kind != "pause" || now[0].Owner != who || now[0].Reason != "deploying" {
		t.Errorf("in force is %+v", now)
	}
	p.order(at, "resume", map[string]string{"service": web, "person": who})
	if now := read[stackStatus](p, "status").Decisions; len(now) != 0 {
		t.Errorf("after resume there is %+v", now)
	}
	told := read[history](p, "history")
	if !slices.ContainsFunc(told.Attempts, func(a struct {
		Kind, Outcome, Verdict, Cause string
		Counts                        bool
	}) bool {
		return a.Kind == "graceful" && strings.Contains(a.Cause, "asked by "+who)
	}) {
		t.Errorf("the history does not say who asked for the restart: %+v", told.Attempts)
	}
	for _, path := range []string{"/services/" + web, "/api/v1/services/" + web, "/api/v1/services/" + web + "/log", "/api/v1/history?service=" + web, "/do/restart?service=" + web} {
		if code, text := p.call("GET", at+path, ""); code != 200 || strings.Contains(path, "/services/"+web) && !strings.Contains(text, web) {
			t.Errorf("%s: %d\n%.300s", path, code, text)
		}
	}
}
