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
	labels  map[string]map[string]string // by id
	refused error                        // every creation and renaming
}

func (p *pair) Self() string { return "" }

func (p *pair) Container(_ context.Context, id string) (*container.InspectResponse, error) {
	running, there := p.running[id]
	if !there {
		return nil, observe.ErrNotFound
	}
	return &container.InspectResponse{ContainerJSONBase: &container.ContainerJSONBase{ID: id, Name: "/" + id, State: &container.State{Running: running}}, Config: &container.Config{Labels: p.labels[id]}}, nil
}

func (p *pair) CreateContainer(context.Context, string, spec.Container) (string, error) {
	return "", p.refused
}

func (p *pair) Rename(context.Context, string, string) error { return p.refused }

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

// TestUnseen: a name that another container of the same replica has is no failure of the job when it was planned without that one.
// One that somebody else's container has is, and one that was known to be taken.
func TestUnseen(t *testing.T) {
	own := map[string]string{spec.LabelProject: "shop", spec.LabelService: "api", spec.LabelNumber: "1"}
	for name, c := range map[string]struct {
		holder map[string]string
		known  string
		stale  bool
	}{
		"the same replica's":            {own, "", true},
		"the same replica's, not known": {own, "old", true},
		"the same replica's, known":     {own, "holder", false},
		"another replica's":             {map[string]string{spec.LabelProject: "shop", spec.LabelService: "api", spec.LabelNumber: "2"}, "", false},
		"another stack's":               {map[string]string{spec.LabelProject: "blog", spec.LabelService: "api", spec.LabelNumber: "1"}, "", false},
		"of no stack whatsoever":        {nil, "", false},
	} {
		taken := &observe.NameTaken{Name: "shop-api-1", Holder: "holder", Err: errors.New("conflict")}
		for _, s := range []plan.Step{
			{Op: plan.Create, Target: "shop-api-1", Create: &spec.Container{Config: &container.Config{Labels: own}}, Holder: c.known},
			{Op: plan.Rename, Target: "new", ID: "new", To: "shop-api-1", Holder: c.known},
		} {
			e := &pair{running: map[string]bool{"new": false, "holder": true}, labels: map[string]map[string]string{"new": own, "holder": c.holder}, refused: taken}
			err := (&Actor{Engine: e}).Run(t.Context(), plan.Job{Steps: []plan.Step{s}})
			if errors.Is(err, ErrStale) != c.stale || !errors.Is(err, observe.ErrNameTaken) {
				t.Errorf("%s, %s: %v", s.Op, name, err)
			}
		}
	}
}
