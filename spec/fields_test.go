package spec

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/google/go-cmp/cmp"
)

// TestEveryFieldIsClassified fails when compose-go learns a key of services that nobody has decided about.
func TestEveryFieldIsClassified(t *testing.T) {
	want := serviceKeys(reflect.TypeFor[types.ServiceConfig]())
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(fieldClasses))); diff != "" {
		t.Errorf("keys of a service (-compose-go +fieldClasses):\n%s", diff)
	}
}

// serviceKeys lists the YAML keys of a struct and of those it inlines.
func serviceKeys(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case f.Anonymous && strings.Contains(options, "inline"):
			keys = append(keys, serviceKeys(f.Type)...)
		case name != "-" && !strings.HasPrefix(name, "#"):
			keys = append(keys, name)
		}
	}
	return keys
}

// TestRefusedFieldsAreNamed uses every refused and ignored key, and expects Container to name each.
func TestRefusedFieldsAreNamed(t *testing.T) {
	values := map[string]string{
		"credential_spec": "{file: spec.json}",
		"models":          "[llm]",
		"post_start":      "[{command: [echo, hi]}]",
		"pre_start":       "[{command: [echo, hi]}]",
		"pre_stop":        "[{command: [echo, hi]}]",
		"provider":        "{type: cloud}",
		"umask":           "18",
		"use_api_socket":  "true",
	}
	for key, class := range fieldClasses {
		if class != FieldRefused {
			continue
		}
		t.Run(key, func(t *testing.T) {
			file := "services:\n  web:\n    image: app:1\n    " + key + ": " + values[key] + "\nmodels:\n  llm:\n    model: ai/llm\n"
			stack := loadText(t, file)
			c, err := stack.Container(stack.Service("web"), 1, Facts{})
			if err != nil {
				t.Fatal(err)
			}
			named := slices.ContainsFunc(c.Unable, func(u Unable) bool { return u.Key == "services.web."+key && u.Pos.Line == 4 })
			if !named {
				t.Errorf("%s is not named: %+v", key, c.Unable)
			}
		})
	}
}
