package spec

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v4"
)

// indexer reads the files of a project a second time, for the places of their keys: compose-go keeps none. What it
// cannot read or resolve it leaves out, since loading the same files reports that.
type indexer struct {
	positions *Positions
	cache     map[string][]*document // by file; extends and include may name a file many times
	including []string               // files being included, against cycles
	errs      []*Error
}

// newPositions indexes the files of a selection and everything they include and extend. Only an alias that contains
// itself is an error.
func newPositions(sel *selection) (*Positions, error) {
	ix := &indexer{
		positions: &Positions{bases: map[*document]map[string]base{}, envFiles: map[string][]string{}, sources: map[string]bool{}, keys: map[string]bool{}},
		cache:     map[string][]*document{},
	}
	for _, file := range sel.envFiles {
		ix.positions.sources[file] = true
	}
	for _, f := range sel.files {
		if !f.IsStdin() {
			ix.positions.sources[f.Filename] = true
		}
		ix.parse(f.Filename, f.Content)
		ix.add(f.Filename, sel.dir, sel.env)
	}
	slices.Reverse(ix.positions.documents) // collected from the lowest priority up
	return ix.positions, joined(ix.errs)
}

func (ix *indexer) parse(file string, content []byte) {
	ix.cache[file] = nil
	for _, d := range parse(file, content) {
		if alias := cycle(d.root, map[*yaml.Node]int{}); alias != nil {
			ix.errs = append(ix.errs, &Error{Pos: Position{File: file, Line: alias.Line}, Key: "*" + alias.Value, Problem: "contains itself", Fix: "remove the alias"})
			continue
		}
		if deep := tooDeep(d.root); deep != nil {
			ix.errs = append(ix.errs, &Error{Pos: Position{File: file, Line: deep.Line}, Problem: fmt.Sprintf("more than %d levels deep", deepest), Fix: "is this a compose file? flatten it"})
			continue
		}
		ix.cache[file] = append(ix.cache[file], d)
		noteKeys(d.root, ix.positions.keys)
	}
}

// add appends what a file includes, then its own documents: they override what they include.
func (ix *indexer) add(file, dir string, env types.Mapping) {
	if slices.Contains(ix.including, file) {
		return
	}
	ix.including = append(ix.including, file)
	defer func() { ix.including = ix.including[:len(ix.including)-1] }()

	documents := ix.documents(file)
	for _, d := range documents {
		ix.includes(d, dir, env)
	}
	for _, d := range documents {
		d.included = len(ix.including) > 1
		ix.positions.documents = append(ix.positions.documents, d)
		ix.extends(d, dir, env)
	}
}

// documents parses a file once.
func (ix *indexer) documents(file string) []*document {
	if documents, ok := ix.cache[file]; ok {
		return documents
	}
	content, err := os.ReadFile(file)
	if err != nil {
		ix.positions.partial = true
		return nil
	}
	ix.positions.sources[file] = true
	ix.parse(file, content)
	return ix.cache[file]
}

// includes follows `include`, by the rules of compose-go's loader.ApplyInclude: relative to the including project's
// directory, in the environment of the included one.
func (ix *indexer) includes(d *document, dir string, env types.Mapping) {
	_, list := child(d.root, "include")
	if list == nil || target(list).Kind != yaml.SequenceNode {
		return
	}
	for _, entry := range target(list).Content {
		entry = target(entry)
		paths := texts(entry, env)
		if entry.Kind == yaml.MappingNode {
			_, value := child(entry, "path")
			paths = texts(value, env)
		}
		if len(paths) == 0 || remote(paths[0]) {
			continue
		}
		project := filepath.Dir(absolute(dir, paths[0]))
		if own := textAt(entry, "project_directory", env); own != "" {
			project = absolute(dir, own)
		}
		inner := ix.includedEnvironment(entry, dir, project, env)
		for _, path := range paths {
			ix.add(absolute(dir, path), project, inner)
		}
	}
}

func (ix *indexer) includedEnvironment(entry *yaml.Node, dir, project string, env types.Mapping) types.Mapping {
	var files []string
	if entry.Kind == yaml.MappingNode {
		_, value := child(entry, "env_file")
		for _, file := range texts(value, env) {
			files = append(files, absolute(dir, file))
		}
	}
	if len(files) == 0 {
		files = []string{filepath.Join(project, ".env")}
	}
	files = slices.DeleteFunc(files, func(file string) bool {
		info, err := os.Stat(file)
		return err != nil || !info.Mode().IsRegular()
	})
	for _, file := range files {
		ix.positions.sources[file] = true
	}
	own, err := dotenv.GetEnvFromFile(env, files)
	if err != nil {
		return env
	}
	return env.Clone().Merge(own)
}

// extends records the base of each service that has one. A file is relative to the project's directory, and in an
// extended file to that file.
func (ix *indexer) extends(d *document, dir string, env types.Mapping) {
	_, services := child(d.root, "services")
	if services == nil || target(services).Kind != yaml.MappingNode || ix.positions.bases[d] != nil {
		return
	}
	bases := map[string]base{}
	ix.positions.bases[d] = bases
	content := target(services).Content
	for i := 0; i+1 < len(content); i += 2 {
		_, extends := child(content[i+1], "extends")
		if extends == nil {
			continue
		}
		if from, ok := ix.baseOf(d, target(extends), dir, env); ok {
			bases[content[i].Value] = from
		}
	}
}

func (ix *indexer) baseOf(d *document, extends *yaml.Node, dir string, env types.Mapping) (base, bool) {
	if extends.Kind == yaml.ScalarNode {
		return base{in: d, service: interpolated(extends.Value, env)}, true
	}
	service, file := textAt(extends, "service", env), textAt(extends, "file", env)
	if file == "" {
		return base{in: d, service: service}, service != ""
	}
	if remote(file) {
		return base{}, false
	}
	path := absolute(dir, file)
	documents := ix.documents(path)
	if len(documents) == 0 {
		return base{}, false
	}
	last := documents[len(documents)-1]
	ix.extends(last, filepath.Dir(path), env)
	return base{in: last, service: service}, true
}

// texts returns a string or a list of strings, interpolated.
func texts(node *yaml.Node, env types.Mapping) []string {
	if node == nil {
		return nil
	}
	switch node = target(node); node.Kind {
	case yaml.ScalarNode:
		return []string{interpolated(node.Value, env)}
	case yaml.SequenceNode:
		var list []string
		for _, item := range node.Content {
			list = append(list, texts(item, env)...)
		}
		return list
	}
	return nil
}

func textAt(node *yaml.Node, key string, env types.Mapping) string {
	text, ok := scalar(node, key)
	if !ok {
		return ""
	}
	return interpolated(text, env)
}

// interpolated substitutes variables; what cannot be is left as it is, since loading reports it.
func interpolated(text string, env types.Mapping) string {
	if !strings.Contains(text, "$") {
		return text
	}
	out, err := template.SubstituteWithOptions(text, template.Mapping(env.Resolve), template.WithoutLogging)
	if err != nil {
		return text
	}
	return out
}

// mentions says whether a text uses $NAME or ${NAME…}.
func mentions(text, variable string) bool {
	for rest := text; ; {
		_, after, found := strings.Cut(rest, "$")
		if !found {
			return false
		}
		if strings.HasPrefix(after, "$") { // an escaped dollar sign
			rest = after[1:]
			continue
		}
		name := strings.TrimPrefix(after, "{")
		if tail, ok := strings.CutPrefix(name, variable); ok && (tail == "" || !strings.ContainsRune(variableRunes, rune(tail[0]))) {
			return true
		}
		rest = after
	}
}

const variableRunes = "_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
