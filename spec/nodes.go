package spec

import (
	"bytes"
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// document is one YAML document of one file.
type document struct {
	file     string
	root     *yaml.Node
	included bool // by `include`, which takes over resources only, not what stands beside them
}

// parse reads all documents of a file, as far as they are valid YAML: loading reports the rest.
func parse(file string, content []byte) []*document {
	var documents []*document
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	for {
		var node yaml.Node
		if decoder.Decode(&node) != nil {
			return documents
		}
		if node.Kind == yaml.DocumentNode && len(node.Content) == 1 {
			documents = append(documents, &document{file: file, root: node.Content[0]})
		}
	}
}

// noteKeys notes every key of every mapping.
func noteKeys(node *yaml.Node, keys map[string]bool) {
	for i, part := range node.Content {
		if node.Kind == yaml.MappingNode && i%2 == 0 {
			keys[part.Value] = true
		}
		noteKeys(part, keys)
	}
}

// find returns the line where the key at the path is written, through aliases and merge keys, or 0.
func find(node *yaml.Node, path []string) int {
	line := 0
	for _, element := range path {
		if node == nil {
			return 0
		}
		line, node = child(node, element)
		if line == 0 {
			return 0
		}
	}
	return line
}

// child returns the line of a key (or list item) and its value.
func child(node *yaml.Node, element string) (int, *yaml.Node) {
	node = target(node)
	switch node.Kind {
	case yaml.MappingNode:
		return mappingChild(node, element, nil)
	case yaml.SequenceNode:
		return sequenceChild(node, element)
	}
	return 0, nil
}

// mappingChild looks at the mapping's own keys first, then at what it merges, as YAML does. Each mapping is looked at
// once: merges may form diamonds.
func mappingChild(node *yaml.Node, key string, seen map[*yaml.Node]bool) (int, *yaml.Node) {
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return node.Content[i].Line, node.Content[i+1]
		}
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value != "<<" {
			continue
		}
		if seen == nil {
			seen = map[*yaml.Node]bool{}
		}
		for _, merged := range mergedMappings(node.Content[i+1]) {
			if seen[merged] {
				continue
			}
			seen[merged] = true
			if line, value := mappingChild(merged, key, seen); line > 0 {
				return line, value
			}
		}
	}
	return 0, nil
}

func mergedMappings(node *yaml.Node) []*yaml.Node {
	node = target(node)
	switch node.Kind {
	case yaml.MappingNode:
		return []*yaml.Node{node}
	case yaml.SequenceNode:
		var mappings []*yaml.Node
		for _, item := range node.Content {
			if item = target(item); item.Kind == yaml.MappingNode {
				mappings = append(mappings, item)
			}
		}
		return mappings
	}
	return nil
}

// target follows aliases.
func target(node *yaml.Node) *yaml.Node {
	for i := 0; node.Kind == yaml.AliasNode && node.Alias != nil && i < maxExtends; i++ {
		node = node.Alias
	}
	return node
}

func sequenceChild(node *yaml.Node, element string) (int, *yaml.Node) {
	if i, ok := index(element); ok {
		if i < len(node.Content) {
			return node.Content[i].Line, node.Content[i]
		}
		return 0, nil
	}
	for _, item := range node.Content {
		if identifies(target(item), element) {
			return item.Line, item
		}
	}
	if i, err := strconv.Atoi(element); err == nil && i >= 0 && i < len(node.Content) {
		return node.Content[i].Line, node.Content[i]
	}
	return 0, nil
}

// identities are the keys that tell the items of compose's lists apart.
var identities = []string{"target", "source", "name", "path", "published", "type"}

// identifies says whether a list item is the one that the element names: FOO of "FOO=bar", /data of "vol:/data:ro",
// 80 of "8080:80/tcp", or a mapping with that target, source, name or path.
func identifies(item *yaml.Node, element string) bool {
	if item.Kind == yaml.MappingNode {
		for _, key := range identities {
			if _, value := mappingChild(item, key, nil); value != nil && target(value).Value == element {
				return true
			}
		}
		return false
	}
	if item.Kind != yaml.ScalarNode || element == "" {
		return false
	}
	text := item.Value
	if text == element || strings.HasPrefix(text, element+"=") {
		return true
	}
	if strings.Contains(text, "=") {
		return false
	}
	for part := range strings.SplitSeq(text, ":") {
		if part == element || strings.HasPrefix(part, element+"/") && isNumber(element) {
			return true
		}
	}
	return false
}

func isNumber(text string) bool {
	_, err := strconv.Atoi(text)
	return err == nil
}

// lookup returns the value at a path, or nil.
func lookup(node *yaml.Node, path []string) *yaml.Node {
	for _, element := range path {
		if node == nil {
			return nil
		}
		_, node = child(node, element)
	}
	if node == nil {
		return nil
	}
	return target(node)
}

// scalar returns the value at a path when it is a scalar.
func scalar(node *yaml.Node, path ...string) (string, bool) {
	value := lookup(node, path)
	if value == nil || value.Kind != yaml.ScalarNode {
		return "", false
	}
	return value.Value, true
}

// cycle returns the alias through which a node contains itself, or nil. compose-go and the YAML library do not end on
// some of those.
func cycle(node *yaml.Node, state map[*yaml.Node]int) *yaml.Node {
	const open, done = 1, 2
	state[node] = open
	for _, part := range parts(node) {
		switch state[part] {
		case open:
			return node
		case 0:
			if found := cycle(part, state); found != nil {
				return found
			}
		}
	}
	state[node] = done
	return nil
}

// deepest is how many levels a document may have, aliases followed: what reads it needs the square of their number. People
// write about ten.
const deepest = 500

// tooDeep returns the node at which a document without cycles becomes too deep, or nil.
func tooDeep(node *yaml.Node) *yaml.Node {
	levels := map[*yaml.Node]int{}
	if height(node, levels) <= deepest {
		return nil
	}
	for range deepest {
		node = slices.MaxFunc(parts(node), func(a, b *yaml.Node) int { return cmp.Compare(levels[a], levels[b]) })
	}
	return node
}

// height is the number of levels of a node, itself included; levels remembers them.
func height(node *yaml.Node, levels map[*yaml.Node]int) int {
	if known := levels[node]; known > 0 {
		return known
	}
	below := 0
	for _, part := range parts(node) {
		below = max(below, height(part, levels))
	}
	levels[node] = below + 1
	return below + 1
}

// parts are what a node consists of: an alias of what it stands for.
func parts(node *yaml.Node) []*yaml.Node {
	if node.Kind == yaml.AliasNode && node.Alias != nil {
		return []*yaml.Node{node.Alias}
	}
	return node.Content
}

// inEnvFiles finds a variable in env files; the last file wins.
func inEnvFiles(files []string, variable string) (Position, bool) {
	for i := len(files) - 1; i >= 0; i-- {
		content, err := os.ReadFile(files[i])
		if err != nil {
			continue
		}
		for n, line := range strings.Split(string(content), "\n") {
			line = strings.TrimPrefix(strings.TrimSpace(line), "export ")
			name, _, found := strings.Cut(line, "=")
			if !found {
				name, _, found = strings.Cut(line, ":")
			}
			if found && strings.TrimSpace(name) == variable {
				return Position{File: files[i], Line: n + 1}, true
			}
		}
	}
	return Position{}, false
}

// absolute resolves a path of a file from the directory it is relative to.
func absolute(dir, path string) string {
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	return filepath.Clean(path)
}
