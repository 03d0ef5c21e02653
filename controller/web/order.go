package web

import (
	"context"
	"slices"
	"time"

	"composure/controller/view"
)

// Programs act in two steps, as people do: the first request shows the plan and gets a secret, the second, which brings
// it, has the plan carried out.

// actionParams are what an action is asked for with.
var actionParams = []param{
	{name: "kind", in: "path", about: "One of the kinds that GET " + root + "/actions lists."},
	{name: "service", in: "body", about: "Service that it is about; empty: the stack, where that is possible."},
	{name: "incident", in: "body", about: "Id of the incident that it is about."},
	{name: "revision", in: "body", about: "Of a rollback: the revision to go back to; empty: the last that was proven stable."},
	{name: "reason", in: "body", about: "Why, for whoever reads the history."},
	{name: "person", in: "body", about: "Who asks, for whoever reads the history."},
	{name: "confirm", in: "body", about: "What the answer with the plan said; good once, for five minutes, for the same action."},
}

// refused is why an action is not done.
type refused string

func (r refused) Error() string { return string(r) }

// order shows the plan of an action, or carries out one whose plan was shown.
func (s *Server) order(ctx context.Context, v values) (view.Action, error) {
	k, a, err := asked(v["kind"], func(name string) string { return v[name] })
	if err != nil {
		return view.Action{}, err
	}
	if a.Person == "" {
		a.Person = "a program with the token"
	}
	if v["confirm"] == "" {
		return s.planned(ctx, k, a)
	}
	if !s.plans.take(v["confirm"], a, time.Now()) {
		return view.Action{}, refused("confirm: no plan of this very action was shown under this in the last five minutes, or it was carried out; ask again without it")
	}
	id, ended := s.begin(ctx, k, a)
	timer := time.NewTimer(soon)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	}
	return s.operation(id), nil
}

// planned shows what an action would do.
func (s *Server) planned(ctx context.Context, k kind, a Action) (view.Action, error) {
	plan, err := s.Actor.Preview(ctx, a)
	if err != nil {
		return view.Action{}, refused(err.Error())
	}
	v := view.NewAction(k.name, k.Title(a), a.Service, a.Incident, a.Person)
	secret, until := s.plans.show(a, time.Now())
	until = until.UTC()
	v.State, v.Plan, v.Confirm, v.Until = view.Planned, plan, secret, &until
	return v, nil
}

// operation is an action that was begun.
func (s *Server) operation(id string) view.Action {
	all := s.operations.list()
	if i := slices.IndexFunc(all, func(o operation) bool { return o.ID == id }); i >= 0 {
		return all[i].shown()
	}
	return view.Action{} // ten others were begun meanwhile
}

// begun are the actions that were begun, and those that there are.
func (s *Server) begun() view.Actions {
	var known []view.ActionKind
	for _, k := range kinds {
		known = append(known, view.ActionKind{Kind: k.name, About: k.about, Of: k.of})
	}
	var begun []view.Action
	for _, o := range s.operations.list() {
		begun = append(begun, o.shown())
	}
	return view.NewActions(s.Stack, known, begun)
}
