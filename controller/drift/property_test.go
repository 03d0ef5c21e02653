package drift

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"composure/controller/observe"
	"composure/spec"
	"composure/test/fixture"
)

// fragments are keys of a service with several values each; a generated service has some of them.
var fragments = map[string][]string{
	"command":           {"[serve]", `"sh -c 'exec serve'"`, "[]"},
	"entrypoint":        {"[/init]", `""`},
	"environment":       {"{A: '1'}", "[B=2, C]", "{PATH: /x, EMPTY: ''}"},
	"user":              {"root", `"1000:1000"`},
	"working_dir":       {"/", "/opt/app/"},
	"hostname":          {"front"},
	"labels":            {"{tier: front}", "[a=b, c]"},
	"healthcheck":       {"{test: [CMD, 'true']}", "{test: 'curl -f localhost', interval: 1m30s, timeout: 5s, retries: 2, start_period: 1m}", "{disable: true}", "{interval: 7s}"},
	"mem_limit":         {"64m", "67108865", "1g\n    memswap_limit: 3g", "1g\n    memswap_limit: -1"},
	"mem_reservation":   {"32m"},
	"cpus":              {"0.5", "2"},
	"pids_limit":        {"100", "-1"},
	"shm_size":          {"64m", "128m"},
	"ulimits":           {"{nofile: 10}", "{nofile: {soft: 10, hard: 20}, nproc: 5}"},
	"restart":           {"always", "'no'", "on-failure:3", "unless-stopped"},
	"ports":             {"['80']", "['127.0.0.1:8080:80', '9000-9002:90-92/udp']", "[{target: 80, published: '8000-8010'}]"},
	"expose":            {"['1234']", "['10-12']"},
	"extra_hosts":       {"['db:10.0.0.1']", "{db: 10.0.0.1, v6: '::1'}"},
	"dns":               {"9.9.9.9", "[9.9.9.9, 8.8.8.8]"},
	"volumes":           {"[/scratch]", "['data:/data']", "['./conf:/conf:ro', 'data:/data:ro']", "[{type: tmpfs, target: /t, tmpfs: {size: 1m}}]"},
	"tmpfs":             {"/run", "['/run:size=1m,mode=755']"},
	"cap_add":           {"[NET_ADMIN, SYS_TIME]", "[ALL]"},
	"cap_drop":          {"[MKNOD]"},
	"privileged":        {"true"},
	"security_opt":      {"['no-new-privileges:true']", "['label=disable']"},
	"group_add":         {"['5', '6']"},
	"sysctls":           {"{net.core.somaxconn: '1'}"},
	"stop_signal":       {"SIGINT", "SIGTERM"},
	"stop_grace_period": {"10s", "1m"},
	"logging":           {"{driver: local}", "{options: {max-size: 5m}}", "{driver: json-file, options: {max-size: 5m}}"},
	"init":              {"true", "false"},
	"tty":               {"true"},
	"pid":               {"host"},
	"ipc":               {"host", "shareable"},
	"networks":          {"[front]", "{front: {aliases: [site]}, back: {}}"},
	"oom_score_adj":     {"100"},
	"read_only":         {"true"},
	"cgroup_parent":     {"/x"},
	"runtime":           {"runc"},
	"devices":           {"['/dev/null:/dev/x:r']"},
}

// generated draws a compose file of one service.
func generated(t *rapid.T) string {
	var b strings.Builder
	image := rapid.SampledFrom([]string{"web:1", "checked:1", "postgres:15"}).Draw(t, "image")
	fmt.Fprintf(&b, "services:\n  web:\n    image: %s\n", image)
	for _, key := range slices.Sorted(maps.Keys(fragments)) {
		if rapid.Float64Range(0, 1).Draw(t, key+"?") < 0.3 {
			fmt.Fprintf(&b, "    %s: %s\n", key, rapid.SampledFrom(fragments[key]).Draw(t, key))
		}
	}
	b.WriteString("networks: {front: {}, back: {}}\nvolumes: {data: {}}\n")
	return b.String()
}

// mutations are one change each, made to what the engine says. The field is what a report must call it. A mutation
// that returns false does not fit the container, or changes nothing about it.
var mutations = []struct {
	field  string
	mutate func(c *observe.Container) bool
}{
	{"environment.ADDED", func(c *observe.Container) bool {
		c.Inspect.Config.Env = append(slices.Clone(c.Inspect.Config.Env), "ADDED=x")
		return true
	}},
	{"environment.APP_HOME", func(c *observe.Container) bool {
		c.Inspect.Config.Env = slices.DeleteFunc(slices.Clone(c.Inspect.Config.Env), func(e string) bool { return strings.HasPrefix(e, "APP_HOME=") })
		return true
	}},
	{"command", func(c *observe.Container) bool {
		c.Inspect.Config.Cmd = append(slices.Clone(c.Inspect.Config.Cmd), "x")
		return true
	}},
	{"entrypoint", func(c *observe.Container) bool {
		c.Inspect.Config.Entrypoint = append(slices.Clone(c.Inspect.Config.Entrypoint), "x")
		return true
	}},
	{"user", func(c *observe.Container) bool { c.Inspect.Config.User = "other"; return true }},
	{"working_dir", func(c *observe.Container) bool { c.Inspect.Config.WorkingDir = "/other"; return true }},
	{"hostname", func(c *observe.Container) bool {
		for _, e := range c.Inspect.NetworkSettings.Networks { // the engine makes an alias of it
			e.Aliases = slices.DeleteFunc(e.Aliases, func(alias string) bool { return alias == c.Inspect.Config.Hostname })
		}
		c.Inspect.Config.Hostname = "other"
		return true
	}},
	{"labels.added", func(c *observe.Container) bool {
		c.Inspect.Config.Labels = maps.Clone(c.Inspect.Config.Labels)
		c.Inspect.Config.Labels["added"] = "x"
		return true
	}},
	{"tty", func(c *observe.Container) bool { c.Inspect.Config.Tty = !c.Inspect.Config.Tty; return true }},
	{"stop_signal", func(c *observe.Container) bool { c.Inspect.Config.StopSignal = "SIGUSR2"; return true }},
	{"healthcheck.retries", func(c *observe.Container) bool {
		h := c.Inspect.Config.Healthcheck
		if h == nil || len(h.Test) == 0 || h.Test[0] == "NONE" {
			return false
		}
		changed := *h
		changed.Retries = 99
		c.Inspect.Config.Healthcheck = &changed
		return true
	}},
	{"mem_limit", func(c *observe.Container) bool {
		h := c.Inspect.HostConfig
		if h.Memory == 0 || h.MemorySwap != 2*h.Memory {
			return false
		}
		h.Memory, h.MemorySwap = 32<<20, 64<<20
		return true
	}},
	{"mem_reservation", func(c *observe.Container) bool { c.Inspect.HostConfig.MemoryReservation = 1 << 20; return true }},
	{"cpus", func(c *observe.Container) bool { c.Inspect.HostConfig.NanoCPUs = 1e8; return true }},
	{"pids_limit", func(c *observe.Container) bool { n := int64(7); c.Inspect.HostConfig.PidsLimit = &n; return true }},
	{"shm_size", func(c *observe.Container) bool { c.Inspect.HostConfig.ShmSize = 1 << 20; return true }},
	{"ulimits.nofile", func(c *observe.Container) bool { // one that the file does not set may be the daemon's
		limits := slices.Clone(c.Inspect.HostConfig.Ulimits)
		i := slices.IndexFunc(limits, func(u *container.Ulimit) bool { return u.Name == "nofile" })
		if i < 0 {
			return false
		}
		limits[i] = &container.Ulimit{Name: "nofile", Soft: 1, Hard: 1}
		c.Inspect.HostConfig.Ulimits = limits
		return true
	}},
	{"restart", func(c *observe.Container) bool {
		c.Inspect.HostConfig.RestartPolicy = container.RestartPolicy{Name: "on-failure", MaximumRetryCount: 99}
		return true
	}},
	{"ports.4/sctp", func(c *observe.Container) bool {
		ports := maps.Clone(c.Inspect.HostConfig.PortBindings)
		ports["4/sctp"] = []nat.PortBinding{{HostPort: "4"}}
		c.Inspect.HostConfig.PortBindings = ports
		return true
	}},
	{"extra_hosts.added", func(c *observe.Container) bool {
		c.Inspect.HostConfig.ExtraHosts = append(slices.Clone(c.Inspect.HostConfig.ExtraHosts), "added:10.1.1.1")
		return true
	}},
	{"volumes./added", func(c *observe.Container) bool {
		c.Inspect.Mounts = append(c.Inspect.Mounts, container.MountPoint{Type: mount.TypeBind, Source: "/x", Destination: "/added", RW: true, Propagation: "rprivate"})
		return true
	}},
	{"volumes./var/cache", func(c *observe.Container) bool {
		c.Inspect.Mounts = slices.DeleteFunc(c.Inspect.Mounts, func(m container.MountPoint) bool { return m.Destination == "/var/cache" })
		return true
	}},
	{"privileged", func(c *observe.Container) bool {
		h := c.Inspect.HostConfig
		if h.Privileged { // without it the engine would not have added label=disable
			return false
		}
		h.Privileged = true
		return true
	}},
	{"cap_add", func(c *observe.Container) bool {
		c.Inspect.HostConfig.CapAdd = append(slices.Clone(c.Inspect.HostConfig.CapAdd), "CAP_SYS_BOOT")
		return true
	}},
	{"read_only", func(c *observe.Container) bool {
		c.Inspect.HostConfig.ReadonlyRootfs = !c.Inspect.HostConfig.ReadonlyRootfs
		return true
	}},
	{"networks.added", func(c *observe.Container) bool {
		c.Inspect.NetworkSettings.Networks["added"] = &network.EndpointSettings{}
		return true
	}},
	{"logging.driver", func(c *observe.Container) bool {
		c.Inspect.HostConfig.LogConfig = container.LogConfig{Type: "none"}
		return true
	}},
	{"state", func(c *observe.Container) bool {
		c.Inspect.State.Status, c.Inspect.State.Paused = "paused", true
		return true
	}},
	{"name", func(c *observe.Container) bool { c.Name = "renamed"; return true }},
}

// loader loads generated files from a directory of the test, which rapid's own T has not.
type loader struct {
	t   *testing.T
	dir string
}

func (l loader) load(rt *rapid.T, text string) *spec.Stack {
	if err := os.WriteFile(filepath.Join(l.dir, "compose.yaml"), []byte(text), 0o600); err != nil {
		rt.Fatal(err)
	}
	return fixture.Load(l.t, l.dir, "compose.yaml")
}

// TestWhatTheEngineMakesIsNoDrift: whatever a file asks for, what an engine makes of it is no drift.
func TestWhatTheEngineMakesIsNoDrift(t *testing.T) {
	l := loader{t, t.TempDir()}
	rapid.Check(t, func(rt *rapid.T) {
		stack := l.load(rt, generated(rt))
		snapshot := fixture.Made(t, stack)
		if got := Compute(Input{Stack: stack, Applied: stack, Snapshot: snapshot}); got.Differs() || len(got.Gaps) > 0 {
			rt.Fatalf("drift on what was just made:\n%s", describe(got))
		}
	})
}

// TestEveryMutationIsFoundAlone: one change is one drift, named after what was changed, made by hand, and computed the
// same from the record and from the hash.
func TestEveryMutationIsFoundAlone(t *testing.T) {
	l := loader{t, t.TempDir()}
	rapid.Check(t, func(rt *rapid.T) {
		stack := l.load(rt, generated(rt))
		m := mutations[rapid.IntRange(0, len(mutations)-1).Draw(rt, "mutation")]
		snapshot := fixture.Made(t, stack)
		if !m.mutate(&snapshot.Containers[0]) {
			rt.Skip()
		}
		byHash := Compute(Input{Stack: stack, Snapshot: snapshot})
		if len(byHash.Drifts) != 1 || byHash.Drifts[0].Field != m.field || byHash.Drifts[0].Origin != OriginLive {
			rt.Fatalf("%s was changed by hand, and the report is:\n%s", m.field, describe(byHash))
		}
		byRecord := Compute(Input{Stack: stack, Applied: stack, Snapshot: snapshot})
		if diff := cmp.Diff(byHash, byRecord, cmpopts.IgnoreUnexported(Drift{})); diff != "" {
			rt.Fatalf("the record says something else than the hash (-hash +record):\n%s", diff)
		}
	})
}
