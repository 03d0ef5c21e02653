package main

import (
	"cmp"
	"fmt"
	"io"
	"sort"
	"strings"
	"sync"

	"github.com/rivo/uniseg"

	"composure/controller"
	"composure/controller/plan"
)

// progress shows a run: on a terminal one line a subject that updates, elsewhere one plain line an event.
type progress struct {
	mu    sync.Mutex
	out   io.Writer
	quiet bool
	live  bool
	lines map[string]string // subject → what it does now
	said  map[string]string // plain output: the last line of each subject
	drawn int               // lines on the screen
}

func newProgress(a *app, format string) *progress {
	return &progress{
		out: a.stdout, quiet: format != "text", live: terminal(a.stdout).Terminal,
		lines: map[string]string{}, said: map[string]string{},
	}
}

func (p *progress) before(j plan.Job, s plan.Step) { p.say(j.Title(), s.String()+"  ← "+j.Cause) }

func (p *progress) after(j plan.Job, s plan.Step, err error) {
	if err != nil {
		p.say(j.Title(), fmt.Sprintf("%s failed: %v", s.Op, err))
	}
}

func (p *progress) report(j plan.Job, text string) { p.say(j.Title(), text) }

// pass shows what is held, what waits, and which subjects have nothing left to do.
func (p *progress) pass(seen controller.Pass) {
	active := map[string]bool{}
	for _, h := range seen.Plan.Held {
		active[h.Title()] = true
		if !strings.HasPrefix(h.Reason, "in progress") {
			p.say(h.Title(), h.Reason)
		}
	}
	for _, j := range seen.Plan.Jobs {
		active[j.Title()] = true
		if waits := j.Waits(); len(j.Due()) == 0 && len(waits) > 0 {
			p.say(j.Title(), "waits for "+plan.Join(waits))
		}
	}
	p.mu.Lock()
	subjects := sortedKeys(p.lines)
	p.mu.Unlock()
	for _, subject := range subjects {
		if !active[subject] {
			p.say(subject, "done")
		}
	}
}

// say sets the line of a subject. Text that came from a container or an engine is made safe for a terminal.
func (p *progress) say(subject, text string) {
	if p.quiet {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	text = relativePaths(printable(text))
	if p.said[subject] == text {
		return
	}
	p.said[subject], p.lines[subject] = text, text
	if !p.live {
		fmt.Fprintf(p.out, "%s: %s\n", subject, text)
		return
	}
	p.draw()
}

// draw paints every line anew over the last picture. The terminal may have another size by now.
func (p *progress) draw() {
	var b strings.Builder
	if p.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", p.drawn)
	}
	shown := painted(p.lines, terminal(p.out))
	for _, line := range shown {
		fmt.Fprintf(&b, "\r\x1b[2K%s\n", line)
	}
	for range p.drawn - len(shown) { // the picture was larger
		b.WriteString("\r\x1b[2K\n")
	}
	p.drawn = max(p.drawn, len(shown))
	fmt.Fprint(p.out, b.String())
}

// painted is a line a subject, cut to the terminal. What does not fit into its height cannot be painted over: then those
// come first that have something to do, and the last line counts the others.
func painted(lines map[string]string, look look) []string {
	subjects := sortedKeys(lines)
	rest := 0
	if room := max(look.Height-2, 1); look.Height > 0 && len(subjects) > room {
		sort.SliceStable(subjects, func(i, j int) bool { return lines[subjects[i]] != "done" && lines[subjects[j]] == "done" })
		subjects, rest = subjects[:room], len(subjects)-room
	}
	var shown []string
	for _, subject := range subjects {
		shown = append(shown, shortened(fmt.Sprintf("%-20s %s", subject, lines[subject]), cmp.Or(look.Columns, look.Width)-1))
	}
	if rest > 0 {
		shown = append(shown, fmt.Sprintf("… and %d more", rest))
	}
	return shown
}

// shortened is a line of at most so many columns: one that the terminal wraps cannot be painted over.
func shortened(line string, columns int) string {
	if columns < 1 || uniseg.StringWidth(line) <= columns {
		return line
	}
	kept, width := "", 0
	for g := uniseg.NewGraphemes(line); g.Next() && width+g.Width() < columns; {
		kept, width = kept+g.Str(), width+g.Width()
	}
	return kept + "…"
}

// end leaves the picture as it is.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.quiet = true
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// printable keeps text on one line and free of control characters and terminal escapes.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) {
			return -1
		}
		return r
	}, text)
}
