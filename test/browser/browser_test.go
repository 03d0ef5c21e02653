// Package browser drives the dashboard in a real browser, beside a remediator that heals a real fault.
package browser

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const (
	project = "cmpsr-browser"
	token   = "a-token-for-the-browser"
)

// compose is a service that is unhealthy once a file is gone, until it is restarted.
const compose = `
x-composure:
  min_healthy: 1s
  remediation: {stable: 2s, backoff: {initial: 1s, factor: 2, max: 2s}}
services:
  web:
    image: composure-test/busybox:1
    command: [sh, -c, "echo started; sleep 8; touch /tmp/ok; sleep 100000"]
    environment: {EDITION: "%d", API_PASSWORD: hunter2-canary}
    healthcheck: {test: [CMD, test, -f, /tmp/ok], interval: 1s, timeout: 5s, retries: 2, start_period: 60s}
    mem_limit: 64m
    stop_signal: SIGKILL
    restart: always
`

// site is a stack with its remediator, and a browser that looks at it.
type site struct {
	*viewer
	binary, dir string
}

// TestDashboard: a fault comes and heals before a viewer's eyes; people pause and roll back, with the mouse and with the
// keyboard only; on a phone, light and dark. The strict policy is never violated, and every page is held to the audit.
func TestDashboard(t *testing.T) {
	s := &site{viewer: browse(t, ""), dir: t.TempDir()}
	t.Cleanup(s.sweep)
	s.sweep()
	s.binary = filepath.Join(s.dir, "composure")
	if out, err := exec.Command("go", "build", "-o", s.binary, "composure/cmd/composure").CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	for edition := 1; edition <= 2; edition++ {
		if err := os.WriteFile(filepath.Join(s.dir, "compose.yaml"), fmt.Appendf(nil, compose, edition), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := s.command("reconcile", "--once").CombinedOutput(); err != nil {
			t.Fatalf("deploy: %v: %s", err, out)
		}
	}
	s.remediate()

	s.open("/")
	s.sees("the login page", `document.activeElement.matches("#token")`)
	s.audit("login")
	s.run(chromedp.KeyEvent(token + kb.Enter))
	s.sees("the stack, well", `document.querySelector(".headline")?.textContent.includes("All is well")`)
	s.sees("the stream", `document.querySelector("#live").textContent === "live"`)
	s.audit("overview")
	s.picture("overview", 1280, "light")

	s.docker("exec", project+"-web-1", "rm", "/tmp/ok")
	s.sees("the fault", `document.querySelector("[data-part=service-web] .badge.failed, [data-part=service-web] .badge.pending") !== null`)
	s.sees("which service, said aloud", `document.querySelector("#said").textContent.includes("web")`)
	s.picture("fault", 1280, "light")
	s.picture("fault-phone", 360, "dark")
	s.audit("fault")
	s.sees("the recovery", `document.querySelector(".headline").textContent.includes("All is well")`)
	s.sees("the recovery, said aloud", `document.querySelector("#said").textContent.includes("web is well again")`)
	s.counts(`composure_actions_total\{outcome="done",rung="graceful",service="web".*\} [1-9]`, `composure_incidents_total\{.*service="web".*\} [1-9]`)

	s.press("#to-web")
	s.sees("the tree", `document.querySelectorAll(".tree li").length >= 5 && document.querySelector("[data-part=tree]").textContent.includes("container healthy?")`)
	s.sees("the tree of the fault", `document.querySelector("#last-ill") !== null`)
	s.sees("the log", `document.querySelector("#log").textContent.includes("started")`)
	s.audit("service")
	s.picture("service", 1280, "dark")
	s.picture("service-phone", 360, "light")

	s.press("#do-pause")
	s.sees("what pausing means", `document.querySelector("h1").textContent.includes("Pause") && document.querySelector("#plan") !== null`)
	s.audit("confirm")
	s.tab("#reason")
	s.run(chromedp.KeyEvent("a look at it"))
	s.press("#yes")
	s.sees("the pause", `document.querySelector("#do-resume") !== null`)
	s.sees("that it was done", `document.querySelector("[data-part=operations]").textContent.includes("Pause: web")`)
	s.sees("that it was done, said aloud", `document.querySelector("#said").textContent.includes("Pause: web")`)

	s.press("#do-resume")
	s.sees("what resuming means", `document.querySelector("#yes") !== null && document.querySelector("h1").textContent.includes("Resume")`)
	s.press("#yes")
	s.sees("the end of the pause", `document.querySelector("#do-pause") !== null`)

	s.press("#last-ill summary")
	s.sees("the tree of the fault, open", `document.querySelector("#last-ill").open`)
	s.audit("service, a disclosure open")
	s.press(".crumb a")
	s.sees("the way back", `document.querySelector("#to-web") !== null`)

	before := s.docker("container", "inspect", "-f", "{{.Id}}", project+"-web-1")
	s.open("/services/web")
	s.click(`[id^="back-"]`)
	s.sees("the plan of the rollback", `document.querySelector("#plan")?.textContent.includes("create ")`)
	s.picture("confirm", 360, "dark")
	s.click("#yes")
	s.sees("the rollback", `document.querySelector("#do-release") !== null && document.querySelector("[data-part=operations]").textContent.includes("rolled back and well")`)
	if now := s.docker("container", "inspect", "-f", "{{.Id}} {{.Config.Env}}", project+"-web-1"); strings.Contains(now, before) || !strings.Contains(now, "EDITION=1") {
		t.Errorf("the container is %s", now)
	}

	s.press(`nav a[href="/incidents"]`)
	s.sees("the incidents", `document.querySelector(".incidents a") !== null`)
	s.audit("incidents")
	s.press(".incidents a")
	s.sees("the incident", `document.querySelectorAll(".timeline li").length >= 3 && document.querySelector(".report").textContent.includes("# Incident")`)
	s.picture("incident", 1280, "light")
	s.press("details summary")
	s.sees("the evidence, open", `document.querySelector("details").open`)
	s.audit("incident, its evidence open")
	s.press(`nav a[href="/history"]`)
	s.sees("the history", `document.querySelector(".revision") !== null`)
	s.audit("history")
	s.open("/services/nobody")
	s.sees("that there is no such service", `document.querySelector("h1")?.textContent === "Not found"`)
	s.audit("error")
	for _, page := range []string{"/", "/services/web", "/incidents", "/history"} {
		s.open(page)
		s.sees("no secret on "+page, `document.querySelector("main") !== null && !document.documentElement.outerHTML.includes("hunter2")`)
	}
	s.press(".logout button")
	s.sees("the end of the session", `document.querySelector("#token") !== null`)
}

func (s *site) command(args ...string) *exec.Cmd {
	cmd := exec.Command(s.binary, append([]string{"-p", project, "--state-dir", filepath.Join(s.dir, "state")}, args...)...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "COMPOSURE_TOKEN="+token)
	return cmd
}

// remediate runs continuous mode until the test ends, on a port that is free.
func (s *site) remediate() {
	cmd := s.command("--log-format", "text", "reconcile", "--listen", "127.0.0.1:0")
	log, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			s.t.Errorf("reconcile ended with %v", err)
		}
	})
	lines, found := bufio.NewScanner(log), make(chan string, 1)
	go func() {
		at := regexp.MustCompile(`address=(http://\S+)`)
		for lines.Scan() {
			if m := at.FindStringSubmatch(lines.Text()); m != nil {
				found <- m[1]
			}
		}
	}()
	select {
	case s.url = <-found:
	case <-time.After(patient):
		s.t.Fatal("it does not serve")
	}
}

// counts asks for the metrics, as a scrape does, and expects a line for each pattern.
func (s *site) counts(patterns ...string) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+"/metrics", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, pattern := range patterns {
		if !regexp.MustCompile(pattern).Match(text) {
			s.t.Errorf("no metric %s in\n%s", pattern, text)
		}
	}
}

func (s *site) docker(args ...string) string {
	s.t.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("docker %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// sweep removes what the project made.
func (s *site) sweep() {
	for _, kind := range [][2][]string{
		{{"ps", "-aq", "--filter", "label=com.docker.compose.project=" + project}, {"rm", "-fv"}},
		{{"network", "ls", "-q", "--filter", "label=com.docker.compose.project=" + project}, {"network", "rm"}},
		{{"images", "--format", "{{.Repository}}:{{.Tag}}", "composure-kept/" + project + "-*"}, {"rmi"}},
	} {
		out, err := exec.Command("docker", kind[0]...).Output()
		if found := strings.Fields(string(out)); err == nil && len(found) > 0 {
			_ = exec.Command("docker", append(kind[1], found...)...).Run()
		}
	}
}
