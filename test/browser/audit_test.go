package browser

import (
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// rule is what a person with a screen reader relies on, and what breaks it on a page.
type rule struct {
	holds string
	check func(page *node) []string
}

// rules hold on every page.
var rules = []rule{
	{"whatever is operated or jumped to has a name", named},
	{"two links of one name lead to one place, and no two controls have one name", distinct},
	{"headings are an outline: one of the first level, which comes first, and no level is skipped", outline},
	{"banner, navigation and main are there once, and no two regions have one name", landmarks},
	{"each column and each row of a table has a header", headers},
	{"where the focus can go there is a role and a name", focusable},
	{"a refused form is an alert, and its field says so", refusals},
	{"what happens is said by a status, which waits for its turn", statuses},
	{"a time reads as words, and its date is there", times},
	{"no picture is without words, and no word is only a glyph", glyphs},
}

//go:embed audit.js
var looks string

// audit holds a page to the rules, in both colour schemes, with forced colours, on a narrow screen and in large letters.
// What a reader gets is kept beside the pictures.
func (v *viewer) audit(page string) {
	v.t.Helper()
	tree := v.tree()
	v.keep(regexp.MustCompile(`\W+`).ReplaceAllString(page, "-")+".txt", []byte(tree.String()))
	for _, r := range rules {
		for _, wrong := range r.check(tree) {
			v.t.Errorf("%s: %s: %s", page, r.holds, wrong)
		}
	}
	for _, scheme := range []string{"light", "dark"} {
		for _, forced := range []string{"", "active"} {
			v.screen(1280, scheme, forced)
			for _, wrong := range value[[]string](v, looks) {
				v.t.Errorf("%s, %s%s: %s", page, scheme, strings.ReplaceAll(forced, "active", ", forced colours"), wrong)
			}
		}
	}
	v.screen(320, "light")
	v.fits(page+", 320 pixels wide", 320)
	v.screen(1280, "light")
	v.letters(32)
	if got := value[string](v, "getComputedStyle(document.body).fontSize"); got != "32px" {
		v.t.Errorf("%s: letters of 32 pixels are asked for, and they have %s", page, got)
	}
	v.fits(page+", letters of twice the size", 1280)
	v.letters(16)
}

// letters is what the viewer has set as the size of letters, in pixels.
func (v *viewer) letters(size int64) {
	v.t.Helper()
	if _, err := chromedp.Call(v.ctx, cdppage.SetFontSizes, cdppage.SetFontSizesParams{FontSizes: &cdppage.FontSizes{Standard: size}}); err != nil {
		v.t.Fatal(err)
	}
}

// fits says whether nothing is wider than the screen.
func (v *viewer) fits(page string, width int) {
	v.t.Helper()
	if got := value[int](v, "document.documentElement.scrollWidth"); got > width {
		v.t.Errorf("%s: the page is %d pixels wide", page, got)
	}
}

func named(page *node) []string {
	var wrong []string
	for _, n := range page.of("RootWebArea", "link", "button", "textbox", "checkbox", "image", "img", "table", "region", "navigation", "DisclosureTriangle", "heading") {
		if !regexp.MustCompile(`[\p{L}\p{N}]`).MatchString(n.name) {
			wrong = append(wrong, fmt.Sprintf("%s %q, which says %q", n.role, n.name, n.words()))
		}
	}
	return wrong
}

func distinct(page *node) []string {
	var wrong []string
	places, controls := map[string]string{}, map[string]bool{}
	for _, n := range page.of("link") {
		said := n.name + n.about
		if place, known := places[said]; known && place != n.is["url"] {
			wrong = append(wrong, fmt.Sprintf("%q leads to %s and to %s", said, place, n.is["url"]))
		}
		places[said] = n.is["url"]
	}
	for _, n := range page.of("button", "DisclosureTriangle", "textbox") {
		if controls[n.name] {
			wrong = append(wrong, fmt.Sprintf("two are called %q", n.name))
		}
		controls[n.name] = true
	}
	return wrong
}

func outline(page *node) []string {
	var wrong []string
	last := 0
	for _, n := range page.of("heading") {
		level, err := strconv.Atoi(n.is["level"])
		if err != nil || level > last+1 || (level == 1 && last > 0) {
			wrong = append(wrong, fmt.Sprintf("%q is of level %s, after one of level %d", n.name, n.is["level"], last))
		}
		last = level
	}
	if last == 0 {
		wrong = append(wrong, "there is none")
	}
	return wrong
}

func landmarks(page *node) []string {
	var wrong []string
	for _, role := range []string{"banner", "navigation", "main"} {
		if found := page.of(role); len(found) != 1 {
			wrong = append(wrong, fmt.Sprintf("%s: %d of them", role, len(found)))
		}
	}
	regions := map[string]bool{}
	for _, n := range page.of("region") {
		if regions[n.name] {
			wrong = append(wrong, fmt.Sprintf("two regions are called %q", n.name))
		}
		regions[n.name] = true
	}
	return wrong
}

func headers(page *node) []string {
	var wrong []string
	for _, table := range page.of("table", "LayoutTable") {
		for i, row := range table.of("row", "LayoutTableRow") {
			want := "rowheader"
			if i == 0 {
				want = "columnheader"
			}
			if found := row.of(want); len(found) == 0 || found[0].name == "" {
				wrong = append(wrong, fmt.Sprintf("%s %q: row %d (%s) has no %s", table.role, table.name, i, row.words(), want))
			}
		}
	}
	return wrong
}

func focusable(page *node) []string {
	var wrong []string
	for n := range page.all() {
		ours := slices.Contains([]string{"link", "button", "textbox", "DisclosureTriangle", "group", "region"}, n.role) && n.name != ""
		if n.is["focusable"] == "true" && !ours && n.role != "RootWebArea" && n.role != "main" {
			wrong = append(wrong, fmt.Sprintf("%s %q, which says %.60q", n.role, n.name, n.words()))
		}
	}
	return wrong
}

func refusals(page *node) []string {
	var wrong []string
	fields := page.of("textbox")
	for _, alert := range page.of("alert") {
		said := func(n *node) bool {
			return n.is["invalid"] == "true" && strings.Contains(n.about, strings.TrimSpace(alert.words()))
		}
		if len(fields) > 0 && !slices.ContainsFunc(fields, said) {
			wrong = append(wrong, fmt.Sprintf("no field says %q", alert.words()))
		}
	}
	return wrong
}

func statuses(page *node) []string {
	var wrong []string
	found := page.of("status")
	if len(found) == 0 {
		wrong = append(wrong, "there is none")
	}
	for n := range page.all() {
		if live := n.is["live"]; live == "assertive" && n.role != "alert" {
			wrong = append(wrong, fmt.Sprintf("%s %q interrupts", n.role, n.words()))
		}
	}
	for _, n := range found {
		if n.is["live"] != "polite" {
			wrong = append(wrong, fmt.Sprintf("a status is %s", n.is["live"]))
		}
	}
	return wrong
}

func times(page *node) []string {
	var wrong []string
	said := regexp.MustCompile(`^(now|\d+ (seconds?|minutes?|hours?|days?) ago|in \d+ (seconds?|minutes?|hours?|days?)|\d\d:\d\d:\d\d|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC)$`)
	for _, n := range page.of("time") {
		if !said.MatchString(n.words()) || !strings.HasSuffix(n.about, "UTC") {
			wrong = append(wrong, fmt.Sprintf("%q (%s)", n.words(), n.about))
		}
	}
	return wrong
}

func glyphs(page *node) []string {
	var wrong []string
	for _, n := range page.of("SvgRoot", "graphics-document") {
		wrong = append(wrong, fmt.Sprintf("%s %q", n.role, n.name))
	}
	for _, n := range page.of("cell", "gridcell", "definition", "listitem", "term") {
		if !regexp.MustCompile(`[\p{L}\p{N}]`).MatchString(n.words()) && len(n.children) > 0 {
			wrong = append(wrong, fmt.Sprintf("%s %q", n.role, n.words()))
		}
	}
	return wrong
}
