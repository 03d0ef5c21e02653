package observe

import (
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/mount"

	"composure/spec"
)

// hostFileTimeout bounds the look at files of this host: a network file system that hangs must not hang the pass.
const hostFileTimeout = time.Second

// hostFiles looks at the regular files of this host that the containers mount read-only, and at the directories that the
// stack was deployed from. What cannot be seen from here is left out.
func (c *Look) hostFiles(ctx context.Context) {
	if !c.snapshot.Engine.Local {
		return
	}
	paths := map[string]bool{}
	for _, container := range c.snapshot.Containers {
		for _, m := range container.Inspect.Mounts {
			if m.Type == mount.TypeBind && !m.RW && c.snapshot.Engine.sees(m.Source) {
				paths[m.Source] = true
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, hostFileTimeout)
	defer cancel()
	type found struct {
		files map[string]HostFile
		dirs  map[string]bool
	}
	looked := make(chan found, 1)
	own, dirs := c.stack.WorkingDir, c.otherDirs()
	go func() { looked <- found{statFiles(ctx, paths), sameDirs(own, dirs)} }()
	select {
	case seen := <-looked:
		c.snapshot.HostFiles, c.snapshot.SameDirs = seen.files, seen.dirs
	case <-ctx.Done():
		c.snapshot.Gaps = append(c.snapshot.Gaps, Gap{Subject: "mounted files of the host", Err: "no answer within " + hostFileTimeout.String()})
	}
}

// sees says whether a path of the engine's host is the same file here.
func (e Engine) sees(path string) bool {
	return e.Self == "" || slices.ContainsFunc(e.Shared, func(shared string) bool {
		return path == shared || strings.HasPrefix(path, strings.TrimSuffix(shared, "/")+"/")
	})
}

// statFiles stops at the end of ctx, between two files.
func statFiles(ctx context.Context, paths map[string]bool) map[string]HostFile {
	files := map[string]HostFile{}
	for path := range paths {
		if ctx.Err() != nil {
			break
		}
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			files[path] = HostFile{ModTime: info.ModTime()}
		}
	}
	return files
}

// otherDirs are the project directories in the containers' labels that are not named as the stack's own.
func (c *Look) otherDirs() []string {
	var dirs []string
	for _, container := range c.snapshot.Containers {
		if dir := container.Label(spec.LabelWorkingDir); dir != "" && dir != c.stack.WorkingDir && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// sameDirs are those of the directories that are the very one of the stack.
func sameDirs(own string, dirs []string) map[string]bool {
	same := map[string]bool{}
	for _, dir := range dirs {
		here, err := os.Stat(own)
		there, otherErr := os.Stat(dir)
		if err == nil && otherErr == nil && os.SameFile(here, there) {
			same[dir] = true
		}
	}
	return same
}
