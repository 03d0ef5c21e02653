package spec

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/mount"
)

// mounts returns what is mounted, in the two forms of the Engine API that docker compose uses: plain binds and named
// volumes as "source:target:mode" (only this form creates a missing host path below API 1.42), the rest as mounts.
// Both are sorted by target. One target is mounted once: the last of the service's volumes wins, then secrets, then
// configs.
func (b *builder) mounts() (binds []string, mounts []mount.Mount, err error) {
	byTarget := b.carried()
	bindOf := map[string]string{}
	for _, v := range b.model.Volumes {
		m := b.volumeMount(v)
		if carried, ok := byTarget[v.Target]; ok && m.Type == mount.TypeVolume && m.Source == "" {
			m.Source, m.VolumeOptions = carried.Source, nil
		}
		byTarget[v.Target] = m
		bindOf[v.Target] = b.bindForm(v, m)
	}
	files, err := b.fileMounts()
	if err != nil {
		return nil, nil, err
	}
	for _, m := range files {
		if _, taken := byTarget[m.Target]; !taken {
			byTarget[m.Target] = m
		}
	}
	for _, target := range slices.Sorted(maps.Keys(byTarget)) {
		if bind := bindOf[target]; bind != "" {
			binds = append(binds, bind)
		} else {
			mounts = append(mounts, byTarget[target])
		}
	}
	return binds, mounts, nil
}

// carried are the anonymous volumes of the container that is replaced.
func (b *builder) carried() map[string]mount.Mount {
	byTarget := map[string]mount.Mount{}
	for target, volume := range b.facts.Carried {
		byTarget[target] = mount.Mount{Type: mount.TypeVolume, Source: volume, Target: target}
	}
	return byTarget
}

// volumeMount is one entry of the service's volumes as a mount.
func (b *builder) volumeMount(v types.ServiceVolumeConfig) mount.Mount {
	m := mount.Mount{
		Type: mount.Type(v.Type), Source: v.Source, Target: v.Target,
		ReadOnly: v.ReadOnly, Consistency: mount.Consistency(v.Consistency),
	}
	switch v.Type {
	case types.VolumeTypeBind:
		m.BindOptions = b.bindOptions(v)
	case types.VolumeTypeVolume:
		if volume, ok := b.stack.project.Volumes[v.Source]; ok {
			m.Source = volume.Name
		}
		if o := v.Volume; o != nil {
			m.VolumeOptions = &mount.VolumeOptions{NoCopy: o.NoCopy, Labels: o.Labels}
			if o.Subpath != "" && b.needs("1.45", "volumes", v.Target) {
				m.VolumeOptions.Subpath = o.Subpath
			}
		}
	case types.VolumeTypeTmpfs:
		if o := v.Tmpfs; o != nil {
			m.TmpfsOptions = &mount.TmpfsOptions{SizeBytes: int64(o.Size), Mode: os.FileMode(o.Mode)}
		}
	case types.VolumeTypeImage:
		if o := v.Image; o != nil {
			m.ImageOptions = &mount.ImageOptions{Subpath: o.SubPath}
		}
		b.needs("1.48", "volumes", v.Target)
	}
	return m
}

func (b *builder) bindOptions(v types.ServiceVolumeConfig) *mount.BindOptions {
	bind := v.Bind
	if bind == nil {
		return nil
	}
	o := &mount.BindOptions{
		Propagation:      mount.Propagation(bind.Propagation),
		CreateMountpoint: bool(bind.CreateHostPath),
	}
	switch bind.Recursive {
	case "disabled":
		o.NonRecursive = true
	case "writable":
		o.ReadOnlyNonRecursive = b.needs("1.44", "volumes", v.Target)
	case "readonly":
		o.ReadOnlyForceRecursive = b.needs("1.44", "volumes", v.Target)
	}
	return o
}

// longBind says that the volume with this target has bind options in the file, without create_host_path.
func (svc *Service) longBind(target string) bool {
	if svc.stack.positions == nil {
		return false
	}
	bind := []string{"services", svc.Name, "volumes", target, "bind"}
	_, long := svc.stack.positions.exact(bind)
	_, written := svc.stack.positions.exact(append(bind, "create_host_path"))
	return long && !written
}

// bindForm renders "source:target:mode" for what this form can express, else "". Anonymous volumes and volumes that
// the file does not define have no such form.
func (b *builder) bindForm(v types.ServiceVolumeConfig, m mount.Mount) string {
	switch m.Type {
	case mount.TypeBind:
		if o := v.Bind; o != nil && (!bool(o.CreateHostPath) || o.Propagation != "" || o.Recursive != "") {
			return ""
		}
	case mount.TypeVolume:
		if o := v.Volume; o != nil && (len(o.Labels) > 0 || o.Subpath != "" || o.NoCopy) {
			return ""
		}
		if _, defined := b.stack.project.Volumes[v.Source]; !defined {
			return ""
		}
	default:
		return ""
	}
	mode := "rw"
	if v.ReadOnly {
		mode = "ro"
	}
	if v.Bind != nil && v.Bind.SELinux != "" {
		mode += "," + v.Bind.SELinux
	}
	return fmt.Sprintf("%s:%s:%s", m.Source, v.Target, mode)
}
