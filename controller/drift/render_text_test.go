package drift

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rivo/uniseg"
)

func TestTextKeepsToTheWidthAndIsPlainUnlessAsked(t *testing.T) {
	for _, width := range []int{80, 100, 132} {
		o := options()
		o.Width = width
		out := render(t, "text", rich(), o)
		if strings.Contains(out, "\x1b") {
			t.Error("escapes without being asked for colour")
		}
		for _, line := range strings.Split(out, "\n") {
			if uniseg.StringWidth(line) > width {
				t.Errorf("%d columns at %d: %s", uniseg.StringWidth(line), width, line)
			}
		}
	}
}

func TestTextColourChangesNothingButColour(t *testing.T) {
	o := options()
	o.Width, o.Color = 100, true
	colored := regexp.MustCompile(`\x1b\[[0-9;]*m`).ReplaceAllString(render(t, "text", rich(), o), "")
	o.Color = false
	plain := render(t, "text", rich(), o)
	trailing := regexp.MustCompile(`(?m) +$`)
	if diff := cmp.Diff(plain, trailing.ReplaceAllString(colored, "")); diff != "" {
		t.Error(diff)
	}
}

func TestTextOfACleanStackIsOneLine(t *testing.T) {
	if got, want := render(t, "text", clean(), options()), "shop: no drift in 2 services\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTextNeverBeginsALineWithAWorkflowCommand(t *testing.T) {
	r := Report{Stack: "::stop-commands::x", Gaps: []Gap{{"::error::a", "::error::b"}}}
	r.Drifts = []Drift{{Service: "::error::c", Field: "::error::d", Cause: "one ::error::e " + strings.Repeat("long ", 30) + "::error::f"}}
	for _, width := range []int{0, 30, 80} {
		for _, line := range strings.Split(render(t, "text", r, RenderOptions{Width: width}), "\n") {
			if strings.HasPrefix(strings.TrimSpace(line), "::") {
				t.Errorf("GitHub's runner would obey %q", line)
			}
		}
	}
}

func TestPairShowsWhatDiffers(t *testing.T) {
	prefix := strings.Repeat("--flag=value ", 30)
	for _, c := range []struct{ desired, observed string }{
		{prefix + "a", prefix + "b"},
		{prefix, prefix + "b"},
		{prefix + "世", prefix + "界"},
		{"", prefix},
		{"a\n", "a"},
		{"short", prefix},
	} {
		for _, limit := range []int{0, 24, 60, 400} {
			a, b := pair(c.desired, c.observed, limit)
			if a == b {
				t.Errorf("at %d both sides read %q", limit, a)
			}
			if width := uniseg.StringWidth(a) + uniseg.StringWidth(b); width > max(limit, 24) {
				t.Errorf("%d columns at limit %d: %q, %q", width, limit, a, b)
			}
		}
	}
}

func TestPathsAreRelativeOnlyBelowTheRoot(t *testing.T) {
	for _, c := range []struct{ root, path, want string }{
		{"/srv/shop", "/srv/shop/compose.yaml", "compose.yaml"},
		{"/srv/shop", "/srv/shop/deploy/compose.yaml", "deploy/compose.yaml"},
		{"/srv/shop", "/srv/shopping/compose.yaml", "/srv/shopping/compose.yaml"},
		{"/srv/shop", "/srv/shop/..compose.yaml", "..compose.yaml"},
		{"", "/srv/shop/compose.yaml", "/srv/shop/compose.yaml"},
		{"/srv/shop", "", ""},
	} {
		if got := relative(c.root, c.path); got != c.want {
			t.Errorf("relative(%q, %q) = %q, want %q", c.root, c.path, got, c.want)
		}
	}
}
