package plan

import "time"

// Verdict is the answer to "did it work?".
type Verdict string

// Verdicts.
const (
	Recovered Verdict = "recovered"
	Pending   Verdict = "pending"
	Failed    Verdict = "failed"
)

// Judgement is a verdict on one container, with its reason, and while it is pending the time to ask again.
type Judgement struct {
	Verdict Verdict
	Reason  string
	Until   time.Time
}

// Attempt is one job that was begun.
type Attempt struct {
	Key     string
	Service string
	Kind    string
	Cause   string
	Counts  bool      // against the budget
	At      time.Time // when it ended; when it began while it has no outcome
	Outcome Outcome
	Reason  string // of a failure
}

// Outcome of an attempt. An attempt without one was cut short: nobody knows how far it came.
type Outcome string

// Outcomes.
const (
	Done    Outcome = "done"
	Failure Outcome = "failed"
	Unknown Outcome = "unknown" // no answer in time: the engine may still do it
	Stale   Outcome = "stale"   // the target had changed; nothing was done
)
