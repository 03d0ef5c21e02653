package view

import (
	"testing"
	"time"

	"composure/controller/store"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// sample is one answer of a probe, so long before noon.
func sample(ago time.Duration, latency time.Duration, outcome store.SampleOutcome) store.Sample {
	return store.Sample{Probe: "http", At: noon.Add(-ago), Latency: latency, Outcome: outcome}
}

func TestSparkline(t *testing.T) {
	ms := time.Millisecond
	for name, c := range map[string]struct {
		samples []store.Sample
		want    string
	}{
		"nothing":              {nil, "····················"},
		"steady":               {[]store.Sample{sample(0, 5*ms, store.SampleSuccess), sample(4*time.Minute, 5*ms, store.SampleSuccess)}, "··················▁▁"},
		"slower":               {[]store.Sample{sample(4*time.Minute, 5*ms, store.SampleSuccess), sample(0, 500*ms, store.SampleSuccess)}, "··················▁█"},
		"no time at all":       {[]store.Sample{sample(8*time.Minute, 0, store.SampleSuccess), sample(4*time.Minute, 100*ms, store.SampleSuccess), sample(0, 200*ms, store.SampleSuccess)}, "·················▁▄█"},
		"failed":               {[]store.Sample{sample(0, 5*ms, store.SampleSuccess), sample(0, 5*ms, store.SampleFailure)}, "···················!"},
		"unknown is not drawn": {[]store.Sample{sample(0, 5*ms, store.SampleUnknown)}, "····················"},
		"too old":              {[]store.Sample{sample(2*time.Hour, 5*ms, store.SampleSuccess)}, "····················"},
		"of the future":        {[]store.Sample{sample(-time.Hour, 5*ms, store.SampleSuccess)}, "····················"},
	} {
		if got := sparkline(columnsOf(c.samples, noon)); got != c.want {
			t.Errorf("%s: %s, expected %s", name, got, c.want)
		}
	}
}

func TestProbesOf(t *testing.T) {
	var samples []store.Sample
	for i := range 100 {
		samples = append(samples, sample(0, time.Duration(i+1)*time.Millisecond, store.SampleSuccess))
	}
	samples = append(samples, sample(0, 0, store.SampleFailure))
	got := probesOf(samples, noon)
	if len(got) != 1 || got[0].P50 != 50 || got[0].P95 != 95 || got[0].Asked != 101 || got[0].Failures != 1 {
		t.Errorf("got %+v", got)
	}
}
