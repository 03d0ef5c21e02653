// Package browser drives the dashboard in a real browser, beside a remediator that heals a real fault.
package browser

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	browserlog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const (
	project = "cmpsr-browser"
	token   = "a-token-for-the-browser"
	patient = 4 * time.Minute // of whoever waits on a machine that others use too
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
	t                      *testing.T
	binary, dir, artefacts string
	url                    string
	ctx                    context.Context

	mu         sync.Mutex
	complaints []string // of the browser: refused by the policy, or an exception
}

// TestDashboard: a fault comes and heals before a viewer's eyes; people pause and roll back, with the mouse and with the
// keyboard only; on a phone, light and dark. The strict policy is never violated.
func TestDashboard(t *testing.T) {
	s := &site{t: t, dir: t.TempDir(), artefacts: filepath.Join(os.TempDir(), "composure-browser")}
	if err := os.MkdirAll(s.artefacts, 0o755); err != nil {
		t.Fatal(err)
	}
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
	s.browse()

	s.open("/")
	s.sees("the login page", `document.querySelector("#token") !== null`)
	s.run(chromedp.SendKeys("#token", token+kb.Enter))
	s.sees("the stack, well", `document.querySelector(".headline")?.textContent.includes("All is well")`)
	s.sees("the stream", `document.querySelector("#live").textContent === "live"`)
	s.picture("overview", 1280, "light")

	s.docker("exec", project+"-web-1", "rm", "/tmp/ok")
	s.sees("the fault", `document.querySelector("[data-part=service-web] .badge.failed, [data-part=service-web] .badge.pending") !== null && document.querySelector("#said").textContent !== ""`)
	s.picture("fault", 1280, "light")
	s.picture("fault-phone", 360, "dark")
	s.sees("the recovery", `document.querySelector(".headline").textContent.includes("All is well")`)
	s.counts(`composure_actions_total\{outcome="done",rung="graceful",service="web".*\} [1-9]`, `composure_incidents_total\{.*service="web".*\} [1-9]`)

	s.open("/services/web")
	s.sees("the tree", `document.querySelectorAll(".tree li").length >= 5 && document.querySelector("[data-part=tree]").textContent.includes("container healthy?")`)
	s.sees("the tree of the fault", `document.querySelector("#last-ill") !== null`)
	s.sees("the log", `document.querySelector("#log").textContent.includes("started")`)
	s.picture("service", 1280, "dark")
	s.picture("service-phone", 360, "light")

	s.click("#do-pause")
	s.sees("what pausing means", `document.querySelector("h1").textContent.includes("Pause") && document.querySelector("#plan") !== null`)
	s.click("#yes")
	s.sees("the pause", `document.querySelector("#do-resume") !== null`)
	s.sees("that it was done", `document.querySelector("[data-part=operations]").textContent.includes("Pause: web")`)

	s.keyboard("do-resume")
	s.sees("what resuming means", `document.querySelector("#yes") !== null && document.querySelector("h1").textContent.includes("Resume")`)
	s.keyboard("yes")
	s.sees("the end of the pause", `document.querySelector("#do-pause") !== null`)

	before := s.docker("container", "inspect", "-f", "{{.Id}}", project+"-web-1")
	s.click(`[id^="back-"]`)
	s.sees("the plan of the rollback", `document.querySelector("#plan")?.textContent.includes("create ")`)
	s.picture("confirm", 360, "dark")
	s.click("#yes")
	s.sees("the rollback", `document.querySelector("#do-release") !== null && document.querySelector("[data-part=operations]").textContent.includes("rolled back and well")`)
	if now := s.docker("container", "inspect", "-f", "{{.Id}} {{.Config.Env}}", project+"-web-1"); strings.Contains(now, before) || !strings.Contains(now, "EDITION=1") {
		t.Errorf("the container is %s", now)
	}

	s.open("/incidents")
	s.click(".incidents a")
	s.sees("the incident", `document.querySelectorAll(".timeline li").length >= 3 && document.querySelector(".report").textContent.includes("# Incident")`)
	s.picture("incident", 1280, "light")
	for _, page := range []string{"/", "/services/web", "/incidents", "/history"} {
		s.open(page)
		s.sees("no secret on "+page, `document.querySelector("main") !== null && !document.documentElement.outerHTML.includes("hunter2")`)
		s.phone(360, "light")
		s.sees("nothing wider than the screen on "+page, `document.documentElement.scrollWidth <= 360`)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.complaints) > 0 {
		t.Errorf("the browser complains:\n%s", strings.Join(s.complaints, "\n"))
	}
	t.Logf("pictures are in %s", s.artefacts)
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

// browse starts the browser and listens to its complaints.
func (s *site) browse() {
	alloc, end := chromedp.NewExecAllocator(s.t.Context(), append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox)...)
	s.t.Cleanup(end)
	ctx, stop := chromedp.NewContext(alloc)
	s.t.Cleanup(stop)
	s.ctx = ctx
	err := chromedp.Listen(ctx, func(event any) {
		s.mu.Lock()
		defer s.mu.Unlock()
		switch e := event.(type) {
		case *browserlog.EventEntryAdded:
			if strings.Contains(e.Entry.Text, "Content Security Policy") || strings.Contains(e.Entry.Text, "Content-Security-Policy") {
				s.complaints = append(s.complaints, e.Entry.Text)
			}
		case *runtime.EventExceptionThrown:
			s.complaints = append(s.complaints, e.ExceptionDetails.Text)
		}
	})
	if err != nil {
		s.t.Fatalf("start the browser: %v; hack/browser.sh installs one", err)
	}
	s.phone(1280, "light")
}

// phone makes the window so wide, and asks for a colour scheme.
func (s *site) phone(width int64, scheme string) {
	s.t.Helper()
	s.run(chromedp.EmulateViewport(width, 800))
	features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}
	if _, err := chromedp.Call(s.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) run(action chromedp.Action[chromedp.Void]) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, patient)
	defer cancel()
	if _, err := chromedp.Run(ctx, action); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) open(path string) { s.t.Helper(); s.run(chromedp.Navigate(s.url + path)) }

func (s *site) click(selector string) {
	s.t.Helper()
	s.sees(selector, fmt.Sprintf("document.querySelector(%q) !== null", selector))
	s.run(chromedp.Click(chromedp.CSS(selector)))
}

// sees waits until an expression holds, also over a change of the page.
func (s *site) sees(what, expression string) {
	s.t.Helper()
	for deadline := time.Now().Add(patient); ; time.Sleep(50 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(s.ctx, patient)
		holds, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		cancel()
		if err == nil && holds {
			return
		}
		if time.Now().After(deadline) {
			s.picture("failed", 1280, "light")
			text, _ := chromedp.Run(s.ctx, chromedp.Evaluate[string]("document.body.innerText"))
			s.t.Fatalf("not seen: %s (%v)\n%s", what, err, text)
		}
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

// keyboard tabs to an element and presses enter: what has no focus, or none that is seen, is not reached.
func (s *site) keyboard(id string) {
	s.t.Helper()
	for range 60 {
		s.run(chromedp.KeyEvent(kb.Tab))
		focus, err := chromedp.Run(s.ctx, chromedp.Evaluate[string](`document.activeElement.id + " " + getComputedStyle(document.activeElement).outlineStyle`))
		if err != nil {
			s.t.Fatal(err)
		}
		if name, outline, _ := strings.Cut(focus, " "); name == id {
			if outline == "none" {
				s.t.Errorf("%s has the focus, and it is not seen", id)
			}
			s.run(chromedp.KeyEvent(kb.Enter))
			return
		}
	}
	s.t.Fatalf("%s is not reached with the keyboard", id)
}

// picture keeps what is seen.
func (s *site) picture(name string, width int64, scheme string) {
	s.t.Helper()
	s.phone(width, scheme)
	image, err := chromedp.Run(s.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.artefacts, name+".png"), image, 0o644); err != nil {
		s.t.Fatal(err)
	}
	s.phone(1280, "light")
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
