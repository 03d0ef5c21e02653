package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
)

// host is what ties the container to this host. The network mode is set by networks.
func (b *builder) host() (*container.HostConfig, error) {
	m := &b.model
	binds, mounts, err := b.mounts()
	if err != nil {
		return nil, err
	}
	security, unconfined, err := b.securityOpts()
	if err != nil {
		return nil, err
	}
	h := &container.HostConfig{
		Binds:          binds,
		Mounts:         mounts,
		CapAdd:         m.CapAdd,
		CapDrop:        m.CapDrop,
		Init:           m.Init,
		IpcMode:        container.IpcMode(m.Ipc),
		CgroupnsMode:   container.CgroupnsMode(m.Cgroup),
		ReadonlyRootfs: m.ReadOnly,
		RestartPolicy:  engineRestart(m),
		ShmSize:        int64(m.ShmSize),
		Sysctls:        m.Sysctls,
		PortBindings:   b.portBindings(),
		Resources:      resources(m),
		VolumeDriver:   m.VolumeDriver,
		VolumesFrom:    m.VolumesFrom,
		DNS:            m.DNS,
		DNSSearch:      m.DNSSearch,
		DNSOptions:     m.DNSOpts,
		ExtraHosts:     extraHosts(m.ExtraHosts),
		SecurityOpt:    security,
		StorageOpt:     m.StorageOpt,
		UsernsMode:     container.UsernsMode(m.UserNSMode),
		UTSMode:        container.UTSMode(m.Uts),
		Privileged:     m.Privileged,
		PidMode:        container.PidMode(m.Pid),
		Tmpfs:          tmpfs(m.Tmpfs),
		Isolation:      container.Isolation(m.Isolation),
		Runtime:        m.Runtime,
		GroupAdd:       m.GroupAdd,
		Links:          b.links(),
		OomScoreAdj:    int(m.OomScoreAdj),
	}
	if len(m.Annotations) > 0 && b.needs("1.43", "annotations") {
		h.Annotations = m.Annotations
	}
	if m.Logging != nil {
		h.LogConfig = container.LogConfig{Type: m.Logging.Driver, Config: m.Logging.Options}
	}
	if unconfined {
		h.MaskedPaths, h.ReadonlyPaths = []string{}, []string{}
	}
	return h, nil
}

// extraHosts are name:address, sorted.
func extraHosts(hosts types.HostsList) []string {
	if len(hosts) == 0 {
		return nil
	}
	list := hosts.AsList(":")
	slices.Sort(list)
	return list
}

// tmpfs splits path:options.
func tmpfs(entries []string) map[string]string {
	mounts := map[string]string{}
	for _, entry := range entries {
		path, options, _ := strings.Cut(entry, ":")
		mounts[path] = options
	}
	return mounts
}

// securityOpts are as in the file, but a seccomp profile travels as its content, compacted, and
// systempaths=unconfined (second result) is expressed by empty lists of masked and read-only paths.
func (b *builder) securityOpts() (options []string, unconfined bool, err error) {
	for _, option := range b.model.SecurityOpt {
		if option == "systempaths=unconfined" {
			unconfined = true
			continue
		}
		name, value, ok := strings.Cut(option, "=")
		if !ok && option != "no-new-privileges" {
			if name, value, ok = strings.Cut(option, ":"); !ok {
				return nil, false, b.fail(fmt.Sprintf("%q is no security option", option), "write name=value, such as seccomp=profile.json", "security_opt")
			}
		}
		if name == "seccomp" && value != "unconfined" && value != "builtin" {
			profile, err := b.seccomp(value)
			if err != nil {
				return nil, false, err
			}
			option = "seccomp=" + profile
		}
		options = append(options, option)
	}
	return options, unconfined, nil
}

// seccomp reads a profile; a relative path starts in the project directory.
func (b *builder) seccomp(path string) (string, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(b.stack.WorkingDir, path)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", b.fail("read seccomp profile: "+err.Error(), "", "security_opt")
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, content); err != nil {
		return "", b.fail(fmt.Sprintf("seccomp profile %s is no JSON: %v", path, err), "", "security_opt")
	}
	return compact.String(), nil
}
