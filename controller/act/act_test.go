package act

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/docker/docker/api/types/container"

	"composure/controller/observe"
	"composure/controller/plan"
)

// pair is an engine with the two containers of a recreation.
type pair struct {
	Engine
	running map[string]bool // id → state; absent: there is none
	started []string
}

func (p *pair) Self() string { return "" }

func (p *pair) Container(_ context.Context, id string) (*container.InspectResponse, error) {
	running, there := p.running[id]
	if !there {
		return nil, observe.ErrNotFound
	}
	return &container.InspectResponse{ContainerJSONBase: &container.ContainerJSONBase{ID: id, Name: "/" + id, State: &container.State{Running: running}}}, nil
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
