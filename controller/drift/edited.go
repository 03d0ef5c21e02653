package drift

import (
	"maps"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"

	"composure/spec"
)

// takenOut tells what was taken out of the file from what the daemon, or the docker configuration, adds by itself to whatever it makes:
// what the file asked for when it was last applied is no default.
func takenOut(want *shape, desired, applied *spec.Container) {
	now, before := desired.Host, applied.Host
	w := &want.host
	w.LogConfig.Config = maps.Clone(w.LogConfig.Config)
	maps.DeleteFunc(w.LogConfig.Config, func(option, _ string) bool {
		_, asks := now.LogConfig.Config[option]
		_, asked := before.LogConfig.Config[option]
		return asked && !asks
	})
	w.Ulimits = slices.DeleteFunc(slices.Clone(w.Ulimits), func(u *container.Ulimit) bool {
		return hasUlimit(before, u.Name) && !hasUlimit(now, u.Name)
	})
	if now.IpcMode == "" && before.IpcMode.IsShareable() {
		w.IpcMode = container.IPCModePrivate
	}
	if now.CgroupnsMode == "" && before.CgroupnsMode != "" {
		w.CgroupnsMode = ""
	}
	asks, asked := environment(desired.Config.Env), environment(applied.Config.Env)
	want.config.Env = slices.DeleteFunc(slices.Clone(want.config.Env), func(entry string) bool {
		key, _, _ := strings.Cut(entry, "=")
		return proxies[strings.ToLower(key)] && asked[key] != "" && asks[key] == ""
	})
}

func hasUlimit(host *container.HostConfig, name string) bool {
	return slices.ContainsFunc(host.Ulimits, func(u *container.Ulimit) bool { return u.Name == name })
}
