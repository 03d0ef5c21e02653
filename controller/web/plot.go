package web

import (
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/docker/go-units"

	"composure/controller/view"
)

// plot draws a figure over the last hour: a line, its limit, and marks where something failed.
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
	failed, highest := 0, 0.0
	for _, point := range p.Points {
		if point.Failed {
			failed++
			fmt.Fprintf(&marks, "M%.1f %dv-%d", x(point.At), height, height)
			last = time.Time{}
			continue
		}
		highest = max(highest, point.Value)
		command := "L"
		if last.IsZero() || point.At.Sub(last) > 5*time.Minute { // nothing is known in between
			command = "M"
		}
		fmt.Fprintf(&line, "%s%.1f %.1f", command, x(point.At), y(point.Value))
		last = point.At
	}
	shapes := fmt.Sprintf(`<path class="bad" d="%s"/><path class="line" d="%s"/>`, marks.String(), line.String())
	label := fmt.Sprintf("%s in the last hour: highest %s", p.Name, figure(p, highest))
	if p.Limit > 0 {
		shapes += fmt.Sprintf(`<path class="limit" d="M0 %.1fh%d"/>`, y(p.Limit), width)
		label += ", limit " + figure(p, p.Limit)
	}
	if failed > 0 {
		label += fmt.Sprintf(", %d failed", failed)
	}
	return picture("plot", label, width, height, shapes)
}

// figure is a value with its unit.
func figure(p view.Plot, v float64) string {
	if p.Unit == "bytes" {
		return units.BytesSize(v)
	}
	return milliseconds(v)
}

// highest is the largest value of a plot, with its unit.
func highest(p view.Plot) string {
	most := 0.0
	for _, point := range p.Points {
		if !point.Failed {
			most = max(most, point.Value)
		}
	}
	return figure(p, most)
}
