package browser

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// enter logs in with the keyboard.
func (v *viewer) enter() {
	v.t.Helper()
	v.open("/login")
	v.sees("the field of the token", `document.activeElement.matches("#token")`)
	v.run(chromedp.KeyEvent(token + kb.Enter))
	v.sees("the stack", `document.querySelector("#live")?.textContent === "live"`)
}

// TestEveryPage: every page, with everything on it that it can show, is held to the audit.
func TestEveryPage(t *testing.T) {
	g := staged(t)
	v := browse(t, g.URL)
	v.open("/login")
	v.audit("login")
	v.sees("the field of the token", `document.activeElement.matches("#token")`)
	v.run(chromedp.KeyEvent("not the token" + kb.Enter))
	v.sees("the refusal", `document.querySelector("[role=alert]") !== null && document.activeElement.matches("#token")`)
	v.audit("login, refused")
	v.enter()
	v.audit("made up, overview")
	for page, path := range map[string]string{
		"service": "/services/api", "incidents": "/incidents", "history": "/history", "confirm": "/do/restart?service=api",
		"confirm, stack": "/do/pause", "confirm, incident": "/do/ack?incident=shop-now-api", "confirm, refused": "/do/restart-hard?service=api", "error": "/services/nobody", "bad": "/do/restart",
	} {
		v.open(path)
		v.audit("made up, " + page)
	}
	v.open("/incidents/shop-now-api")
	v.audit("made up, incident")
	v.run(chromedp.Click(chromedp.CSS("details summary")))
	v.sees("the evidence", `document.querySelector("details").open`)
	v.audit("made up, incident, open")

	v.open("/do/rollback?service=api")
	v.run(chromedp.Click(chromedp.CSS("#yes")))
	v.sees("that it failed", `document.querySelector(".operation.failed") !== null`)
	v.open("/do/pause?service=api")
	v.run(chromedp.Click(chromedp.CSS("#yes")))
	v.sees("that it was done", `document.querySelectorAll(".operation").length === 2`)
	v.audit("made up, service, acted upon")
	g.change(func(s *stack) { s.status.Down, s.status.Reason = &s.began, "connection refused" })
	v.open("/")
	v.audit("made up, engine away")
	if tree := v.tree().String(); strings.Contains(tree, "hidden") {
		t.Errorf("a reader gets:\n%s", tree)
	}
}
