package drift

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/mount"

	"composure/controller/observe"
	"composure/spec"
)

// fileDrifts are about content that no label tells of: configs and secrets, and single files that are mounted
// read-only. Content never appears in a report, not even its digest: a short secret could be found from it.
func (p *contrast) fileDrifts() []Drift {
	return append(p.copiedDrifts(), p.mountedDrifts()...)
}

// copiedDrifts: content that was copied into the container before its start.
func (p *contrast) copiedDrifts() []Drift {
	if p.c.unread("container " + p.observed.Name + " files") {
		return nil
	}
	var found []Drift
	for _, f := range p.desired.Files {
		file, looked := p.observed.Files[f.Path]
		if !looked {
			continue
		}
		found = append(found, p.rightsDrifts(f, file)...)
		have, want := file.Digest, digest(f.Content)
		if have == want {
			continue
		}
		d := Drift{
			Service: p.svc.Name, Container: p.observed.Name, Field: f.Key, Desired: "the file's content", Observed: "other content",
			Pos: p.c.Stack.Pos(strings.SplitN(f.Key, ".", 2)...), Origin: OriginFile, Remedy: RemedyRecreate,
		}
		if have == "" {
			d.Observed = "missing"
		}
		if applied, _ := p.record(); applied != nil {
			d.Origin = originOf(want, copied(applied)[f.Path], have)
		}
		d.Cause = cause(d.Origin, true, have != "", "its content is copied to "+f.Path+" when the container is created")
		found = append(found, d)
	}
	return found
}

// rightsDrifts: another owner or mode of copied content. An entrypoint may well give the file to the user that it runs the
// application as, so only what was edited in the file counts.
func (p *contrast) rightsDrifts(want spec.File, have observe.CopiedFile) []Drift {
	if p.same || have.Digest == "" {
		return nil
	}
	file, container, applied := rights(want.UID, want.GID, want.Mode), rights(have.UID, have.GID, have.Mode), [3]string{}
	if record, _ := p.record(); record != nil {
		if i := slices.IndexFunc(record.Files, func(f spec.File) bool { return f.Path == want.Path }); i >= 0 {
			applied = rights(record.Files[i].UID, record.Files[i].GID, record.Files[i].Mode)
		}
	}
	kind, _, _ := strings.Cut(want.Key, ".")
	var found []Drift
	for i, key := range [3]string{"uid", "gid", "mode"} {
		if file[i] == container[i] || file[i] == applied[i] {
			continue
		}
		found = append(found, Drift{
			Service: p.svc.Name, Container: p.observed.Name, Field: want.Key + "." + key, Desired: file[i], Observed: container[i],
			Pos: p.svc.Pos(kind), Origin: OriginFile, Remedy: RemedyRecreate,
			Cause: p.cause(OriginFile, true, true, want.Path+" gets it when the container is created"),
		})
	}
	return found
}

func rights(uid, gid int, mode int64) [3]string {
	return [3]string{strconv.Itoa(uid), strconv.Itoa(gid), fmt.Sprintf("%04o", mode)}
}

// mountedDrifts: files of this host that have changed since the container started. A config or secret that was
// replaced by a new file is seen after a restart only; any other file belongs to the application, which may well have
// noticed. A file whose time lies in the future says nothing about when it was edited.
func (p *contrast) mountedDrifts() []Drift {
	started := p.observed.StartedAt()
	if started.IsZero() || !p.observed.Running() || len(p.c.Snapshot.HostFiles) == 0 {
		return nil
	}
	keys := p.svc.MountedFiles()
	var found []Drift
	for _, m := range p.observed.Inspect.Mounts {
		changed, known := p.c.Snapshot.HostFiles[m.Source]
		if m.Type != mount.TypeBind || m.RW || !known || !changed.ModTime.After(started) || changed.ModTime.After(p.c.Snapshot.At) {
			continue
		}
		d := Drift{
			Service: p.svc.Name, Container: p.observed.Name, Field: "volumes." + path.Clean(m.Destination),
			Desired: "the file's content", Observed: "content from before the start",
			Pos: p.svc.Pos("volumes", m.Destination), Origin: OriginFile, Remedy: RemedyReport,
			Cause: m.Source + " was edited after the container started; restart it if the application does not read it again by itself",
		}
		if key := keys[path.Clean(m.Destination)]; key != "" {
			d.Field, d.Pos, d.Remedy = key, p.c.Stack.Pos(strings.SplitN(key, ".", 2)...), RemedyRestart
			d.Cause = m.Source + " was edited after the container started, which may still see the old content"
		}
		found = append(found, d)
	}
	slices.SortFunc(found, func(a, b Drift) int { return strings.Compare(a.Field, b.Field) })
	return found
}

// copied are the digests of content by path.
func copied(c *spec.Container) map[string]string {
	digests := map[string]string{}
	for _, f := range c.Files {
		digests[f.Path] = digest(f.Content)
	}
	return digests
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
