package act

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/docker/docker/api/types/container"

	"composure/controller/observe"
	"composure/controller/plan"
	"composure/spec"
)

// pair is an engine with the two containers of a recreation.
type pair struct {
	Engine
	running map[string]bool // id → state; absent: there is none
	started []string
	labels  map[string]string // of all
	refused error             // every creation
}

func (p *pair) Self() string { return "" }

func (p *pair) Container(_ context.Context, id string) (*container.InspectResponse, error) {
	running, there := p.running[id]
	if !there {
		return nil, observe.ErrNotFound
	}
	return &container.InspectResponse{ContainerJSONBase: &container.ContainerJSONBase{ID: id, Name: "/" + id, State: &container.State{Running: running}}, Config: &container.Config{Labels: p.labels}}, nil
}

func (p *pair) CreateContainer(context.Context, string, spec.Container) (string, error) {
	return "", p.refused
}

func (p *pair) Start(_ context.Context, id string) error {
	p.started = append(p.started, id)
	return nil
}

// TestStartAlone: of the two containers of a recreation one is started only while the other does not run: it may have been
// started by hand since it was looked at.
func TestStartAlone(t *testing.T) {
	for name, c := range map[string]struct {
		running map[string]bool
		beside  string
		starts  bool
	}{
		"the other is stopped":            {map[string]bool{"new": false, "old": false}, "old", true},
		"the other runs":                  {map[string]bool{"new": false, "old": true}, "old", false},
		"the other is gone":               {map[string]bool{"new": false}, "old", true},
		"there is no other":               {map[string]bool{"new": false, "old": true}, "", true},
		"it runs itself, and not as said": {map[string]bool{"new": true, "old": false}, "old", false},
	} {
		e := &pair{running: c.running}
		err := (&Actor{Engine: e}).Run(t.Context(), plan.Job{Steps: []plan.Step{
			{Op: plan.Start, Target: "new", ID: "new", Beside: c.beside, Expect: plan.Expect{Name: "new", Stopped: true}},
		}})
		if started := slices.Equal(e.started, []string{"new"}); started != c.starts || (err == nil) != c.starts || err != nil && !errors.Is(err, ErrStale) {
			t.Errorf("%s: started %v, error %v", name, e.started, err)
		}
	}
}

// TestCreateUnseen: a name that another container of the same replica has is no failure of the job: it was planned without it. One that
// somebody else's container has is.
func TestCreateUnseen(t *testing.T) {
	own := map[string]string{spec.LabelProject: "shop", spec.LabelService: "api", spec.LabelNumber: "1"}
	for name, c := range map[string]struct {
		holder map[string]string
		stale  bool
	}{
		"the same replica's":     {own, true},
		"another replica's":      {map[string]string{spec.LabelProject: "shop", spec.LabelService: "api", spec.LabelNumber: "2"}, false},
		"another stack's":        {map[string]string{spec.LabelProject: "blog", spec.LabelService: "api", spec.LabelNumber: "1"}, false},
		"of no stack whatsoever": {nil, false},
	} {
		taken := &observe.NameTaken{Name: "shop-api-1", Holder: "holder", Err: errors.New("conflict")}
		e := &pair{running: map[string]bool{"holder": true}, labels: c.holder, refused: taken}
		err := (&Actor{Engine: e}).Run(t.Context(), plan.Job{Steps: []plan.Step{
			{Op: plan.Create, Target: "shop-api-1", Create: &spec.Container{Config: &container.Config{Labels: own}}},
		}})
		if errors.Is(err, ErrStale) != c.stale || !errors.Is(err, observe.ErrNameTaken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
