package browser

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"composure/controller/drift"
	"composure/controller/incident"
	"composure/controller/view"
)

// listening keeps what is said aloud on the page that is open.
const listening = `window.heard = []; new MutationObserver(() => heard.push(document.getElementById("said").textContent)).observe(document.getElementById("said"), { childList: true }); true`

// refreshed waits until the page has been asked for again after a change, and has taken the answer.
func (v *viewer) refreshed(change func()) {
	v.t.Helper()
	before := value[int](v, `performance.getEntriesByName(location.href).length`)
	change()
	v.sees("a refresh", fmt.Sprintf(`performance.getEntriesByName(location.href).length > %d`, before))
}

// TestSaidAloud: on every page a fault is said aloud, with the service and the cause, and so is its end; what is only
// another figure is not.
func TestSaidAloud(t *testing.T) {
	g := staged(t)
	v := browse(t, g.URL)
	v.enter()
	for _, page := range []string{"/", "/services/db", "/incidents", "/incidents/shop-now-api", "/history"} {
		v.open(page)
		v.sees("the stream on "+page, `document.querySelector("#live").textContent === "live"`)
		value[bool](v, listening)
		v.refreshed(func() {
			g.change(func(s *stack) {
				s.service("api").Reason, s.status.At, s.service("db").Memory = "HTTP 500", s.status.At.Add(time.Second), 200<<20
			})
		})
		g.change(func(s *stack) { s.heal("api") })
		v.sees("the end of the fault", `heard.length === 1`)
		g.change(func(s *stack) { s.fail("api", "HTTP 503") })
		v.sees("the fault", `heard.length === 2`)
		g.change(func(s *stack) { s.fail("db", "it was killed"); s.heal("worker") })
		v.sees("two at once", `heard.length === 3`)
		g.change(func(s *stack) { s.heal("api"); s.heal("db") })
		v.sees("that all is well", `heard.length === 4`)
		g.change(func(s *stack) { s.status.Down = &s.began })
		v.sees("that the engine is away", `heard.length === 5`)
		g.change(func(s *stack) { s.status.Down = nil })
		v.sees("that the engine is back", `heard.length === 6`)
		g.change(func(s *stack) { s.fail("api", "HTTP 503"); s.service("worker").Verdict = "pending" })
		v.sees("the next fault", `heard.length === 7`)
		g.change(func(s *stack) {
			s.status.Services = append(s.status.Services, view.Service{Service: "extra", Verdict: "failed"})
		})
		v.sees("a fault of a service that is taken out", `heard.length === 8`)
		g.change(func(s *stack) { s.status.Services = s.status.Services[:3] })
		g.change(func(s *stack) { s.service("worker").Verdict = "failed" })
		v.sees("a fault after it", `heard.length === 9`)
		g.change(func(s *stack) { s.service("worker").Verdict = "pending" })
		v.sees("the end of it", `heard.length === 10`)
		want := []string{
			"api is well again.",
			"api is not well: healthcheck failing, HTTP 503. 1 of 3 services not well.",
			"db is not well: healthcheck failing, it was killed. worker is well again. 2 of 3 services not well.",
			"api is well again. db is well again. All is well with 3 services.",
			"The engine does not answer.",
			"The engine answers again. All is well with 3 services.",
			"api is not well: healthcheck failing, HTTP 503. Waiting for worker. 1 of 3 services not well.",
			"extra is not well. 2 of 4 services not well.",
			"worker is not well. 2 of 3 services not well.",
			"Waiting for worker. 1 of 3 services not well.",
		}
		if heard := value[[]string](v, "heard"); !slices.Equal(heard, want) {
			t.Errorf("on %s is said\n%s\nexpected\n%s", page, strings.Join(heard, "\n"), strings.Join(want, "\n"))
		}
	}
}

// TestOutcomeIsSaid: how an action ended is said aloud on the page that follows it, and nothing is said by a page that
// only opens.
func TestOutcomeIsSaid(t *testing.T) {
	g := staged(t)
	v := browse(t, g.URL)
	v.enter()
	v.press("#to-api")
	v.sees("the stream", `document.querySelector("#live").textContent === "live"`)
	if said := value[string](v, `document.querySelector("#said").textContent`); said != "" {
		t.Errorf("a page that opens says %q", said)
	}
	for action, outcome := range map[string]string{"#do-pause": "Pause: api, done", "#do-rollback": "Roll back: api, not done"} {
		v.press(action)
		v.press("#yes")
		v.sees("the outcome", fmt.Sprintf(`document.querySelector("#said")?.textContent.startsWith(%q)`, outcome))
	}
}

// TestLostConnection: a lost connection that lasts is said aloud, and so is the end of it; a session that has ended leads
// to the login page.
func TestLostConnection(t *testing.T) {
	g := staged(t)
	v := browse(t, g.URL)
	v.enter()
	value[bool](v, listening)
	g.away.Store(true)
	g.CloseClientConnections()
	v.sees("that it is lost", `document.querySelector("#live").textContent.startsWith("connection lost")`)
	v.sees("that it is lost, said aloud", `heard.at(-1)?.startsWith("The connection is lost")`)
	g.away.Store(false)
	v.sees("that it is back", `heard.at(-1) === "Connected again." && document.querySelector("#live").textContent === "live"`)
	if heard := value[[]string](v, "heard"); len(heard) != 2 {
		t.Errorf("said: %q", heard)
	}
	if ended, err := chromedp.Run(v.ctx, chromedp.Evaluate[bool](`fetch("/logout", { method: "POST" }).then((answer) => answer.ok)`, chromedp.EvalAwaitPromise)); err != nil || !ended {
		t.Fatalf("the session does not end: %v", err)
	}
	g.CloseClientConnections()
	v.sees("the login page", `document.querySelector("#token") !== null`)
}

// TestSkipLink: the first stop of the keyboard leads past the navigation.
func TestSkipLink(t *testing.T) {
	g := staged(t)
	v := browse(t, g.URL)
	v.enter()
	v.press(".skip")
	v.sees("the focus in main", `document.activeElement.id === "main"`)
	v.run(chromedp.KeyEvent(kb.Tab))
	v.sees("the first stop of main", `document.activeElement.id === "do-pause"`)
}

// TestNothingIsLost: whatever has the focus keeps it while everything around it changes: the same element, leading to the
// same place. What is open stays open, what is scrolled stays there.
func TestNothingIsLost(t *testing.T) {
	g := staged(t)
	v := browse(t, g.URL)
	v.enter()
	v.open("/do/rollback?service=api")
	v.press("#yes")
	v.sees("an outcome", `document.querySelector(".operation summary") !== null`)
	round := 0
	for page, stops := range map[string][]string{
		"/":             {"#to-api", "#to-worker", ".reason a", "#do-pause"},
		"/services/api": {".crumb a", "#do-pause", ".operation summary", "#last-ill > summary", "#last-ill .finding a", "[data-part=drift] .scroll", "#log", "td a", ".incidents li:last-child a"},
		"/incidents":    {".incidents li:nth-child(2) a", ".incidents li:last-child a"},
		"/history":      {".revision:last-child a", ".scroll"},
	} {
		v.open(page)
		v.sees("the stream on "+page, `document.querySelector("#live").textContent === "live"`)
		value[int](v, `document.querySelectorAll("details").forEach((d) => d.open = true), 0`)
		for _, selector := range stops {
			round++
			value[bool](v, fmt.Sprintf(`window.held = document.querySelector(%q); held.focus(); window.leads = held.href; window.open = document.querySelectorAll("details[open]").length; true`, selector))
			v.refreshed(func() { g.change(func(s *stack) { s.upset(round) }) })
			v.sees("the change on "+page, fmt.Sprintf(`document.querySelector("main").textContent.includes("round %d.") || !location.pathname.match(/^\/(services|$)/)`, round))
			kept := `document.activeElement === held && held.isConnected && held.href === leads && document.querySelectorAll("details[open]").length === open`
			if !value[bool](v, kept) {
				t.Errorf("%s: %s had the focus; now it is on %s", page, selector, value[stop](v, fmt.Sprintf(focused, "*")).Name)
			}
		}
	}
}

// upset changes something in every part of every page, at the beginning of lists.
func (s *stack) upset(round int) {
	now := fmt.Sprintf("round %d.", round)
	s.status.At = s.status.At.Add(time.Second)
	for i := range s.status.Services {
		one := &s.status.Services[i]
		one.Beats = append(slices.Clone(one.Beats[1:]), "recovered")
		one.Memory -= 1 << 20
		one.Held = []view.Held{{Subject: one.Service, Reason: now}}
		one.Next = append([]string{now}, one.Next...)
	}
	s.status.Services = slices.Insert(s.status.Services, 0, view.Service{Service: fmt.Sprintf("new%d", round), Verdict: "recovered", State: "running", Beats: []string{"recovered"}})
	s.status.Decisions = slices.Insert(slices.Clone(s.status.Decisions), 0, view.Decision{Service: "db", Kind: "rollback", Owner: now, Created: s.began})
	s.status.Notes = append([]string{now}, s.status.Notes...)
	s.drifts = slices.Insert(slices.Clone(s.drifts), 0, drift.Entry{Field: now, Desired: now, Observed: now, Cause: now})
	one := s.incident(fmt.Sprintf("shop-round-%d", round), "api", s.began.Add(-time.Duration(round)*time.Minute))
	one.State, one.ResolvedAt = incident.Resolved, s.began
	s.closed = slices.Insert(slices.Clone(s.closed), 0, one)
	s.log = append(slices.Clone(s.log[1:]), now)
}

// TestLeastIsTouched: when only words and figures change, no element is replaced: a reader's place stays. What somebody
// else takes away while it has the focus leaves the focus next to it, not at the beginning of the page.
func TestLeastIsTouched(t *testing.T) {
	g := staged(t)
	v := browse(t, g.URL)
	v.enter()
	g.change(func(s *stack) { s.log = slices.Repeat([]string{"a line"}, 200) })
	v.open("/services/api")
	v.sees("the stream", `document.querySelector("#live").textContent === "live"`)
	value[bool](v, `window.touched = []; new MutationObserver((all) => { for (const m of all) if (!m.target.closest("svg")) for (const n of [...m.addedNodes, ...m.removedNodes]) if (n.nodeType === 1) touched.push(n.outerHTML.slice(0, 80)); }).observe(document.querySelector("main"), { childList: true, subtree: true }); true`)
	g.change(func(s *stack) {
		one := s.service("api")
		one.Reason, one.Beats, s.status.At = "HTTP 500", slices.Repeat([]string{"failed"}, 60), s.status.At.Add(time.Minute)
	})
	v.sees("the change", `document.querySelector(".reason").textContent === "HTTP 500"`)
	if touched := value[[]string](v, "touched"); len(touched) > 0 {
		t.Errorf("for other words %d elements were replaced, such as %q", len(touched), touched[0])
	}

	v.sees("the end of the log", `(() => { const e = document.querySelector("#log"); return e.scrollTop > 0 && e.scrollTop + e.clientHeight >= e.scrollHeight - 4; })()`)
	g.change(func(s *stack) { s.log = append(slices.Clone(s.log), "one more", "and one more") })
	v.sees("the new end of the log", `(() => { const e = document.querySelector("#log"); return e.textContent.includes("and one more") && e.scrollTop + e.clientHeight >= e.scrollHeight - 4; })()`)
	value[int](v, `document.querySelector("#log").scrollTop = 40, 0`)
	g.change(func(s *stack) { s.log = append(slices.Clone(s.log), "the last one") })
	v.sees("the same place in the log", `document.querySelector("#log").textContent.includes("the last one") && document.querySelector("#log").scrollTop === 40`)

	value[int](v, `document.querySelector("#do-pause").focus(), 0`)
	g.change(func(s *stack) {
		s.status.Decisions = append(slices.Clone(s.status.Decisions), view.Decision{Service: "api", Kind: "pause", Owner: "somebody else", Created: s.began})
	})
	v.sees("that it is paused", `document.querySelector("#do-resume") !== null`)
	at := value[json.RawMessage](v, `({ part: document.activeElement.dataset.part ?? document.activeElement.localName })`)
	if string(at) != `{"part":"hero"}` {
		t.Errorf("what had the focus is gone, and the focus is at %s", at)
	}
	v.audit("made up, service, paused by somebody else")
}
