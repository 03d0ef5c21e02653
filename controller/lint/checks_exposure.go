package lint

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/mount"

	"composure/spec"
)

// hostPorts is how many ports of the host a published port takes; false when the engine chooses.
func hostPorts(p spec.Port) (int, bool) {
	from, to, isRange := strings.Cut(p.Published, "-")
	first, err := strconv.Atoi(from)
	if err != nil || first == 0 {
		return 0, false
	}
	last := first
	if isRange {
		if last, err = strconv.Atoi(to); err != nil {
			return 0, false
		}
	}
	return last - first + 1, true
}

// portReplicas: a fixed port for replicas, or one port for two services, is refused already when the file is read.
func portReplicas(s *subject) []breach {
	var found []breach
	for i, p := range s.svc.Ports {
		if n, fixed := hostPorts(p); fixed && s.svc.Replicas > n {
			found = append(found, at(fmt.Sprintf("has %d replicas, and ports %s are enough for %d of them", s.svc.Replicas, p.Published, n), "ports", fmt.Sprintf("[%d]", i))...)
		}
	}
	return found
}

func portDatabase(s *subject) []breach {
	if !s.database {
		return nil
	}
	var found []breach
	for i, p := range s.svc.Ports {
		if p.HostIP == "" || p.HostIP == "0.0.0.0" || p.HostIP == "::" {
			found = append(found, at(fmt.Sprintf("publishes port %d of a database on every address of the host, past its firewall", p.Target), "ports", fmt.Sprintf("[%d]", i))...)
		}
	}
	return found
}

func secretEnvironment(s *subject) []breach {
	var found []breach
	for _, entry := range s.want.Config.Env {
		name, value, set := strings.Cut(entry, "=")
		if set && holdsSecret(name, value) {
			found = append(found, at(name+" is a secret in the environment", "environment", name)...)
		}
	}
	return found
}

// holdsSecret: the name says so, or a password stands in the value. An address may be called a secret and hold none.
func holdsSecret(name, value string) bool {
	if spec.Mask("", value) != value {
		return true
	}
	address := strings.Contains(value, "://") || strings.HasPrefix(value, "/")
	return value != "" && !address && spec.SecretKey(name)
}

func privileged(s *subject) []breach {
	if !s.want.Host.Privileged {
		return nil
	}
	return at("is privileged", "privileged")
}

func dockerSocket(s *subject) []breach {
	return s.binds("mounts the engine's socket", func(source string) bool {
		return slices.Contains([]string{"docker.sock", "containerd.sock", "podman.sock"}, path.Base(source))
	})
}

func bindRoot(s *subject) []breach {
	return s.binds("mounts the file system of the host", func(source string) bool {
		return slices.Contains([]string{"/", "/etc", "/var", "/var/run", "/run", "/var/lib/docker", "/usr", "/boot"}, path.Clean(source))
	})
}

// binds reports the paths of the host that a service mounts and that fit.
func (s *subject) binds(text string, fits func(source string) bool) []breach {
	var found []breach
	for _, m := range s.mounts() {
		if m.Type == mount.TypeBind && fits(m.Source) {
			found = append(found, at(text, "volumes", m.Target)...)
		}
	}
	return found
}

// mounts are the binds and volumes of the service, in one form.
func (s *subject) mounts() []mount.Mount {
	all := slices.Clone(s.want.Host.Mounts)
	for _, bind := range s.want.Host.Binds {
		parts := strings.SplitN(bind, ":", 3)
		if len(parts) < 2 {
			continue
		}
		m := mount.Mount{Type: mount.TypeVolume, Source: parts[0], Target: parts[1]}
		m.ReadOnly = len(parts) == 3 && slices.Contains(strings.Split(parts[2], ","), "ro")
		if strings.HasPrefix(parts[0], "/") {
			m.Type = mount.TypeBind
		}
		all = append(all, m)
	}
	return all
}

// databaseVolume: a directory of the host keeps the data too; scripts and settings that are mounted do not.
func databaseVolume(s *subject) []breach {
	if !s.database || (s.svc.Policy.Stateful != nil && !*s.svc.Policy.Stateful) {
		return nil
	}
	for _, m := range s.mounts() {
		keeps := m.Source != "" && (m.Type == mount.TypeVolume || m.Type == mount.TypeBind)
		if keeps && !m.ReadOnly && !strings.Contains(m.Target, "initdb") {
			return nil
		}
	}
	return at("is a database without a named volume: its data goes with its container", "volumes")
}

func anonymousVolume(s *subject) []breach {
	var found []breach
	for _, m := range s.mounts() {
		if m.Type == mount.TypeVolume && m.Source == "" {
			found = append(found, at("has an anonymous volume at "+m.Target, "volumes", m.Target)...)
		}
	}
	return found
}

func databaseReplicas(s *subject) []breach {
	if !s.database || s.svc.Replicas < 2 || len(s.svc.VolumeKeys) == 0 {
		return nil
	}
	return atf([]string{"deploy", "replicas"}, "%d containers of a database write to the volume %s", s.svc.Replicas, strings.Join(s.svc.VolumeKeys, ", "))
}
