package web

import (
	"crypto/rand"
	"slices"
	"sync"
	"time"

	"composure/controller/view"
)

// operation is an action that was begun here.
type operation struct {
	ID, Title string
	Action    Action
	Began     time.Time
	Ended     time.Time // zero: it goes on
	Text      string
	Good      bool
}

// How says in words how it stands.
func (o operation) How() string {
	switch {
	case o.Ended.IsZero():
		return "goes on"
	case o.Good:
		return "done"
	}
	return "not done"
}

// shown is the operation as programs see it.
func (o operation) shown() view.Action {
	v := view.NewAction(o.Action.Kind, o.Title, o.Action.Service, o.Action.Incident, o.Action.Person)
	began := o.Began.UTC()
	v.ID, v.State, v.Began, v.Said = o.ID, view.Running, &began, o.Text
	if !o.Ended.IsZero() {
		ended := o.Ended.UTC()
		v.State, v.Ended = view.Failed, &ended
		if o.Good {
			v.State = view.Done
		}
	}
	return v
}

// operations are the last ones, newest first. The zero value is empty.
type operations struct {
	mu  sync.Mutex
	all []*operation
}

const maxOperations = 10

func (o *operations) begin(title string, a Action, now time.Time) *operation {
	o.mu.Lock()
	defer o.mu.Unlock()
	one := &operation{ID: rand.Text()[:10], Title: title, Action: a, Began: now}
	o.all = slices.Insert(o.all, 0, one)
	o.all = o.all[:min(len(o.all), maxOperations)]
	return one
}

func (o *operations) end(one *operation, text string, good bool, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	one.Ended, one.Text, one.Good = now, text, good
}

// list returns copies.
func (o *operations) list() []operation {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []operation
	for _, one := range o.all {
		all = append(all, *one)
	}
	return all
}

// Bounds of plans that wait for somebody's word.
const (
	plansWait = 5 * time.Minute
	maxPlans  = 100
)

// plans are the actions whose plan was shown to a program, by the secret that has them carried out. The zero value is
// empty.
type plans struct {
	mu  sync.Mutex
	all map[string]waiting
}

type waiting struct {
	action Action
	until  time.Time
}

// show keeps an action, and returns the secret and how long it is good.
func (p *plans) show(a Action, now time.Time) (secret string, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, w := range p.all {
		if now.After(w.until) {
			delete(p.all, k)
		}
	}
	if p.all == nil || len(p.all) >= maxPlans {
		p.all = map[string]waiting{}
	}
	secret, until = rand.Text(), now.Add(plansWait)
	p.all[secret] = waiting{a, until}
	return secret, until
}

// take says whether the plan of this action was shown under this secret, which is good once.
func (p *plans) take(secret string, a Action, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	w, known := p.all[secret]
	if !known || w.action != a || now.After(w.until) {
		return false
	}
	delete(p.all, secret)
	return true
}
