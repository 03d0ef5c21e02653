package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"composure/controller/view"
)

// refresh is the time between two looks of `status --watch`.
const refresh = 2 * time.Second

// watch shows the status again and again: on a terminal in place, on a screen of its own that is gone afterwards,
// elsewhere one after the other. What cannot be looked at now is said, and looked at again.
func (a *app) watch(ctx context.Context, s *session, format string) error {
	w := &watcher{app: a, session: s, files: fingerprint(s.stack.Sources)}
	if look := terminal(a.stdout); look.Terminal && format == "text" {
		return w.screen(ctx, look.Color)
	}
	ticker := time.NewTicker(refresh)
	defer ticker.Stop()
	for {
		now, err := w.look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && format == "json":
			err = writeJSON(a.stdout, map[string]string{"schema": "composure.status/v1", "stack": s.stack.Name, "error": err.Error()})
		case err != nil:
			_, err = fmt.Fprintf(a.stdout, "not observed: %s\n\n", printable(err.Error()))
		case format == "json":
			err = writeJSON(a.stdout, now)
		default:
			_, err = fmt.Fprintln(a.stdout, statusText(now, false, time.Now()))
		}
		if err != nil { // nobody reads any more
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// watcher looks at one stack again and again.
type watcher struct {
	*app
	*session
	files string // fingerprint of the compose files as they were read
}

// look looks once. Files that were changed are read again.
func (w *watcher) look(ctx context.Context) (view.Status, error) {
	if fingerprint(w.stack.Sources) != w.files {
		quiet := *w.app
		quiet.stderr = io.Discard
		stack, err := quiet.load(ctx)
		if err != nil {
			return view.Status{}, err
		}
		w.stack, w.files = stack, fingerprint(stack.Sources)
	}
	if w.memory == nil { // the first run of a remediator makes it
		var err error
		if w.memory, err = w.peekMemory(ctx, w.id, w.stack); err != nil {
			return view.Status{}, err
		}
	}
	return w.session.status(ctx)
}

// picture is what the screen shows.
type picture struct {
	status  view.Status
	looked  bool   // there is a status
	trouble string // why the last look failed, or nothing
}

// screen shows the status until q, ctrl-c or ctrl-d. Looks happen beside it, so that keys, the countdown and a new size
// of the window never wait for an engine.
func (w *watcher) screen(ctx context.Context, color bool) error {
	ctx, leave := w.fullScreen(ctx)
	defer leave()
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	defer signal.Stop(resized)
	second := time.NewTicker(time.Second)
	defer second.Stop()
	type look struct {
		status view.Status
		err    error
	}
	looks, looking, due := make(chan look, 1), false, time.Now()
	defer func() {
		if looking {
			<-looks // it ends with ctx, and must before the session does
		}
	}()
	var shown picture
	for ctx.Err() == nil {
		if !looking && !time.Now().Before(due) {
			looking = true
			go func() {
				now, err := w.look(ctx)
				looks <- look{now, err}
			}()
		}
		w.paint(shown.text(color, time.Now()))
		select {
		case <-ctx.Done():
		case <-resized:
		case <-second.C:
		case l := <-looks:
			looking, due = false, time.Now().Add(refresh)
			if shown.trouble = ""; l.err != nil {
				shown.trouble = printable(l.err.Error())
			} else {
				shown.status, shown.looked = l.status, true
			}
		}
	}
	return nil
}

// text is the picture: who watches, what happens next and when, the services, and all that a status says.
func (p picture) text(color bool, now time.Time) string {
	var b strings.Builder
	if p.trouble != "" {
		fmt.Fprintf(&b, "%s %s\n", paint(color, "failed"), "not observed: "+p.trouble)
	}
	if !p.looked {
		b.WriteString("looking …\n")
		return b.String()
	}
	s := p.status
	well := 0
	for _, one := range s.Services {
		if one.Verdict == "recovered" {
			well++
		}
	}
	fmt.Fprintf(&b, "%s: %d of %s well · looked %s ago\n", s.Stack, well, count(len(s.Services), "service"), max(now.Sub(s.At), 0).Truncate(time.Second))
	if s.Holder == "" {
		b.WriteString("nobody watches it; `composure reconcile` does\n")
	} else {
		fmt.Fprintf(&b, "in the hands of %s\n", s.Holder)
	}
	b.WriteString(happening(s, now) + "\n\n")
	b.WriteString(servicesTable(s, color, true))
	b.WriteString(responses(s, color))
	b.WriteString(ahead(s, now))
	return b.String()
}

// happening is one line on what is done now, or what comes next and when.
func happening(s view.Status, now time.Time) string {
	var soonest *view.Held
	for _, one := range s.Services {
		if len(one.Next) > 0 && s.Holder != "" {
			return "now: " + one.Next[0]
		}
		for i, h := range one.Held {
			if h.Until != nil && (soonest == nil || h.Until.Before(*soonest.Until)) {
				soonest = &one.Held[i]
			}
		}
	}
	switch {
	case soonest != nil:
		return fmt.Sprintf("next action in %s: %s", max(soonest.Until.Sub(now), 0).Round(time.Second), soonest.Subject)
	case s.Holder == "":
		return "nothing is done"
	}
	return "nothing to do"
}

// fullScreen switches to the alternate screen and reads keys. The context that it returns ends with q, ctrl-c or ctrl-d;
// leave puts everything back.
func (a *app) fullScreen(ctx context.Context) (watched context.Context, leave func()) {
	ctx, cancel := context.WithCancel(ctx)
	fmt.Fprint(a.stdout, "\x1b[?1049h\x1b[?25l")
	restore := func() {}
	if in, ok := a.stdin.(*os.File); ok && term.IsTerminal(int(in.Fd())) {
		if before, err := term.MakeRaw(int(in.Fd())); err == nil {
			restore = func() { _ = term.Restore(int(in.Fd()), before) }
			go keys(in, cancel)
		}
	}
	return ctx, func() {
		cancel()
		fmt.Fprint(a.stdout, "\x1b[?7h\x1b[?25h\x1b[?1049l")
		restore()
	}
}

// keys ends the watch; it returns with the process at the latest.
func keys(in io.Reader, quit func()) {
	var key [1]byte
	for {
		n, err := in.Read(key[:])
		if err != nil || (n == 1 && strings.ContainsRune("qQ\x03\x04", rune(key[0]))) {
			quit()
			return
		}
	}
}

// paint paints a text over the last one without clearing the screen first, which would flicker, and cuts what does not
// fit. The last line says how to leave.
func (a *app) paint(text string) {
	height := 24
	if out, ok := a.stdout.(*os.File); ok {
		if _, rows, err := term.GetSize(int(out.Fd())); err == nil && rows > 0 {
			height = rows
		}
	}
	_, _ = io.WriteString(a.stdout, fitted(text, height)) // a terminal that went away ends its programs
}

// fitted is what paints a text on a screen of so many rows.
func fitted(text string, height int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	footer := "q: quit"
	if room := max(height-1, 0); len(lines) > room {
		footer += fmt.Sprintf(" · %d more lines in a higher window", len(lines)-room)
		lines = lines[:room]
	}
	var b strings.Builder
	b.WriteString("\x1b[H\x1b[?7l") // home; long lines are cut, not wrapped
	for _, line := range lines {
		b.WriteString(line + "\x1b[K\r\n")
	}
	fmt.Fprintf(&b, "\x1b[J\x1b[%d;1H%s\x1b[K\x1b[?7h", max(height, 1), footer)
	return b.String()
}
