package spec

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/compose-spec/compose-go/v2/interpolation"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/schema"
	"github.com/compose-spec/compose-go/v2/tree"
	"github.com/compose-spec/compose-go/v2/types"
)

// Load reads the compose model that the options select, by docker compose's rules, and the policy in it. Every
// failure is one or more *Error, joined: what is wrong with the files, where, and what to do. Load may be called from
// several goroutines; loads run one after another, because compose-go warns through a global logger.
func Load(ctx context.Context, o Options) (*Stack, error) {
	files, err := Read(o)
	if err != nil {
		return nil, err
	}
	return files.Load(ctx)
}

// Files are the files of a project, read and not yet made a Stack of. That takes by far the most time of a load, and the
// project's name is known before.
type Files struct {
	sel       *selection
	positions *Positions
}

// Read finds and reads the files that the options select. Its errors are those of Load.
func Read(o Options) (files *Files, err error) {
	registerRawEnvFiles()
	go compileSchema()
	sel, err := choose(o)
	if err != nil {
		return nil, err
	}
	defer sel.recovered(&err)
	positions, err := newPositions(sel)
	if err != nil {
		return nil, err
	}
	return &Files{sel: sel, positions: positions}, nil
}

// compileSchema makes compose-go compile the schema of compose files, which takes a quarter as long as to load a hundred
// services and depends on none of them: it is done beside whatever comes before the first use.
var compileSchema = sync.OnceFunc(func() { _ = schema.Validate(nil) })

// Name is the name that the project will have. It is a forecast: only the loaded Stack is sure of its own.
func (f *Files) Name() string {
	return f.sel.nameWith(f.positions)
}

// Found says whether the files were found by their default names: neither -f nor COMPOSE_FILE names them, which may stand in .env.
func (f *Files) Found() bool { return f.sel.found }

// nameWith is the project's name: given, else from the files, else from the directory. compose-go finds it by the same
// rules, but reads every file once more for it.
func (s *selection) nameWith(positions *Positions) string {
	if s.name != "" {
		return s.name
	}
	if name := positions.projectName(); name != "" {
		return loader.NormalizeProjectName(interpolated(name, s.env))
	}
	return loader.NormalizeProjectName(filepath.Base(s.dir))
}

// Text is what the files say, those that they name left out.
func (f *Files) Text() string {
	var all strings.Builder
	for _, file := range f.sel.files {
		fmt.Fprintf(&all, "# %s\n%s\n", file.Filename, file.Content)
	}
	return all.String()
}

// Load makes the Stack. It is called once.
func (f *Files) Load(ctx context.Context) (stack *Stack, err error) {
	defer func() { f.sel.hideIn(err) }()
	defer f.sel.recovered(&err)
	var project *types.Project
	said, err := capture(func() error {
		project, err = f.sel.load(ctx, f.positions)
		return err
	})
	if err != nil {
		return nil, err
	}
	stack = newStack(f.sel, project, f.positions)
	stack.heard(said)
	return stack, stack.readPolicy()
}

// load runs compose-go the way `docker compose up` does: without resolving the services' environment at first, then
// with what no enabled service uses left out, then with the environment resolved and the env files folded in. The
// config hash depends on this order.
func (s *selection) load(ctx context.Context, positions *Positions) (*types.Project, error) {
	loaded, err := s.compose(ctx, positions, false)
	if err != nil {
		if broken, again := s.compose(ctx, positions, true); again == nil {
			if _, found := check(broken, positions); found != nil {
				return nil, found
			}
		}
		return nil, explain(err, s, positions)
	}
	doubts, err := check(loaded, positions)
	if err != nil {
		return nil, err
	}
	for _, doubt := range doubts {
		s.warnings = append(s.warnings, doubt.Error())
	}
	positions.noteFiles(loaded)
	project, err := loaded.WithoutUnnecessaryResources().WithServicesEnvironmentResolved(true)
	if err != nil {
		return nil, explain(err, s, positions)
	}
	for _, f := range s.files {
		project.ComposeFiles = append(project.ComposeFiles, f.Filename)
	}
	return project, nil
}

// compose runs compose-go's loader once. Lenient leaves out its checks of consistency.
func (s *selection) compose(ctx context.Context, positions *Positions, lenient bool) (*types.Project, error) {
	details := types.ConfigDetails{WorkingDir: s.dir, ConfigFiles: slices.Clone(s.files), Environment: s.env.Clone()}
	return loader.LoadWithContext(ctx, details, func(o *loader.Options) {
		o.Profiles = s.profiles
		o.SkipResolveEnvironment = true
		o.SkipConsistencyCheck = lenient
		o.SkipResolveLabels = lenient
		o.Interpolate.TypeCastMapping = positions.casts(o.Interpolate.TypeCastMapping)
		o.ResourceLoaders = []loader.ResourceLoader{refuseRemote{&explainer{sel: s, positions: positions}}}
		o.SetProjectName(s.nameWith(positions), true)
	})
}

// casts are those of compose-go's type casts whose key stands in a file. It tries every cast on every value, which is a
// sixth of a load with all of them.
func (p *Positions) casts(all map[tree.Path]interpolation.Cast) map[tree.Path]interpolation.Cast {
	if p.partial {
		return all
	}
	needed := map[tree.Path]interpolation.Cast{}
	for path, cast := range all {
		parts := slices.DeleteFunc(path.Parts(), func(part string) bool { return part == tree.PathMatchAll || part == tree.PathMatchList })
		if p.keys[parts[len(parts)-1]] {
			needed[path] = cast
		}
	}
	return needed
}

// projectName is the name that a file gives the project, as it is written, or "".
func (p *Positions) projectName() string {
	for _, d := range p.documents {
		if name, ok := scalar(d.root, "name"); ok && name != "" && !d.included {
			return name
		}
	}
	return ""
}

// noteFiles records the env and label files of the services, before resolving drops them.
func (p *Positions) noteFiles(project *types.Project) {
	for name, service := range project.Services {
		for _, file := range service.EnvFiles {
			p.envFiles[name] = append(p.envFiles[name], file.Path)
			p.sources[file.Path] = true
		}
		for _, file := range service.LabelFiles {
			p.sources[file] = true
		}
	}
}

// refuseRemote stands where docker compose fetches git repositories and OCI artifacts.
type refuseRemote struct{ explainer *explainer }

func (refuseRemote) Accept(path string) bool { return remote(path) }

func (refuseRemote) Dir(path string) string { return path }

func (r refuseRemote) Load(_ context.Context, path string) (string, error) {
	pos, _ := r.explainer.mentioning(path)
	return "", &Error{Pos: pos, Key: path, Problem: "is a remote compose file, which is not supported", Fix: "fetch it and name the local file"}
}

// hideIn hides the values of secret-looking variables in what is said about the files.
func (s *selection) hideIn(err error) {
	if err == nil {
		return
	}
	var values []string
	for name, value := range s.env {
		if SecretValue(name, value) {
			values = append(values, value)
		}
	}
	for _, one := range split(err) {
		if e := (*Error)(nil); errors.As(one, &e) {
			e.Problem, e.Fix = Hide(e.Problem, values), Hide(e.Fix, values)
		}
	}
}

// recovered turns a panic of the compose library into an error about the file. It is deferred.
func (s *selection) recovered(err *error) {
	p := recover()
	if p == nil {
		return
	}
	file := s.dir
	if len(s.files) > 0 {
		file = s.files[0].Filename
	}
	*err = &Error{Pos: Position{File: file}, Problem: fmt.Sprintf("the compose library failed on this file: %v", p),
		Fix: "simplify the file until it loads, and report the part that does not", Err: fmt.Errorf("%s", debug.Stack())}
}

func (s *Stack) sources() []string {
	return slices.Sorted(maps.Keys(s.positions.sources))
}
