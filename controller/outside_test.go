package controller

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"composure/controller/observe"
	"composure/spec"
	"composure/test/fixture"
)

const applied = `
services:
  web:
    image: web:1
  worker:
    image: worker:1
    network_mode: service:web
  old:
    image: old:1
`

// TestDeployedOutside: what runs as the file says, and was not applied, is what somebody else has deployed.
func TestDeployedOutside(t *testing.T) {
	edited := strings.Replace(applied, "image: web:1", "image: web:1\n    environment: {A: b}", 1)
	scaled := strings.Replace(applied, "image: web:1", "image: web:1\n    scale: 2", 1)
	replaced := strings.Replace(applied, "  old:\n    image: old:1", "  new:\n    image: new:1", 1)
	moved := func(s *observe.Snapshot) {
		for i := range s.Containers {
			if s.Containers[i].Service == "web" {
				s.Refs["web:1"], s.Containers[i].Inspect.Image = "sha256:moved", "sha256:moved"
			}
		}
	}
	for name, c := range map[string]struct {
		file, runs string // the file, and the one that what runs was made from
		then       func(*observe.Snapshot)
		returned   bool // web is rolled back
		want       []string
	}{
		"nothing differs":                          {file: applied, runs: applied},
		"edited, and nobody has deployed it":       {file: edited, runs: applied},
		"edited and deployed":                      {file: edited, runs: edited, want: []string{"web"}},
		"edited and deployed, which ends a return": {file: edited, runs: edited, returned: true, want: []string{"web"}},
		"changed by hand, and not in the file":     {file: applied, runs: edited},
		"edited and deployed by Composure, which has not said so yet": {file: edited, runs: edited, then: func(s *observe.Snapshot) {
			s.Containers[slices.IndexFunc(s.Containers, func(c observe.Container) bool { return c.Service == "web" })].Inspect.Config.Labels[spec.LabelRecreates] = "before"
		}},
		"scaled and deployed":             {file: scaled, runs: scaled, want: []string{"web"}},
		"scaled, and nobody has deployed": {file: scaled, runs: applied},
		"one replica of two is as the file": {file: scaled, runs: scaled, then: func(s *observe.Snapshot) {
			s.Containers = slices.DeleteFunc(s.Containers, func(c observe.Container) bool { return c.Service == "web" && c.Number == 2 })
		}},
		"a new image under the same name":        {file: applied, runs: applied, then: moved, want: []string{"web"}},
		"a new image, and a rollback in force":   {file: applied, runs: applied, then: moved, returned: true},
		"a new image that nothing runs yet":      {file: applied, runs: applied, then: func(s *observe.Snapshot) { s.Refs["web:1"] = "sha256:moved" }},
		"one service in the place of another":    {file: replaced, runs: replaced, want: []string{"new", "old"}},
		"taken out of the file, and still there": {file: strings.Replace(applied, "  old:\n    image: old:1", "", 1), runs: applied},
		"what could not be read": {file: replaced, runs: replaced, then: func(s *observe.Snapshot) {
			s.Gaps = append(s.Gaps, observe.Gap{Subject: "container app-old-1", Service: "old", Err: "no answer"})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			before := fixture.LoadText(t, applied)
			d := Desired{Applied: before, Images: map[string]string{}, Returned: map[string]time.Time{}}
			for _, svc := range before.Services {
				d.Images[svc.Name] = fixture.ImageID(svc.Image)
			}
			if c.returned {
				d.Returned["web"] = fixture.Started
			}
			s := fixture.Made(t, fixture.LoadText(t, c.runs))
			if c.then != nil {
				c.then(s)
			}
			got := slices.Sorted(maps.Keys(DeployedOutside(fixture.LoadText(t, c.file), d, s)))
			if !slices.Equal(got, c.want) {
				t.Errorf("deployed outside: %v, want %v", got, c.want)
			}
		})
	}
}
