package view

import (
	"slices"
	"time"

	"composure/controller/plan"
	"composure/controller/store"
)

// beatCount is how many beats the Span has.
const beatCount = int(Span / time.Minute)

// beats are the verdicts of the minutes before now, the worst of each, and what it is now.
func beats(samples []store.Sample, verdict string, now time.Time) []string {
	all := make([]string, beatCount)
	for _, s := range samples {
		if at := beatCount - 1 - int(now.Sub(s.At)/time.Minute); s.Probe == store.SeriesVerdict && at >= 0 && at < beatCount {
			all[at] = worse(all[at], beatOf(s.Outcome))
		}
	}
	all[beatCount-1] = worse(all[beatCount-1], verdict)
	return all
}

// worse is the worse of two verdicts; empty is none.
func worse(a, b string) string {
	order := []string{"", string(plan.Recovered), string(plan.Pending), string(plan.Failed)}
	return order[max(slices.Index(order, a), slices.Index(order, b), 0)]
}

func beatOf(o store.SampleOutcome) string {
	switch o {
	case store.SampleSuccess:
		return string(plan.Recovered)
	case store.SampleFailure:
		return string(plan.Failed)
	}
	return string(plan.Pending)
}

// Series is what a look adds to the series that are kept of every service: its verdict, and its memory where that is
// known.
func Series(in Input, at time.Time) []store.Sample {
	outcomes := map[string]store.SampleOutcome{string(plan.Recovered): store.SampleSuccess, string(plan.Failed): store.SampleFailure}
	var all []store.Sample
	for _, svc := range in.Stack.Services {
		one := engineSays(in, svc)
		all = append(all, store.Sample{Service: svc.Name, Probe: store.SeriesVerdict, At: at, Outcome: outcomes[one.Verdict]})
		if one.Memory > 0 {
			all = append(all, store.Sample{Service: svc.Name, Probe: store.SeriesMemory, At: at, Bytes: one.Memory})
		}
	}
	return all
}
