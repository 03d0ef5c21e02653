package web

import (
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/docker/go-units"

	"composure/controller/view"
)

// plot draws a figure over the last hour: a line, its limit, and marks where something failed. Its caption says it in words.
func plot(p view.Plot, now time.Time) template.HTML {
	const width, height = 600, 120
	most := p.Limit
	for _, point := range p.Points {
		most = max(most, point.Value)
	}
	most = max(most, 1)
	x := func(at time.Time) float64 { return width - float64(now.Sub(at))/float64(view.Span)*width }
	y := func(v float64) float64 { return height - 2 - v/most*(height-8) }
	var line, marks strings.Builder
	last := time.Time{}
	for _, point := range p.Points {
		if point.Failed {
			fmt.Fprintf(&marks, "M%.1f %dv-%d", x(point.At), height, height)
			last = time.Time{}
			continue
		}
		command := "L"
		if last.IsZero() || point.At.Sub(last) > 5*time.Minute { // nothing is known in between
			command = "M"
		}
		fmt.Fprintf(&line, "%s%.1f %.1f", command, x(point.At), y(point.Value))
		last = point.At
	}
	shapes := fmt.Sprintf(`<path class="bad" d="%s"/><path class="line" d="%s"/>`, marks.String(), line.String())
	if p.Limit > 0 {
		shapes += fmt.Sprintf(`<path class="limit" d="M0 %.1fh%d"/>`, y(p.Limit), width)
	}
	return picture("plot", "", width, height, shapes)
}

// figure is a value with its unit.
func figure(p view.Plot, v float64) string {
	if p.Unit == "bytes" {
		return units.BytesSize(v)
	}
	return milliseconds(v)
}

// caption says in words what a plot shows.
func caption(p view.Plot) string {
	failed, highest := 0, 0.0
	for _, point := range p.Points {
		if point.Failed {
			failed++
			continue
		}
		highest = max(highest, point.Value)
	}
	text := "highest " + figure(p, highest)
	if p.Limit > 0 {
		text += ", limit " + figure(p, p.Limit)
	}
	if failed > 0 {
		text += fmt.Sprintf(", %d failed", failed)
	}
	return text
}
