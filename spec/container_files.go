package spec

import (
	"fmt"
	"path"
	"strconv"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/mount"
)

// fileReference is one config or secret of a service, with its definition.
type fileReference struct {
	kind   string // configs, secrets
	ref    types.FileReferenceConfig
	object types.FileObjectConfig
	target string // absolute path in the container
}

// copied says that the content is copied into the container, because no file on the host holds it.
func (f fileReference) copied() bool { return f.object.Content != "" || f.object.Environment != "" }

// fileReferences are the service's secrets, then its configs: where both have one target, the secret is mounted.
func (b *builder) fileReferences() ([]fileReference, error) {
	var refs []fileReference
	for _, s := range b.model.Secrets {
		refs = append(refs, fileReference{"secrets", types.FileReferenceConfig(s), types.FileObjectConfig(b.stack.project.Secrets[s.Source]), ""})
	}
	for _, c := range b.model.Configs {
		refs = append(refs, fileReference{"configs", types.FileReferenceConfig(c), types.FileObjectConfig(b.stack.project.Configs[c.Source]), ""})
	}
	for i := range refs {
		if err := b.checkFile(refs[i]); err != nil {
			return nil, err
		}
		refs[i].target = fileTarget(refs[i])
	}
	return refs, nil
}

// checkFile refuses what only a swarm can do.
func (b *builder) checkFile(f fileReference) error {
	unsupported := ""
	switch {
	case bool(f.object.External):
		unsupported = "external"
	case f.object.Driver != "":
		unsupported = "driver"
	case f.object.TemplateDriver != "":
		unsupported = "template_driver"
	default:
		return nil
	}
	return &Error{
		Pos: b.stack.Pos(f.kind, f.ref.Source, unsupported), Key: f.kind + "." + f.ref.Source + "." + unsupported,
		Problem: "only a swarm has such " + f.kind, Fix: "give the content by file, environment or content",
	}
}

func fileTarget(f fileReference) string {
	target, base := f.ref.Target, "/"
	if f.kind == "secrets" {
		base = "/run/secrets/"
	}
	switch {
	case target == "":
		return base + f.ref.Source
	case target[0] == '/':
		return target
	}
	return base + target
}

// fileMounts are the configs and secrets that stand in a file: they are bind-mounted, with the file's own owner and
// mode.
func (b *builder) fileMounts() ([]mount.Mount, error) {
	refs, err := b.fileReferences()
	if err != nil {
		return nil, err
	}
	var mounts []mount.Mount
	for _, f := range refs {
		if f.copied() {
			continue
		}
		m := mount.Mount{Type: mount.TypeBind, Source: f.object.File, Target: f.target, ReadOnly: true}
		if f.kind == "secrets" {
			m.BindOptions = &mount.BindOptions{} // docker compose writes it for secrets, not for configs
		}
		mounts = append(mounts, m)
	}
	return mounts, nil
}

// files are the configs and secrets whose content is in the compose file or in a variable. Empty content is not
// copied: docker compose does not either.
func (b *builder) files() ([]File, error) {
	refs, err := b.fileReferences()
	if err != nil {
		return nil, err
	}
	var files []File
	for _, f := range refs {
		if !f.copied() {
			continue
		}
		content, err := b.content(f)
		if err != nil {
			return nil, err
		}
		if content == "" {
			continue
		}
		if b.model.ReadOnly {
			return nil, b.fail(fmt.Sprintf("%s.%s cannot be copied into a read-only container", f.kind, f.ref.Source), "define it with `file`, or remove read_only", f.kind)
		}
		file, err := b.file(f)
		if err != nil {
			return nil, err
		}
		file.Content = []byte(content)
		files = append(files, file)
	}
	return files, nil
}

// content never names the value in an error.
func (b *builder) content(f fileReference) (string, error) {
	if f.object.Content != "" {
		return f.object.Content, nil
	}
	value, ok := b.stack.project.Environment[f.object.Environment]
	if !ok {
		return "", &Error{
			Pos: b.stack.Pos(f.kind, f.ref.Source, "environment"), Key: f.kind + "." + f.ref.Source + ".environment",
			Problem: fmt.Sprintf("variable %s is not set", f.object.Environment), Fix: "set it in the environment or in the .env file",
		}
	}
	return value, nil
}

// file is where content goes, whose it is and who may read it: root's and 0444 when the file does not say.
func (b *builder) file(f fileReference) (File, error) {
	file := File{Key: f.kind + "." + f.ref.Source, Path: path.Clean(f.target), Mode: 0o444, Secret: f.kind == "secrets"}
	if f.ref.Mode != nil {
		file.Mode = int64(*f.ref.Mode)
	}
	for _, id := range []struct {
		name, text string
		to         *int
	}{{"uid", f.ref.UID, &file.UID}, {"gid", f.ref.GID, &file.GID}} {
		if id.text == "" {
			continue
		}
		n, err := strconv.Atoi(id.text)
		if err != nil {
			return File{}, b.fail(fmt.Sprintf("%s of %s is %q", id.name, f.ref.Source, id.text), "write a number", f.kind)
		}
		*id.to = n
	}
	return file, nil
}
