package spec

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Position is where a key stands in a compose file.
type Position struct {
	File string // absolute
	Line int    // from 1; 0: unknown
}

// String renders file:line, or the file alone when the line is not known.
func (p Position) String() string {
	switch {
	case p.File == "":
		return ""
	case p.Line == 0:
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// Positions finds the place of a key. It is read-only after Load and safe for concurrent use; nil knows no place.
type Positions struct {
	documents []*document // highest priority first: the last file that sets a key wins
	bases     map[*document]map[string]base
	envFiles  map[string][]string // service → its env_files, as the file orders them
	sources   map[string]bool     // every file read
	keys      map[string]bool     // every key written in one of them
	partial   bool                // a file could not be read: keys may be missing
}

// base is the service that another one extends.
type base struct {
	in      *document
	service string
}

// Of returns the place of the key, or of the nearest enclosing key that stands in a file. Items of a list are named
// by index ("[1]", also as a suffix: "ports[1]"), or by what identifies them: the variable of an environment list,
// the target of a mount, the port.
func (p *Positions) Of(path ...string) Position {
	pos, _ := p.nearest(path)
	return pos
}

// nearest also returns how many elements of the path were found.
func (p *Positions) nearest(path []string) (Position, int) {
	if p == nil {
		return Position{}, 0
	}
	path = splitIndexes(path)
	for n := len(path); n > 0; n-- {
		if pos, ok := p.exact(path[:n]); ok {
			return pos, n
		}
	}
	if len(p.documents) == 0 {
		return Position{}, 0
	}
	return Position{File: p.documents[len(p.documents)-1].file}, 0
}

// exact returns the place of a key that stands in a file.
func (p *Positions) exact(path []string) (Position, bool) {
	if i := slices.IndexFunc(path, isIndex); i > 0 {
		return p.item(path, i)
	}
	for _, d := range p.documents {
		if d.included && !resource(path[0]) {
			continue
		}
		if pos, ok := p.inDocument(d, path, 0); ok {
			return pos, true
		}
	}
	if len(path) == 4 && path[0] == "services" && path[2] == "environment" {
		return inEnvFiles(p.envFiles[path[1]], path[3])
	}
	return Position{}, false
}

// resource says whether `include` takes over a top-level key.
func resource(key string) bool {
	return slices.Contains([]string{"services", "jobs", "volumes", "networks", "secrets", "configs", "models", "include"}, key)
}

// lost returns where included files write a top-level key that `include` does not take over.
func (p *Positions) lost(key string) []Position {
	var found []Position
	if p == nil {
		return nil
	}
	for _, d := range p.documents {
		if line := find(d.root, []string{key}); d.included && line > 0 {
			found = append(found, Position{File: d.file, Line: line})
		}
	}
	return found
}

// misplacement is a key that looks like the policy and is not read as it.
type misplacement struct {
	path []string
	pos  Position
}

// misplaced returns where the policy is written at a place where nothing reads it, such as a network, and where its name is
// misspelt. What stands in extensions of others is theirs.
func (p *Positions) misplaced() []misplacement {
	var found []misplacement
	if p == nil {
		return nil
	}
	for _, d := range p.documents {
		misplacedIn(d, target(d.root), nil, &found)
	}
	return found
}

func misplacedIn(d *document, node *yaml.Node, path []string, found *[]misplacement) {
	if node.Kind != yaml.MappingNode || len(path) > 3 {
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i].Value
		here := append(path[:len(path):len(path)], key)
		switch read := len(path) == 0 || len(path) == 2 && path[0] == "services"; {
		case key == extension && read:
		case key == extension, distance(key, extension) == 1:
			*found = append(*found, misplacement{here, Position{File: d.file, Line: node.Content[i].Line}})
		case strings.HasPrefix(key, "x-"), key == "labels", key == "environment":
		case node.Content[i+1].Kind == yaml.MappingNode:
			misplacedIn(d, node.Content[i+1], here, found)
		}
	}
}

// item finds an item of a list by its index. Files, and a service and what it extends, append to each other's lists, so
// the index counts through all of them.
func (p *Positions) item(path []string, at int) (Position, bool) {
	n, _ := index(path[at])
	for _, l := range p.lists(path[:at]) {
		if n >= len(l.node.Content) {
			n -= len(l.node.Content)
			continue
		}
		item := l.node.Content[n]
		if at == len(path)-1 {
			return Position{File: l.file, Line: item.Line}, true
		}
		line := find(item, path[at+1:])
		return Position{File: l.file, Line: line}, line > 0
	}
	return Position{}, false
}

// list is one written part of a list.
type list struct {
	file string
	node *yaml.Node
}

func (p *Positions) lists(path []string) []list {
	var parts []list
	for i := len(p.documents) - 1; i >= 0; i-- {
		if p.documents[i].included && !resource(path[0]) {
			continue
		}
		parts = p.listsIn(p.documents[i], path, parts, 0)
	}
	return parts
}

func (p *Positions) listsIn(d *document, path []string, before []list, depth int) []list {
	if len(path) > 2 && path[0] == "services" && depth <= maxExtends {
		if from, ok := p.bases[d][path[1]]; ok {
			inherited := append([]string{"services", from.service}, path[2:]...)
			before = p.listsIn(from.in, inherited, before, depth+1)
		}
	}
	node := lookup(d.root, path)
	if node == nil || node.Kind != yaml.SequenceNode {
		return before
	}
	if node.Tag == "!override" {
		before = nil
	}
	return append(before, list{d.file, node})
}

// scalarAt returns the plain value that the files write at the path.
func (p *Positions) scalarAt(path []string) (string, bool) {
	for _, d := range p.documents {
		if text, ok := scalar(d.root, path...); ok {
			return text, true
		}
	}
	return "", false
}

// maxExtends bounds a chain of extends, so that a cycle ends.
const maxExtends = 32

func (p *Positions) inDocument(d *document, path []string, depth int) (Position, bool) {
	if line := find(d.root, path); line > 0 {
		return Position{File: d.file, Line: line}, true
	}
	if len(path) < 3 || path[0] != "services" || depth > maxExtends {
		return Position{}, false
	}
	from, ok := p.bases[d][path[1]]
	if !ok {
		return Position{}, false
	}
	inherited := append([]string{"services", from.service}, path[2:]...)
	return p.inDocument(from.in, inherited, depth+1)
}

// splitIndexes turns "ports[1]" into "ports", "[1]".
func splitIndexes(path []string) []string {
	out := make([]string, 0, len(path))
	for _, element := range path {
		if i := strings.LastIndexByte(element, '['); i > 0 && isIndex(element[i:]) {
			out = append(out, element[:i], element[i:])
			continue
		}
		out = append(out, element)
	}
	return out
}

func isIndex(element string) bool {
	_, ok := index(element)
	return ok
}

// index reads "[3]".
func index(element string) (int, bool) {
	var i int
	if n, err := fmt.Sscanf(element, "[%d]", &i); n != 1 || err != nil || i < 0 {
		return 0, false
	}
	return i, strings.HasSuffix(element, "]")
}

// splitKey turns "deploy.resources" into a path.
func splitKey(key string) []string { return strings.Split(key, ".") }
