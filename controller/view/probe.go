package view

import (
	"maps"
	"slices"
	"strings"
	"time"

	"composure/controller/observe"
	"composure/controller/store"
)

// Probe is the response times of one probe over the last Span.
type Probe struct {
	Probe    string   `json:"probe"`
	P50      float64  `json:"p50_ms"`
	P95      float64  `json:"p95_ms"`
	Asked    int      `json:"asked"`
	Failures int      `json:"failures"`
	Spark    string   `json:"sparkline"`        // oldest first; ! where it failed, · where nothing is known
	Columns  []Column `json:"columns"`          // what the sparkline is drawn from
	State    string   `json:"state,omitempty"`  // ok, failing, unknown, by its thresholds; empty: nobody asks now
	Detail   string   `json:"detail,omitempty"` // what was seen last
}

// Column is a part of the Span, as a probe answered in it.
type Column struct {
	Median float64 `json:"median_ms"` // of the answers; 0: none
	State  string  `json:"state"`     // ok, failed when one failed, empty when nothing is known
}

// sparkWidth is how many columns stand for the time that is summed up.
const sparkWidth = 20

// probesOf sums up the samples of a service, by probe.
func probesOf(samples []store.Sample, now time.Time) []Probe {
	byProbe := map[string][]store.Sample{}
	for _, s := range samples {
		if s.Probe != store.SeriesVerdict && s.Probe != store.SeriesMemory {
			byProbe[s.Probe] = append(byProbe[s.Probe], s)
		}
	}
	list := []Probe{}
	for _, name := range slices.Sorted(maps.Keys(byProbe)) {
		p := Probe{Probe: name, Asked: len(byProbe[name]), Columns: columnsOf(byProbe[name], now)}
		p.Spark = sparkline(p.Columns)
		var answers []time.Duration
		for _, s := range byProbe[name] {
			switch s.Outcome {
			case store.SampleFailure:
				p.Failures++
			case store.SampleSuccess:
				answers = append(answers, s.Latency)
			}
		}
		p.P50, p.P95 = quantile(answers, 0.50), quantile(answers, 0.95)
		list = append(list, p)
	}
	return list
}

// quantile is the nearest rank, in milliseconds; 0 of nothing.
func quantile(values []time.Duration, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	at := max(int(float64(len(sorted))*q+0.999999)-1, 0)
	return float64(sorted[min(at, len(sorted)-1)].Microseconds()) / 1000
}

// columnsOf sums up each part of the Span.
func columnsOf(samples []store.Sample, now time.Time) []Column {
	parts := make([][]time.Duration, sparkWidth)
	columns := make([]Column, sparkWidth)
	for _, s := range samples {
		at := sparkWidth - 1 - int(now.Sub(s.At)/(Span/sparkWidth))
		switch {
		case at < 0 || at >= sparkWidth:
		case s.Outcome == store.SampleFailure:
			columns[at].State = "failed"
		case s.Outcome == store.SampleSuccess:
			parts[at] = append(parts[at], s.Latency)
		}
	}
	for i, part := range parts {
		columns[i].Median = quantile(part, 0.5)
		if len(part) > 0 && columns[i].State == "" {
			columns[i].State = "ok"
		}
	}
	return columns
}

// sparkline draws the median of each column, from the smallest to the largest of them.
func sparkline(columns []Column) string {
	least, most := Range(columns)
	levels := []rune("▁▂▃▄▅▆▇█")
	var line strings.Builder
	for _, c := range columns {
		switch {
		case c.State == "failed":
			line.WriteByte('!')
		case c.State == "":
			line.WriteString("·")
		case most-least < 1: // less than a millisecond is no difference
			line.WriteRune(levels[0])
		default:
			line.WriteRune(levels[int((c.Median-least)/(most-least)*float64(len(levels)-1))])
		}
	}
	return line.String()
}

// Range is the smallest and the largest median of the columns without failures; 0, 0 of none.
func Range(columns []Column) (least, most float64) {
	found := false
	for _, c := range columns {
		if c.State != "ok" {
			continue
		}
		if !found || c.Median < least {
			least = c.Median
		}
		most, found = max(most, c.Median), true
	}
	return least, most
}

// standing adds how a probe stands to its summary, the worst of all containers, or to a new one when it has none yet.
func standing(all []Probe, r observe.ProbeResult) []Probe {
	at := slices.IndexFunc(all, func(p Probe) bool { return p.Probe == r.Name })
	if at < 0 {
		all = append(all, Probe{Probe: r.Name, Spark: sparkline(columnsOf(nil, time.Time{})), Columns: columnsOf(nil, time.Time{})})
		at = len(all) - 1
	}
	if p := &all[at]; p.State == "" || r.State == observe.ProbeFailing || (r.State == observe.ProbeUnknown && p.State == string(observe.ProbeOK)) {
		p.State, p.Detail = string(r.State), line(r.Detail)
	}
	return all
}
