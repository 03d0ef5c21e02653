package incident

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// rule is one row of the runbook's escalation criteria: why an incident is escalated to a tier, or "".
type rule struct {
	tier   Tier
	why    func(a *advance, i *Incident) string
	always bool // also in a maintenance window: nobody means that
}

// rules are the escalation criteria, the weightiest first: each tier is told once, with the first reason that holds.
var rules = []rule{
	{DevOps, corruption, true},
	{DevOps, massFailure, false},
	{DevOps, budgetSpent, false},
	{DevOps, memoryPersists, false},
	{DevOps, deadlockAgain, false},
	{DevOps, recurs, false},
	{DevOps, repairedAgain, false},
	{DevOps, unresolved, false},
	{Emergency, dataLoss, true},
	{Emergency, attack, true},
	{Emergency, customersSeeIt, true},
}

func corruption(_ *advance, i *Incident) string {
	switch {
	case i.Cause == "data_corruption_suspected":
		return "data corruption suspected: " + i.Summary
	case i.Impact.Data == DataCompromised:
		return "data corruption suspected: an integrity check failed"
	}
	return ""
}

func massFailure(_ *advance, i *Incident) string {
	if i.Cause == "mass_failure" {
		return i.Summary
	}
	return ""
}

// defaultBudget is the attempts of a replica when no policy says otherwise; the runbook's "after 3 restart attempts".
const defaultBudget = 3

func budgetSpent(a *advance, i *Incident) string {
	if !i.ill() {
		return ""
	}
	if why := a.Exhausted[i.Service]; why != "" && i.Service != "" {
		return clean(why)
	}
	budget, failed := a.Budget[i.Service], map[string]int{}
	if budget <= 0 {
		budget = defaultBudget
	}
	for _, t := range i.Tried {
		if t.Counts && t.Outcome != "" && t.Verdict == "failed" {
			failed[t.Key]++
		}
		if failed[t.Key] >= budget {
			return fmt.Sprintf("%d attempts did not help: %s", failed[t.Key], i.Summary)
		}
	}
	return ""
}

// memoryPersists is memory that runs out again after the raise, or goes on to when the raise had its time to help.
func memoryPersists(a *advance, i *Incident) string {
	raised := a.Raised[i.Service]
	if !i.ill() || raised.IsZero() || !strings.HasPrefix(i.Cause, "memory_") {
		return ""
	}
	goesOn := a.diagnoses[i.Service] != nil && !a.Now.Before(raised.Add(settle))
	if i.IllSince.After(raised) || goesOn {
		return "memory runs out although the limit was raised at " + clock(raised)
	}
	return ""
}

func deadlockAgain(_ *advance, i *Incident) string {
	if i.Deadlocks >= 2 {
		return fmt.Sprintf("the application has hung %d times, and its cause is not known", i.Deadlocks)
	}
	return ""
}

func recurs(_ *advance, i *Incident) string {
	if i.Recurrence != "" {
		return "the same as " + i.Recurrence + ", again"
	}
	return ""
}

// repairedAgain is what the engine makes good again and again before the incident is over: it recurs all the same.
func repairedAgain(_ *advance, i *Incident) string {
	if i.Repaired > 1 {
		return fmt.Sprintf("it happened %d times, and the engine started it again each time: %s", i.Repaired, i.Summary)
	}
	return ""
}

func unresolved(a *advance, i *Incident) string {
	if limit := a.Policy.Unresolved; limit > 0 && i.ill() && !a.Now.Before(i.Detected.Add(limit)) {
		return "unresolved for " + short(limit) + ": " + i.Summary
	}
	return ""
}

func dataLoss(_ *advance, i *Incident) string {
	if i.Cause == "data_loss" {
		return "data loss: " + i.Summary
	}
	return ""
}

// attack needs a fact of the engine or of a probe: containers write their own logs (safety rule 8).
func attack(_ *advance, i *Incident) string {
	if i.Cause == "unusual_errors" && len(i.Proof) > 0 {
		return "unusual errors, a breach is possible: " + i.Summary
	}
	return ""
}

func customersSeeIt(_ *advance, i *Incident) string {
	if i.Impact.Confirmed {
		return "customer-facing impact is confirmed"
	}
	return ""
}

// escalate calls people: each tier once an incident, again while nobody has acknowledged it, and at last with the good
// news.
func (a *advance) escalate() {
	if i, why := a.outage(); i != nil {
		a.tell(i, Emergency, why)
	}
	for _, i := range a.live {
		if i.ExplainedBy == "" {
			for _, r := range rules {
				if why := r.why(a, i); why != "" && i.State != Resolved && (r.always || a.Window[i.Service] == "") {
					a.tell(i, r.tier, why)
				}
			}
		}
		if i.State == Resolved {
			a.announced = append(a.announced, i.toldOf("resolved", i.last("resolved"), a.Now)...)
		} else {
			a.remind(i)
		}
	}
}

// tell escalates to a tier that was not told yet.
func (a *advance) tell(i *Incident, tier Tier, why string) {
	if _, told := i.Escalated[tier]; told {
		return
	}
	if i.Escalated == nil {
		i.Escalated, i.Reasons = map[Tier]time.Time{}, map[Tier]string{}
	}
	i.Escalated[tier], i.Reasons[tier], i.Announced = a.Now, why, a.Now
	i.note(a.Now, "escalated", string(tier)+": "+why)
	a.announced = append(a.announced, i.announcement(tier, "escalated", why, a.Now))
}

// longestSilence is the longest time between two announcements of an incident that nobody acknowledges. The time starts
// with the policy's and doubles: an incident over a weekend is not a hundred messages.
const longestSilence = 24 * time.Hour

// remind announces again what nobody has acknowledged. Who acknowledged before a tier was called has not done so for it.
func (a *advance) remind(i *Incident) {
	if a.Policy.Acknowledge <= 0 || !i.ill() || i.ExplainedBy != "" || a.Window[i.Service] != "" {
		return
	}
	told := i.Announced
	for _, tier := range tiers {
		called, is := i.Escalated[tier]
		if !is || (!i.AckAt.IsZero() && !i.AckAt.Before(called)) {
			continue
		}
		n := i.Reminded[tier]
		silence := min(a.Policy.Acknowledge<<min(n, 20), longestSilence)
		if a.Now.Before(told.Add(silence)) {
			continue
		}
		if i.Reminded == nil {
			i.Reminded = map[Tier]int{}
		}
		i.Reminded[tier], i.Announced = n+1, a.Now
		a.announced = append(a.announced, i.announcement(tier, fmt.Sprintf("reminded-%d", n+1), i.Reasons[tier], a.Now))
	}
}

// toldOf is an announcement to every tier that was called.
func (i *Incident) toldOf(kind, reason string, at time.Time) []Announcement {
	var all []Announcement
	for _, tier := range tiers {
		if _, told := i.Escalated[tier]; told {
			all = append(all, i.announcement(tier, kind, reason, at))
		}
	}
	return all
}

func (i *Incident) announcement(tier Tier, kind, reason string, at time.Time) Announcement {
	key := strings.Join([]string{i.ID, string(tier), kind}, "/")
	return Announcement{Key: key, Incident: i.ID, Tier: tier, Kind: kind, Reason: reason, At: at}
}

// Announcements are the last ones that an incident called for, as far as it remembers. A process that starts puts them
// into the outbox again: one that died after it saved the incident may not have done it, and the outbox keeps anything
// from being told twice.
func Announcements(i Incident) []Announcement {
	var all []Announcement
	for _, tier := range tiers {
		called, told := i.Escalated[tier]
		if !told {
			continue
		}
		all = append(all, i.announcement(tier, "escalated", i.Reasons[tier], called))
		if n := i.Reminded[tier]; n > 0 {
			all = append(all, i.announcement(tier, fmt.Sprintf("reminded-%d", n), i.Reasons[tier], i.Announced))
		}
		if i.AckBy != "" && !i.AckAt.Before(called) {
			all = append(all, i.announcement(tier, "acknowledged", "acknowledged by "+i.AckBy, i.AckAt))
		}
		if i.State == Resolved {
			all = append(all, i.announcement(tier, "resolved", i.last("resolved"), i.ResolvedAt))
		}
	}
	for n := range all {
		all[n].Body = i.clone()
	}
	return all
}

// last is the text of the last event of a kind.
func (i *Incident) last(kind string) string {
	for _, e := range slices.Backward(i.Timeline) {
		if e.Kind == kind {
			return e.Text
		}
	}
	return ""
}

// Ack takes an incident over: by is who, at is when. Nobody is reminded of it again, and the tiers that were called are
// told. An incident that was acknowledged before, or is resolved, stays as it is.
func Ack(i Incident, by string, at time.Time) Change {
	if i.State == Resolved || (i.AckBy != "" && !slices.ContainsFunc(tiers, func(t Tier) bool { return i.Escalated[t].After(i.AckAt) })) {
		return Change{}
	}
	i = i.clone()
	i.AckBy, i.AckAt = clean(by), at.UTC()
	if i.State == Open {
		i.State = Acknowledged
	}
	i.note(at, "acknowledged", "by "+i.AckBy)
	return i.told("acknowledged", "acknowledged by "+i.AckBy, at.UTC())
}

// Confirm records that customers saw the incident, which calls the emergency tier at the next pass, or here and now when
// nobody else is told: the announcement is the same one. An incident that is resolved may be confirmed as well; it is
// recorded, and nobody is called.
func Confirm(i Incident, by string, at time.Time) Change {
	if i.Impact.Confirmed {
		return Change{}
	}
	i = i.clone()
	i.Impact.Confirmed = true
	i.note(at, "confirmed", "customer-facing impact, by "+clean(by))
	a := &advance{Observation: Observation{Now: at.UTC()}}
	if i.State != Resolved {
		a.tell(&i, Emergency, customersSeeIt(a, &i))
	}
	for n := range a.announced {
		a.announced[n].Body = i.clone()
	}
	return Change{Changed: []Incident{i}, Announce: a.announced}
}

// Resolve closes an incident by hand. If its cause is still there, the next pass opens another one, as a recurrence.
func Resolve(i Incident, by string, at time.Time) Change {
	if i.State == Resolved {
		return Change{}
	}
	i = i.clone()
	i.resolve(at.UTC(), "by "+clean(by))
	return i.told("resolved", "resolved by "+clean(by), at.UTC())
}

// told is the change of one incident, announced to the tiers that were called.
func (i Incident) told(kind, reason string, at time.Time) Change {
	c := Change{Changed: []Incident{i}, Announce: i.toldOf(kind, reason, at)}
	for n := range c.Announce {
		c.Announce[n].Body = i.clone()
	}
	return c
}
