package browser

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	browserlog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// patient is who waits on a machine that others use too.
const patient = 4 * time.Minute

// viewer is a browser that looks at the dashboard at url.
type viewer struct {
	t              *testing.T
	url, artefacts string
	ctx            context.Context

	mu         sync.Mutex
	complaints []string // of the browser: refused by the policy, or an exception
}

// browse starts a browser that looks until the test ends; what it complains of fails the test.
func browse(t *testing.T, url string) *viewer {
	t.Helper()
	v := &viewer{t: t, url: url, artefacts: filepath.Join(os.TempDir(), "composure-browser")}
	if err := os.MkdirAll(v.artefacts, 0o755); err != nil {
		t.Fatal(err)
	}
	alloc, end := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox)...)
	t.Cleanup(end)
	ctx, stop := chromedp.NewContext(alloc)
	t.Cleanup(stop)
	v.ctx = ctx
	if err := chromedp.Listen(ctx, v.listen); err != nil {
		t.Fatalf("start the browser: %v; hack/browser.sh installs one", err)
	}
	t.Cleanup(func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		if len(v.complaints) > 0 {
			t.Errorf("the browser complains:\n%s", strings.Join(v.complaints, "\n"))
		}
		t.Logf("pictures, and the pages as a screen reader gets them, are in %s", v.artefacts)
	})
	v.screen(1280, "light")
	return v
}

// listen keeps the browser's complaints.
func (v *viewer) listen(event any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch e := event.(type) {
	case *browserlog.EventEntryAdded:
		if strings.Contains(e.Entry.Text, "Content Security Policy") || strings.Contains(e.Entry.Text, "Content-Security-Policy") {
			v.complaints = append(v.complaints, e.Entry.Text)
		}
	case *runtime.EventExceptionThrown:
		v.complaints = append(v.complaints, e.ExceptionDetails.Text)
	}
}

// screen makes the window so wide, and asks for a colour scheme, and for colours that the viewer forces where forced is
// "active".
func (v *viewer) screen(width int64, scheme string, forced ...string) {
	v.t.Helper()
	v.run(chromedp.EmulateViewport(width, 800))
	features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "forced-colors", Value: strings.Join(forced, "")}}
	if _, err := chromedp.Call(v.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}); err != nil {
		v.t.Fatal(err)
	}
}

func (v *viewer) run(action chromedp.Action[chromedp.Void]) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, patient)
	defer cancel()
	if _, err := chromedp.Run(ctx, action); err != nil {
		v.t.Fatal(err)
	}
}

// value is what an expression gives.
func value[T any](v *viewer, expression string) T {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, patient)
	defer cancel()
	got, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		v.t.Fatalf("%s: %v", expression, err)
	}
	return got
}

func (v *viewer) open(path string) { v.t.Helper(); v.run(chromedp.Navigate(v.url + path)) }

func (v *viewer) click(selector string) {
	v.t.Helper()
	v.sees(selector, fmt.Sprintf("document.querySelector(%q) !== null", selector))
	v.run(chromedp.Click(chromedp.CSS(selector)))
}

// sees waits until an expression holds, also over a change of the page.
func (v *viewer) sees(what, expression string) {
	v.t.Helper()
	for deadline := time.Now().Add(patient); ; time.Sleep(50 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(v.ctx, patient)
		holds, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		cancel()
		if err == nil && holds {
			return
		}
		if time.Now().After(deadline) {
			v.picture("failed", 1280, "light")
			text, _ := chromedp.Run(v.ctx, chromedp.Evaluate[string]("document.body.innerText"))
			v.t.Fatalf("not seen: %s (%v)\n%.4000s", what, err, text)
		}
	}
}

// stop is where the keyboard is: its element, whether it is the one that is looked for, and what is not seen of the focus.
type stop struct {
	Name  string
	Here  bool
	Wrong string
}

// focused looks at what has the focus.
const focused = `(() => {
	const e = document.activeElement, s = getComputedStyle(e), r = e.getBoundingClientRect();
	const name = e.localName + (e.id && "#" + e.id) + " " + (e.innerText ?? "").trim().slice(0, 40);
	let wrong = "";
	if (e === document.body) return { Name: name, Here: false, Wrong: "" };
	if (s.outlineStyle === "none" || parseFloat(s.outlineWidth) < 2) wrong = "no outline";
	if (r.width < 1 || r.height < 1 || r.bottom <= 0 || r.right <= 0 || r.top >= innerHeight || r.left >= innerWidth) wrong = "not on the screen";
	return { Name: name, Here: e.matches(%q), Wrong: wrong };
})()`

// tab goes on with the keyboard until an element has the focus. Every stop on the way must be seen.
func (v *viewer) tab(selector string) {
	v.t.Helper()
	for range 80 {
		v.run(chromedp.KeyEvent(kb.Tab))
		at := value[stop](v, fmt.Sprintf(focused, selector))
		if at.Wrong != "" {
			v.t.Errorf("on the way to %s the focus is on %s: %s", selector, at.Name, at.Wrong)
		}
		if at.Here {
			return
		}
	}
	v.t.Fatalf("%s is not reached with the keyboard", selector)
}

// press goes to an element with the keyboard and presses enter.
func (v *viewer) press(selector string) {
	v.t.Helper()
	v.sees(selector, fmt.Sprintf("document.querySelector(%q) !== null", selector))
	v.tab(selector)
	v.run(chromedp.KeyEvent(kb.Enter))
}

// picture keeps what is seen.
func (v *viewer) picture(name string, width int64, scheme string) {
	v.t.Helper()
	v.screen(width, scheme)
	image, err := chromedp.Run(v.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		v.t.Fatal(err)
	}
	v.keep(name+".png", image)
	v.screen(1280, "light")
}

func (v *viewer) keep(name string, data []byte) {
	v.t.Helper()
	if err := os.WriteFile(filepath.Join(v.artefacts, name), data, 0o644); err != nil {
		v.t.Fatal(err)
	}
}
