package spec

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	composeschema "github.com/compose-spec/compose-go/v2/schema"
)

var (
	schemaPath       = regexp.MustCompile(`(?s)^(\S*) (.*)$`)
	schemaProperties = regexp.MustCompile(`additional properties (.*) not allowed`)
	schemaMissing    = regexp.MustCompile(`missing propert(?:y|ies) (.*)`)
	schemaOneOf      = regexp.MustCompile(`value must be one of (.*)`)
	schemaType       = regexp.MustCompile(`^must be a (.*)$`)
)

// schema explains what the compose schema refused.
func (x *explainer) schema(said string) *Error {
	m := schemaPath.FindStringSubmatch(said)
	if m == nil {
		return &Error{Pos: x.first(), Problem: oneLine(said), Fix: "correct the file"}
	}
	path, said := keyPath(m[1]), m[2]
	if p := schemaProperties.FindStringSubmatch(said); p != nil {
		key := strings.Trim(strings.Split(p[1], ", ")[0], "'")
		return x.unknownKey(append(path, key))
	}
	switch p := schemaMissing.FindStringSubmatch(said); {
	case said == "false schema":
		return x.unknownKey(path)
	case p != nil:
		return x.placed(path, strings.ReplaceAll(p[1], "'", "")+" is missing", "add it")
	}
	if p := schemaOneOf.FindStringSubmatch(said); p != nil {
		return x.placed(path, "is not accepted", "accepted are "+strings.ReplaceAll(p[1], "'", ""))
	}
	if p := schemaType.FindStringSubmatch(said); p != nil {
		return x.wrongType(path, "")
	}
	if _, pattern, ok := strings.Cut(said, "does not match pattern "); ok {
		if path[len(path)-1] == "pull_policy" {
			return x.placed(path, "is not a pull policy", pullPolicies)
		}
		return x.placed(path, "does not have the form expected", "it must match "+pattern)
	}
	return x.placed(path, oneLine(Mask(path[len(path)-1], said)), "correct it")
}

func (x *explainer) placed(path []string, problem, fix string) *Error {
	return &Error{Pos: x.positions.Of(path...), Key: keyText(path), Problem: problem, Fix: fix}
}

func (x *explainer) unknownKey(path []string) *Error {
	key, parent := path[len(path)-1], path[:len(path)-1]
	if len(parent) == 1 && slices.Contains([]string{"services", "networks", "volumes", "secrets", "configs"}, parent[0]) {
		return x.placed(path, "is not a valid name", "use letters, digits, _, . and -")
	}
	fix := "remove it, or start it with x-"
	if near := nearest(key, schemaKeys(parent)); near != "" {
		fix = fmt.Sprintf("did you mean %q?", near)
	} else if len(parent) == 0 {
		fix = "services stand below services:"
	}
	return x.placed(path, "unknown key", fix)
}

// wrongType names the kinds of value that the schema accepts at the path.
func (x *explainer) wrongType(path []string, is string) *Error {
	kinds := schemaKinds(path)
	problem := "must be " + strings.Join(kinds, " or ")
	if text, ok := x.positions.scalarAt(path); ok && isNumber(strings.TrimPrefix(text, "-")) && slices.Contains(kinds, "a number") {
		return x.placed(path, "is out of range", "see the compose file reference")
	}
	if len(kinds) == 0 {
		problem = "is of the wrong type"
	}
	if is != "" {
		problem += ", not " + is
	}
	fix := "write it that way"
	switch {
	case len(kinds) == 1 && kinds[0] == "a text":
		fix = "put it in quotes"
	case slices.Contains(kinds, "a list"):
		fix = `write each item with a leading "- "`
	case slices.Contains(kinds, "a mapping"):
		fix = "write keys below it, one a line"
	}
	return x.placed(path, problem, fix)
}

func kindOfGo(name string) string {
	switch {
	case strings.HasPrefix(name, "map"):
		return "a mapping"
	case strings.HasPrefix(name, "["):
		return "a list"
	case name == "string":
		return "a text"
	}
	return ""
}

// schemaNode is the part of the compose schema that tells keys and kinds.
type schemaNode struct {
	Ref        string                 `json:"$ref"`
	Type       any                    `json:"type"`
	Properties map[string]*schemaNode `json:"properties"`
	Patterns   map[string]*schemaNode `json:"patternProperties"`
	Additional any                    `json:"additionalProperties"`
	Items      *schemaNode            `json:"items"`
	OneOf      []*schemaNode          `json:"oneOf"`
	AnyOf      []*schemaNode          `json:"anyOf"`
	AllOf      []*schemaNode          `json:"allOf"`
	Defs       map[string]*schemaNode `json:"$defs"`
	OldDefs    map[string]*schemaNode `json:"definitions"`
}

var composeSchema = sync.OnceValue(func() *schemaNode {
	root := &schemaNode{}
	if err := json.Unmarshal([]byte(composeschema.Schema), root); err != nil {
		return &schemaNode{}
	}
	return root
})

// alternatives are the nodes that a node may stand for.
func (n *schemaNode) alternatives() []*schemaNode {
	if n == nil {
		return nil
	}
	if n.Ref != "" {
		name := n.Ref[strings.LastIndexByte(n.Ref, '/')+1:]
		root := composeSchema()
		if def, ok := root.Defs[name]; ok {
			return def.alternatives()
		}
		return root.OldDefs[name].alternatives()
	}
	list := []*schemaNode{n}
	for _, group := range [][]*schemaNode{n.OneOf, n.AnyOf, n.AllOf} {
		for _, alternative := range group {
			list = append(list, alternative.alternatives()...)
		}
	}
	return list
}

// schemaAt returns the nodes that describe the value at a path.
func schemaAt(path []string) []*schemaNode {
	nodes := composeSchema().alternatives()
	for _, element := range path {
		var next []*schemaNode
		for _, n := range nodes {
			if isIndex(element) {
				next = append(next, n.Items.alternatives()...)
				continue
			}
			if property, ok := n.Properties[element]; ok {
				next = append(next, property.alternatives()...)
				continue
			}
			for pattern, value := range n.Patterns {
				if matched, err := regexp.MatchString(pattern, element); err == nil && matched {
					next = append(next, value.alternatives()...)
				}
			}
		}
		nodes = next
	}
	return nodes
}

func schemaKeys(path []string) []string {
	keys := map[string]bool{}
	for _, n := range schemaAt(path) {
		for key := range n.Properties {
			keys[key] = true
		}
	}
	return slices.Sorted(maps.Keys(keys))
}

// schemaKinds are what people call the types accepted at a path.
func schemaKinds(path []string) []string {
	names := map[string]string{"object": "a mapping", "array": "a list", "string": "a text", "integer": "a number", "number": "a number", "boolean": "true or false"}
	kinds := map[string]bool{}
	for _, n := range schemaAt(path) {
		types, ok := n.Type.([]any)
		if !ok {
			types = []any{n.Type}
		}
		for _, t := range types {
			if name, ok := names[fmt.Sprint(t)]; ok {
				kinds[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(kinds))
}
