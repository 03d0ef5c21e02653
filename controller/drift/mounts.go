package drift

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"composure/controller/observe"
)

// mountPoint is what is mounted at one place, without what only matters while it is created (nocopy, SELinux labels).
type mountPoint struct {
	kind        mount.Type
	source      string // volume name, or path on the host; empty: an anonymous volume or a tmpfs
	readOnly    bool
	propagation mount.Propagation // of a bind; empty: rprivate, the engine's default
	options     string            // of a tmpfs; sub-path of a volume
}

// String renders the mount as people say it: "volume app_data", "bind ./conf (read-only)", "tmpfs (size=64m)".
func (m mountPoint) String() string {
	text := string(m.kind)
	switch {
	case m.source != "":
		text += " " + m.source
	case m.kind == mount.TypeVolume:
		text = "anonymous volume"
	}
	var notes []string
	if m.readOnly {
		notes = append(notes, "read-only")
	}
	if m.propagation != "" {
		notes = append(notes, string(m.propagation))
	}
	if m.options != "" {
		notes = append(notes, m.options)
	}
	if len(notes) > 0 {
		text += " (" + strings.Join(notes, ", ") + ")"
	}
	return text
}

// requestedMounts reads the mounts of a create request, wherever the request has them.
func requestedMounts(config *container.Config, host *container.HostConfig) map[string]mountPoint {
	mounts := map[string]mountPoint{}
	for destination := range config.Volumes {
		mounts[path.Clean(destination)] = mountPoint{kind: mount.TypeVolume}
	}
	for _, bind := range host.Binds {
		if destination, m, ok := parseBind(bind); ok {
			mounts[destination] = m
		}
	}
	for _, m := range host.Mounts {
		mounts[path.Clean(m.Target)] = requestedMount(m)
	}
	for destination, options := range host.Tmpfs {
		mounts[path.Clean(destination)] = mountPoint{kind: mount.TypeTmpfs, options: sortedOptions(options)}
	}
	return mounts
}

// parseBind reads source:destination[:mode,…]; a source that is no path is a volume's name, none an anonymous volume.
func parseBind(bind string) (destination string, m mountPoint, ok bool) {
	parts := strings.Split(bind, ":")
	switch len(parts) {
	case 1:
		return path.Clean(parts[0]), mountPoint{kind: mount.TypeVolume}, true
	case 2, 3:
	default:
		return "", mountPoint{}, false
	}
	m = mountPoint{kind: mount.TypeVolume, source: parts[0]}
	if strings.HasPrefix(parts[0], "/") {
		m.kind, m.source = mount.TypeBind, path.Clean(parts[0])
	}
	if len(parts) == 3 {
		for _, option := range strings.Split(parts[2], ",") {
			switch option {
			case "ro":
				m.readOnly = true
			case "shared", "slave", "private", "rshared", "rslave":
				m.propagation = mount.Propagation(option)
			}
		}
	}
	return path.Clean(parts[1]), m, true
}

func requestedMount(m mount.Mount) mountPoint {
	p := mountPoint{kind: m.Type, source: m.Source, readOnly: m.ReadOnly}
	switch {
	case m.Type == mount.TypeBind:
		p.source = path.Clean(m.Source)
		if m.BindOptions != nil {
			p.propagation = m.BindOptions.Propagation
		}
	case m.TmpfsOptions != nil:
		p.options = tmpfsOptions(m.TmpfsOptions)
	case m.VolumeOptions != nil && m.VolumeOptions.Subpath != "":
		p.options = "subpath " + m.VolumeOptions.Subpath
	case m.ImageOptions != nil && m.ImageOptions.Subpath != "":
		p.options = "subpath " + m.ImageOptions.Subpath
	}
	if p.propagation == mount.PropagationRPrivate {
		p.propagation = ""
	}
	return p
}

func tmpfsOptions(o *mount.TmpfsOptions) string {
	var options []string
	if o.SizeBytes != 0 {
		options = append(options, fmt.Sprintf("size=%d", o.SizeBytes))
	}
	if o.Mode != 0 {
		options = append(options, fmt.Sprintf("mode=%o", o.Mode))
	}
	for _, option := range o.Options {
		options = append(options, strings.Join(option, "="))
	}
	return sortedOptions(strings.Join(options, ","))
}

func sortedOptions(options string) string {
	if options == "" {
		return ""
	}
	list := strings.Split(options, ",")
	slices.Sort(list)
	return strings.Join(list, ",")
}

// observedMounts reads the mounts that a container has. The engine's list has what is really mounted; the request it
// was made with has the options that the list lacks, and the tmpfs that it leaves out.
func observedMounts(c *observe.Container, host *container.HostConfig) map[string]mountPoint {
	requested := requestedMounts(&container.Config{}, host)
	mounts := map[string]mountPoint{}
	for destination, m := range requested {
		if m.kind == mount.TypeTmpfs {
			mounts[destination] = m
		}
	}
	for _, m := range c.Inspect.Mounts {
		destination := path.Clean(m.Destination)
		p := mountPoint{kind: m.Type, source: m.Source, readOnly: !m.RW, options: requested[destination].options}
		switch m.Type {
		case mount.TypeVolume:
			p.source = m.Name
		case mount.TypeTmpfs:
			p.source, p.readOnly = "", requested[destination].readOnly
		case mount.TypeImage:
			p.source = requested[destination].source
		case mount.TypeBind:
			p.source = path.Clean(m.Source)
			if m.Propagation != mount.PropagationRPrivate {
				p.propagation = m.Propagation
			}
		}
		mounts[destination] = p
	}
	return mounts
}

// relocate gives a path below one project directory the place it has below another, so that a checkout elsewhere
// compares by what the paths mean.
func relocate(source, from, to string) string {
	if from == "" || to == "" || from == to {
		return source
	}
	if source == from {
		return to
	}
	if rest, inside := strings.CutPrefix(source, strings.TrimSuffix(from, "/")+"/"); inside {
		return path.Join(to, rest)
	}
	return source
}

// engineNamed are the names of anonymous volumes: 64 hexadecimal digits.
var engineNamed = regexp.MustCompile(`^[0-9a-f]{64}$`)
