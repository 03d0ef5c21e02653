package spec

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/consts"
	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/compose-spec/compose-go/v2/utils"
)

// selection is which files, in which directory and environment, make up the project. The rules are docker compose's
// (cmd/compose/compose.go, toProjectOptions), told here because compose-go's own read the process's environment and
// working directory, which are not always those the options mean.
type selection struct {
	cwd      string
	dir      string // the project directory
	explicit bool   // it was given by --project-directory
	env      types.Mapping
	envFiles []string // read for the environment
	named    []string // given by --env-file or COMPOSE_ENV_FILES
	files    []types.ConfigFile
	found    bool   // they were found by their default names
	name     string // -p or COMPOSE_PROJECT_NAME; empty: from the files or the directory
	profiles []string
	warnings []string
}

func choose(o Options) (*selection, error) {
	s := &selection{}
	if err := s.base(o); err != nil {
		return nil, err
	}
	paths := make([]string, len(o.Files))
	for i, file := range o.Files {
		paths[i] = s.abs(file)
	}
	if err := s.readEnvironment(paths); err != nil {
		return nil, err
	}
	paths, err := s.configPaths(paths)
	if err != nil {
		return nil, err
	}
	if err := s.readEnvironment(paths); err != nil { // the files may stand elsewhere, with a .env of their own
		return nil, err
	}
	if utils.StringToBool(s.env["COMPOSE_COMPATIBILITY"]) {
		return nil, &Error{Key: "COMPOSE_COMPATIBILITY", Problem: "names with _ as docker compose 1 made them are not supported", Fix: "unset it, and recreate the stack with docker compose"}
	}
	s.dir = s.workingDir(paths)
	s.profiles = o.Profiles
	if len(s.profiles) == 0 {
		for profile := range strings.SplitSeq(s.env[consts.ComposeProfiles], ",") {
			s.profiles = append(s.profiles, strings.TrimSpace(profile))
		}
	}
	if err := s.projectName(o.ProjectName); err != nil {
		return nil, err
	}
	return s, s.readFiles(paths, o.Stdin)
}

// base fills what the options and the process give.
func (s *selection) base(o Options) error {
	cwd, err := filepath.Abs(o.WorkingDir)
	if err != nil {
		return fmt.Errorf("find the working directory: %w", err)
	}
	s.cwd = cwd
	environ := o.Environ
	if environ == nil {
		environ = os.Environ()
	}
	s.env = utils.GetAsEqualsMap(environ)
	if _, ok := s.env["PWD"]; !ok || o.WorkingDir != "" { // what the shell says is about the process's directory
		s.env["PWD"] = cwd
	}
	if o.ProjectDir != "" {
		s.dir, s.explicit = s.abs(o.ProjectDir), true
	}
	s.named = o.EnvFiles
	if len(s.named) == 0 {
		s.named = strings.FieldsFunc(s.env["COMPOSE_ENV_FILES"], func(r rune) bool { return r == ',' })
	}
	s.named = slices.Clone(s.named)
	for i, file := range s.named {
		s.named[i] = s.abs(s.expandHome(file))
	}
	return nil
}

func (s *selection) abs(path string) string {
	if path == "-" || remote(path) {
		return path
	}
	return absolute(s.cwd, path)
}

func (s *selection) expandHome(path string) string {
	if rest, ok := strings.CutPrefix(path, "~"); ok && s.env["HOME"] != "" {
		return s.env["HOME"] + rest
	}
	return path
}

// workingDir is the project directory as far as it is known with these files.
func (s *selection) workingDir(paths []string) string {
	if s.explicit {
		return s.dir
	}
	for _, path := range paths {
		if path != "-" {
			return filepath.Dir(path)
		}
	}
	return s.cwd
}

// readEnvironment adds the variables of the env files; what is set already stays.
func (s *selection) readEnvironment(paths []string) error {
	files := s.named
	if len(files) == 0 {
		var err error
		if files, err = s.defaultEnvFile(paths); err != nil {
			return err
		}
	}
	for _, file := range files {
		if _, err := os.Stat(file); err != nil {
			return &Error{Pos: Position{File: file}, Problem: "cannot read the env file: " + reason(err), Fix: "correct --env-file or COMPOSE_ENV_FILES", Err: err}
		}
	}
	variables, err := dotenv.GetEnvFromFile(s.env, files)
	if err != nil {
		return envFileError(err, files)
	}
	s.env.Merge(variables)
	for _, file := range files {
		if len(s.envFiles) == 0 || s.envFiles[len(s.envFiles)-1] != file {
			s.envFiles = append(s.envFiles, file)
		}
	}
	return nil
}

// defaultEnvFile is .env of the project directory, if there is one and it is not switched off.
func (s *selection) defaultEnvFile(paths []string) ([]string, error) {
	if text, ok := s.env[consts.ComposeDisableDefaultEnvFile]; ok {
		disabled, err := strconv.ParseBool(text)
		if err != nil {
			return nil, &Error{Key: consts.ComposeDisableDefaultEnvFile, Problem: "must be true or false", Fix: "correct the environment", Err: err}
		}
		if disabled {
			return nil, nil
		}
	}
	file := filepath.Join(s.workingDir(paths), ".env")
	info, err := os.Stat(file)
	switch {
	case os.IsPermission(err):
		s.warnings = append(s.warnings, fmt.Sprintf("cannot read %s, it is left out", file))
		return nil, nil
	case err != nil || info.IsDir():
		return nil, nil
	}
	return []string{file}, nil
}

// configPaths are the compose files: -f, else COMPOSE_FILE, else the default names, searched upwards.
func (s *selection) configPaths(given []string) ([]string, error) {
	if len(given) > 0 {
		return given, nil
	}
	if text, ok := s.env[consts.ComposeFilePath]; ok {
		separator := s.env[consts.ComposePathSeparator]
		if separator == "" {
			separator = string(os.PathListSeparator)
		}
		var paths []string
		for path := range strings.SplitSeq(text, separator) {
			if path == "" {
				return nil, &Error{Key: consts.ComposeFilePath, Problem: "names an empty path", Fix: "list the compose files separated by " + strconv.Quote(separator)}
			}
			paths = append(paths, s.abs(path))
		}
		return paths, nil
	}
	start := s.workingDir(nil)
	for dir := start; ; dir = filepath.Dir(dir) {
		if paths := s.defaultsIn(dir); len(paths) > 0 {
			s.found = true
			return paths, nil
		}
		if dir == filepath.Dir(dir) {
			return nil, &Error{Pos: Position{File: start}, Problem: "no compose file in this directory or any above it",
				Fix: "name one with -f, or create " + cli.DefaultFileNames[0]}
		}
	}
}

// Holds says whether a directory has a compose file under one of the default names.
func Holds(dir string) bool { return len(new(selection).defaultsIn(dir)) > 0 }

// defaultsIn returns the compose file and the override file of a directory.
func (s *selection) defaultsIn(dir string) []string {
	var paths []string
	for _, names := range [][]string{cli.DefaultFileNames, cli.DefaultOverrideFileNames} {
		var found []string
		for _, name := range names {
			if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
				found = append(found, filepath.Join(dir, name))
			}
		}
		if len(found) == 0 {
			return paths
		}
		if len(found) > 1 {
			s.warnings = append(s.warnings, fmt.Sprintf("several compose files with default names: %s; %s is used", strings.Join(found, ", "), found[0]))
		}
		paths = append(paths, found[0])
	}
	return paths
}

func (s *selection) projectName(given string) error {
	s.name = given
	if s.name == "" {
		s.name = s.env[consts.ComposeProjectName]
	}
	if s.name == "" || s.name == loader.NormalizeProjectName(s.name) {
		return nil
	}
	return &Error{Key: "project name " + strconv.Quote(s.name), Problem: "is not valid",
		Fix: "use lower case letters, digits, - and _, starting with a letter or digit"}
}

// readFiles reads the contents once, so that every later step sees the same.
func (s *selection) readFiles(paths []string, stdin io.Reader) error {
	for _, path := range paths {
		if remote(path) {
			return &Error{Key: path, Problem: "is a remote compose file, which is not supported", Fix: "fetch it and name the local file"}
		}
		var content []byte
		var err error
		if path == "-" {
			if stdin == nil {
				stdin = os.Stdin
			}
			content, err = io.ReadAll(stdin)
		} else {
			content, err = os.ReadFile(path)
		}
		if err != nil {
			return &Error{Pos: Position{File: path}, Problem: "cannot read the compose file: " + reason(err), Fix: "correct -f or COMPOSE_FILE", Err: err}
		}
		s.files = append(s.files, types.ConfigFile{Filename: path, Content: content})
	}
	return nil
}

// remote says whether a path names a git repository or an OCI artifact.
func remote(path string) bool {
	return strings.Contains(path, "://") || strings.HasPrefix(path, "git@") || strings.HasPrefix(path, "github.com/")
}
