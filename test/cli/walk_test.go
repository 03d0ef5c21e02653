package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"composure/test/rig"
)

// walk looks for canaries in everything that comes out.
type walk struct {
	*project
	*canaries
	outputs, bytes int
}

// says looks at one output.
func (w *walk) says(what, text string) {
	w.t.Helper()
	w.outputs++
	w.bytes += len(text)
	for _, found := range w.in([]byte(text)) {
		w.t.Errorf("%s shows the secret of %s", what, found)
	}
}

// run runs a command and returns all that it says; its exit status must be the one expected, -1 for any but an error of use.
func (w *walk) run(code int, args ...string) string {
	w.t.Helper()
	var all bytes.Buffer
	cmd := w.command(args...)
	cmd.Stdout, cmd.Stderr = &all, &all
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); code >= 0 && got != code {
		w.t.Fatalf("composure %s: exit %d, expected %d\n%s", strings.Join(args, " "), got, code, all.String())
	}
	if all.Len() == 0 {
		w.t.Errorf("composure %s says nothing", strings.Join(args, " "))
	}
	return all.String()
}

// strangers are containers that somebody else made, with secrets of their own: one too many of a service, and one of no
// service.
func (w *walk) strangers() {
	label := "com.docker.compose."
	for service, number := range map[string]string{"app": "2", "orphan": "1"} {
		name := w.name + "-" + service + "-" + number
		w.docker("run", "-d", "--name", name, "--network", "none", "--label", label+"project="+w.name, "--label", label+"service="+service, "--label", label+"container-number="+number,
			"--label", label+"oneoff=False", "--label", label+"config-hash=0", "--env", "OTHER_PASSWORD="+w.at("environment of a stranger, "+service), "--label", "token="+w.at("label of a stranger, "+service),
			"composure-test/busybox:1", "sh", "-c", "env; exec sleep 100000", "--password", w.at("argument of a stranger, "+service))
	}
	w.docker("rename", w.name+"-crash-1", w.name+"-renamed") // drift, before anything fails
}

// remediate starts the remediator at its most talkative and returns the address of its dashboard.
func (w *walk) remediate() (string, *exec.Cmd) {
	w.t.Helper()
	log := &rig.Lines{}
	cmd := w.command("--log-level", "debug", "reconcile", "--interval", "2s", "--listen", "127.0.0.1:0")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		if w.t.Failed() {
			w.t.Logf("the end of the remediator's log:\n%s", last(log.String(), 4000))
		}
	})
	return w.served(log), cmd
}

func last(text string, n int) string { return text[max(0, len(text)-n):] }

// commands walks every command in every format.
func (w *walk) commands() {
	for _, line := range []string{
		"drift", "drift -o json", "drift -o markdown", "drift -o github", "drift -o junit", "drift -o sarif",
		"diagnose", "diagnose -o json", "diagnose app crash db", "status", "status -o json", "health", "health -o json",
		"incidents list", "incidents list -o json", "history", "history -o json", "history app", "lint", "lint -o json", "lint -o github", "init --write -",
		"baseline verify", "baseline verify -o json", "reconcile --once --dry-run", "reconcile --once --dry-run --prune", "reconcile --once --dry-run -o json",
		"restart app --dry-run", "restart app --hard --dry-run", "restart nobody", "rollback app --dry-run", "pause app", "resume app", "release app",
		"__complete incidents show ", "__complete rollback app --to ", "__complete restart ", "-f none.yaml drift", "-H tcp://app:secret@127.0.0.1:1 drift",
	} {
		w.says(line, w.run(-1, append([]string{"--log-level", "debug"}, strings.Split(line, " ")...)...))
	}
	for _, i := range read[incidents](w.project, "incidents", "list").Incidents {
		for _, line := range []string{"show", "show --evidence", "show --evidence -o json", "report", "ack"} {
			w.says("incidents "+line, w.run(0, append([]string{"incidents"}, append(strings.Fields(line), i.ID)...)...))
		}
	}
}

var link = regexp.MustCompile(`(?:href|src)="(/[^"#]*)`)

// pages follows every link of the dashboard, from the overview, and asks every operation of the API.
func (w *walk) pages(at string) {
	queue, seen := []string{"/", "/metrics", "/healthz", "/readyz", "/api/v1/openapi.json", "/login", "/nowhere"}, map[string]bool{}
	var described struct {
		Paths map[string]map[string]any
	}
	_, text := w.call("GET", at+"/api/v1/openapi.json", "")
	if err := json.Unmarshal([]byte(text), &described); err != nil {
		w.t.Fatal(err)
	}
	var ids []string
	for _, i := range read[incidents](w.project, "incidents", "list").Incidents {
		ids = append(ids, i.ID)
	}
	for path, methods := range described.Paths {
		if methods["get"] == nil {
			continue
		}
		for _, service := range []string{"app", "crash", "db"} {
			for _, id := range ids {
				queue = append(queue, strings.NewReplacer("{service}", service, "{id}", id).Replace(path))
			}
		}
	}
	for len(queue) > 0 {
		path := strings.ReplaceAll(queue[0], "&amp;", "&")
		if queue = queue[1:]; seen[path] {
			continue
		}
		seen[path] = true
		code, text := w.call("GET", at+path, "")
		if code >= 500 || (code >= 400 && path != "/nowhere") {
			w.t.Errorf("%s: %d %.300s", path, code, text)
		}
		w.says(path, text)
		for _, found := range link.FindAllStringSubmatch(text, -1) {
			if found[1] != "/events" && found[1] != "/logout" {
				queue = append(queue, found[1])
			}
		}
	}
	for _, path := range []string{"/services/app", "/services/crash", "/incidents/" + ids[0], "/do/restart?service=app", "/api/v1/services/app/log"} {
		if !seen[path] {
			w.t.Errorf("%s was not reached from the overview", path)
		}
	}
	_, planned := w.call("POST", at+"/api/v1/actions/restart", `{"service": "app"}`)
	w.says("plan of an action", planned)
	w.stream(at)
}

// stream reads the first news of the event stream.
func (w *walk) stream(at string) {
	request, err := http.NewRequest("GET", at+"/events", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	defer answer.Body.Close()
	timer := time.AfterFunc(time.Minute, func() { _ = answer.Body.Close() })
	defer timer.Stop()
	lines, text := bufio.NewScanner(answer.Body), ""
	for strings.Count(text, "data: ") < 3 && lines.Scan() {
		text += lines.Text() + "\n"
	}
	if strings.Count(text, "data: ") < 3 {
		w.t.Errorf("the stream says %q", text)
	}
	w.says("events", text)
}

// edited changes secrets in the file: the values of before are on record as little as those of after. Files that are wrong
// are said to be so without them.
func (w *walk) edited() {
	path := filepath.Join(w.dir, "compose.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	for value, place := range map[string]string{"API_KEY: ": "environment, edited", "com.example.token: ": "label, edited", "--token, ": "argument, edited"} {
		old := regexp.MustCompile(regexp.QuoteMeta(value) + `'[^']*'`)
		if !old.Match(text) {
			w.t.Fatalf("no %q in the file", value)
		}
		text = old.ReplaceAll(text, []byte(value+"'"+w.at(place)+"'"))
	}
	w.write(string(text))
	for _, line := range []string{"drift", "drift -o json", "drift -o markdown", "reconcile --once --dry-run", "diagnose", "status"} {
		w.says("edited, "+line, w.run(-1, strings.Fields(line)...))
	}
	for _, wrong := range []string{"services: {app: {ports: ['${SHELL_TOKEN}']}}", "services: {app: {mem_limit: '${SHELL_TOKEN}'}}", "services: {app: {image: 'x:${SHELL_TOKEN}:y'}}",
		"services: {app: {environment: {API_KEY: {a: '${SHELL_TOKEN}'}}}}", "services: {app: {x-composure: {mode: '${SHELL_TOKEN}'}}}", "services: {app: {x-composure: {probes: [{postgres: {dsn: 'postgres://a:${SHELL_TOKEN}@:x/'}}]}}}",
		"services: {app: {x-composure: {probes: [{http: {url: 'http://a:${SHELL_TOKEN}@ x/'}}]}}}", "x-composure: {notify: [{type: webhook, url: ':${SHELL_TOKEN}'}]}"} {
		if err := os.WriteFile(filepath.Join(w.dir, "wrong.yaml"), []byte(wrong+"\n"), 0o644); err != nil {
			w.t.Fatal(err)
		}
		w.says("wrong file "+wrong, w.run(-1, "-f", "compose.yaml", "-f", "wrong.yaml", "drift"))
	}
}

// files are the bytes of everything that Composure keeps.
func (w *walk) files() {
	kept := 0
	err := filepath.WalkDir(w.state, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		kept++
		w.says("the file "+strings.TrimPrefix(path, w.state), string(data))
		return err
	})
	if err != nil || kept < 3 {
		w.t.Errorf("%d files are kept, %v", kept, err)
	}
	for _, pattern := range []string{"*.db", "incidents/*.md"} {
		if found, _ := filepath.Glob(filepath.Join(w.state, pattern)); len(found) == 0 {
			w.t.Errorf("no %s in the state directory", pattern)
		}
	}
}
