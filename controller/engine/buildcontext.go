package engine

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/docker/docker/api/types/build"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"

	"composure/spec"
)

// foreignDockerfile is the name in the archive of a Dockerfile that is not in the context: one from elsewhere, or an
// inline one. Two contexts with the same content stay the same, so that the builder's cache works.
const foreignDockerfile = ".composure.Dockerfile"

// contextArchive is a build context on its way to the engine. It is read once.
type contextArchive struct {
	io.Reader
	stop func() error
	err  chan error
}

// Close ends the packing.
func (a *contextArchive) Close() error { return a.stop() }

// Err is why packing failed, nil when it did not or has not.
func (a *contextArchive) Err() error {
	select {
	case err := <-a.err:
		return err
	default:
		return nil
	}
}

// isRemote says whether a context is something that the engine fetches itself (docker CLI, urlutil).
func isRemote(context string) bool {
	for _, prefix := range []string{"http://", "https://", "git://", "git@", "github.com/"} {
		if strings.HasPrefix(context, prefix) {
			return true
		}
	}
	return false
}

// openContext starts packing a context, and completes the request with what the archive decides: the Dockerfile's name.
func openContext(b *spec.Build, request *build.ImageBuildOptions) (*contextArchive, error) {
	if isRemote(b.Context) {
		if b.DockerfileInline != "" {
			return nil, errors.New("build.dockerfile_inline needs a context on this machine")
		}
		request.RemoteContext, request.Dockerfile = b.Context, b.Dockerfile
		return &contextArchive{stop: func() error { return nil }}, nil
	}
	pack, err := newPacker(b)
	if err != nil {
		return nil, err
	}
	request.Dockerfile = pack.dockerfile
	reader, writer := io.Pipe()
	archive := &contextArchive{Reader: reader, stop: reader.Close, err: make(chan error, 1)}
	go func() {
		err := pack.write(writer)
		if err != nil && !errors.Is(err, io.ErrClosedPipe) {
			archive.err <- err
		}
		_ = writer.CloseWithError(err)
	}()
	return archive, nil
}

// packer writes a build context as an archive.
type packer struct {
	root       string
	dockerfile string // its name in the archive
	added      []byte // content of a Dockerfile that is not in the context; nil when it is
	ignore     *patternmatcher.PatternMatcher
	parents    map[string]patternmatcher.MatchInfo // directory → how it matched, for what is inside
}

func newPacker(b *spec.Build) (*packer, error) {
	p := &packer{root: filepath.Clean(b.Context), parents: map[string]patternmatcher.MatchInfo{}}
	if info, err := os.Stat(p.root); err != nil {
		return nil, fmt.Errorf("read build context: %w", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("read build context: %s is not a directory", p.root)
	}
	if err := p.findDockerfile(b); err != nil {
		return nil, err
	}
	patterns, err := p.ignorePatterns()
	if err != nil {
		return nil, err
	}
	p.ignore, err = patternmatcher.New(patterns)
	if err != nil {
		return nil, fmt.Errorf("read .dockerignore: %w", err)
	}
	return p, nil
}

// findDockerfile decides the Dockerfile's name in the archive, and reads one that is not in the context.
func (p *packer) findDockerfile(b *spec.Build) error {
	if b.DockerfileInline != "" {
		p.dockerfile, p.added = foreignDockerfile, []byte(b.DockerfileInline)
		return nil
	}
	file := b.Dockerfile
	if file == "" {
		file = "Dockerfile"
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(p.root, file)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read Dockerfile: %w", err)
	}
	inside, err := filepath.Rel(p.root, file)
	if err == nil && filepath.IsLocal(inside) {
		p.dockerfile = filepath.ToSlash(inside)
		return nil
	}
	p.dockerfile, p.added = foreignDockerfile, content
	return nil
}

// ignorePatterns reads the Dockerfile's own ignore file, else .dockerignore. What the builder itself reads is always
// sent.
func (p *packer) ignorePatterns() ([]string, error) {
	for _, name := range []string{p.dockerfile + ".dockerignore", ".dockerignore"} {
		file, err := os.Open(filepath.Join(p.root, filepath.FromSlash(name)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		defer file.Close()
		patterns, err := ignorefile.ReadAll(file)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		return append(patterns, "!"+p.dockerfile, "!.dockerignore"), nil
	}
	return nil, nil
}

// write walks the context. Owner and group are left out, as docker does: they are the builder's, not the developer's.
func (p *packer) write(out io.Writer) error {
	archive := tar.NewWriter(out)
	err := filepath.WalkDir(p.root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || file == p.root {
			return err
		}
		return p.entry(archive, file, entry)
	})
	if err != nil {
		return fmt.Errorf("read build context: %w", err)
	}
	if p.added != nil {
		header := &tar.Header{Name: p.dockerfile, Mode: 0o600, Size: int64(len(p.added)), ModTime: time.Unix(0, 0)}
		if err := writeEntry(archive, header, bytes.NewReader(p.added)); err != nil {
			return err
		}
	}
	return archive.Close()
}

// entry writes one entry, or leaves it out.
func (p *packer) entry(archive *tar.Writer, file string, entry fs.DirEntry) error {
	inside, err := filepath.Rel(p.root, file)
	if err != nil {
		return err
	}
	name := filepath.ToSlash(inside)
	ignored, match, err := p.ignore.MatchesUsingParentResults(name, p.parents[path.Dir(name)])
	if err != nil {
		return err
	}
	if entry.IsDir() {
		p.parents[name] = match
		if ignored && !p.mayHoldExceptions(name) {
			return fs.SkipDir
		}
	}
	if ignored {
		return nil
	}
	return writeFile(archive, file, name)
}

// mayHoldExceptions says whether something in an ignored directory may be wanted after all.
func (p *packer) mayHoldExceptions(directory string) bool {
	for _, pattern := range p.ignore.Patterns() {
		if pattern.Exclusion() && (strings.HasPrefix(pattern.String()+"/", directory+"/") || strings.ContainsAny(pattern.String(), "*?[")) {
			return true
		}
	}
	return false
}

// writeFile writes a directory, a regular file or a symbolic link; sockets, pipes and devices are left out.
func writeFile(archive *tar.Writer, file, name string) error {
	info, err := os.Lstat(file)
	if err != nil {
		return err
	}
	link := ""
	switch info.Mode().Type() {
	case 0, fs.ModeDir:
	case fs.ModeSymlink:
		if link, err = os.Readlink(file); err != nil {
			return err
		}
	default:
		return nil
	}
	header, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	header.Name, header.Uid, header.Gid, header.Uname, header.Gname = name, 0, 0, "", ""
	header.AccessTime, header.ChangeTime = time.Time{}, time.Time{}
	if info.IsDir() {
		header.Name += "/"
	}
	if !info.Mode().IsRegular() {
		return archive.WriteHeader(header)
	}
	content, err := os.Open(file)
	if err != nil {
		return err
	}
	defer content.Close()
	if err := writeEntry(archive, header, content); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func writeEntry(archive *tar.Writer, header *tar.Header, content io.Reader) error {
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err := io.CopyN(archive, content, header.Size) // a file that grows meanwhile is sent as it was
	return err
}
