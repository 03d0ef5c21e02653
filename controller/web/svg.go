package web

import (
	"fmt"
	"html/template"
	"strings"

	"composure/controller/view"
)

// Pictures are SVG with classes and no style of their own: the strict policy refuses any. Each says in words what it
// shows. Only numbers and escaped texts are written into them.

// picture wraps shapes. Without a label it is hidden from readers: the words beside it say the same.
func picture(class, label string, width, height int, shapes string) template.HTML {
	said := fmt.Sprintf(`role="img" aria-label="%s"`, template.HTMLEscapeString(label))
	if label == "" {
		said = `aria-hidden="true"`
	}
	return template.HTML(fmt.Sprintf(`<svg class="%s" %s viewBox="0 0 %d %d" preserveAspectRatio="none">%s</svg>`, class, said, width, height, shapes))
}

// heartbeat is a bar for each minute: tall for a failure, so that it is seen without colours too.
func heartbeat(beats []string) template.HTML {
	const step, width, height = 4, 3, 24
	paths, counts := map[string]*strings.Builder{}, map[string]int{}
	for i, b := range beats {
		class, tall := "none", 4
		switch b {
		case "recovered":
			class, tall = "ok", 14
		case "pending":
			class, tall = "warn", 18
		case "failed":
			class, tall = "bad", height
		}
		counts[class]++
		if paths[class] == nil {
			paths[class] = &strings.Builder{}
		}
		fmt.Fprintf(paths[class], "M%d %dv-%dh%dv%dz", i*step, height, tall, width, tall)
	}
	var shapes strings.Builder
	for _, class := range []string{"none", "ok", "warn", "bad"} {
		if p := paths[class]; p != nil {
			fmt.Fprintf(&shapes, `<path class="%s" d="%s"/>`, class, p)
		}
	}
	label := fmt.Sprintf("last hour, by minute: %d well, %d not sure, %d not well, %d not known", counts["ok"], counts["warn"], counts["bad"], counts["none"])
	return picture("heartbeat", label, max(len(beats), 1)*step-1, height, shapes.String())
}

// spark is the median response time of each part of the last hour, with a mark where it failed.
func spark(p view.Probe) template.HTML {
	const step, height = 6, 24
	_, most := view.Range(p.Columns)
	y := func(ms float64) float64 { return height - 3 - ms/max(most, 1)*(height-6) }
	var line, dots, marks strings.Builder
	joined := false
	for i, c := range p.Columns {
		x := float64(i*step) + step/2
		switch c.State {
		case "ok":
			verb := map[bool]string{true: "L", false: "M"}[joined]
			fmt.Fprintf(&line, "%s%.1f %.1f", verb, x, y(c.Median))
			fmt.Fprintf(&dots, "M%.1f %.1fh.01", x, y(c.Median))
			joined = true
			continue
		case "failed":
			fmt.Fprintf(&marks, "M%.1f %dv-%dh3v%dz", x-1.5, height, height, height)
		}
		joined = false
	}
	shapes := fmt.Sprintf(`<path class="bad" d="%s"/><path class="line" d="%s"/><path class="dot" d="%s"/>`, marks.String(), line.String(), dots.String())
	label := fmt.Sprintf("response time of probe %s in the last hour: median %s, 95th percentile %s, %d of %d failed",
		p.Probe, milliseconds(p.P50), milliseconds(p.P95), p.Failures, p.Asked)
	return picture("spark", label, max(len(p.Columns), 1)*step, height, shapes)
}

// meter is memory against its limit.
func meter(used, limit int64) template.HTML {
	share := min(percent(used, limit), 100)
	class := "fill"
	switch {
	case share >= 90:
		class += " bad"
	case share >= 75:
		class += " warn"
	}
	return picture("meter", fmt.Sprintf("memory at %d %% of its limit", share), 100, 8, fmt.Sprintf(
		`<rect class="track" width="100" height="8"/><rect class="%s" width="%d" height="8"/>`, class, share))
}

// pips are the attempts of the budget, those that are left filled.
func pips(left, budget int) template.HTML {
	const step, shown = 12, 10
	var shapes strings.Builder
	for i := range min(budget, shown) {
		class := map[bool]string{true: "left", false: "used"}[i < left]
		fmt.Fprintf(&shapes, `<circle class="%s" cx="%d" cy="6" r="4"/>`, class, i*step+6)
	}
	return picture("pips", "", max(min(budget, shown), 1)*step, 12, shapes.String())
}
