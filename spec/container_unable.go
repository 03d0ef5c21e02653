package spec

import (
	"fmt"
	"strconv"

	"github.com/docker/docker/api/types/versions"
)

// engines are the releases that brought an API version, for people who do not count in API versions.
var engines = map[string]string{
	"1.43": "24.0", "1.44": "25.0", "1.45": "26.0", "1.48": "28.0", "1.49": "28.1",
}

// below says whether the connected engine speaks an older API; an unknown one counts as the newest.
func below(connected, wanted string) bool {
	return connected != "" && versions.LessThan(connected, wanted)
}

// needs says whether the connected engine has the API version that a key needs, and notes it when not.
func (b *builder) needs(api string, path ...string) bool {
	if !below(b.facts.APIVersion, api) {
		return true
	}
	b.cannot(fmt.Sprintf("the engine speaks API %s and this needs %s; use Docker Engine %s or newer, or remove the key",
		b.facts.APIVersion, api, engines[api]), path...)
	return false
}

// cannot notes a key that is not honoured. The same key is noted once.
func (b *builder) cannot(why string, path ...string) { b.note(why, false, path) }

// ignored notes a key that docker compose ignores as well.
func (b *builder) ignored(why string, path ...string) { b.note(why, true, path) }

func (b *builder) note(why string, ignored bool, path []string) {
	key := b.key(path...)
	for _, u := range b.unable {
		if u.Key == key {
			return
		}
	}
	b.unable = append(b.unable, Unable{Key: key, Pos: b.svc.Pos(path...), Why: why, Ignored: ignored})
}

// refuse notes what no engine can do for a single container, so that nothing of the file is dropped in silence.
func (b *builder) refuse() {
	m := &b.model
	if m.Umask != nil {
		b.cannot("the Engine API has no umask; set it in the entrypoint", "umask")
	}
	if m.UseAPISocket {
		b.cannot("hands the engine and all registry credentials to the container; mount /var/run/docker.sock yourself if that is meant", "use_api_socket")
	}
	if m.Provider != nil {
		b.cannot("runs a plugin of docker compose on this machine; start what it provides outside this stack", "provider")
	}
	if len(m.Models) > 0 {
		b.cannot("needs the model plugin of the docker CLI; give the endpoint as a variable", "models")
	}
	for _, hook := range []struct {
		name  string
		count int
	}{{"pre_start", len(m.PreStart)}, {"post_start", len(m.PostStart)}, {"pre_stop", len(m.PreStop)}} {
		if hook.count > 0 {
			b.cannot("hooks are run by docker compose only; do the same in the entrypoint or in a one-shot service", hook.name)
		}
	}
	if m.CredentialSpec != nil {
		b.ignored("only a swarm of Windows nodes reads it; use security_opt: credentialspec=file://…", "credential_spec")
	}
	b.ignoreSwarm()
	b.ignoreFileModes()
}

// ignoreSwarm notes what only swarm mode honours.
func (b *builder) ignoreSwarm() {
	const why = "only honoured in swarm mode; remove it"
	for _, p := range b.model.Ports {
		if p.Mode == "host" {
			b.ignored(why, "ports", strconv.Itoa(int(p.Target)))
		}
	}
	for _, v := range b.model.Volumes {
		if v.Type == "cluster" {
			b.cannot("cluster volumes exist in swarm mode only; use a volume driver", "volumes", v.Target)
		}
	}
	d := b.model.Deploy
	if d == nil {
		return
	}
	for _, part := range []struct {
		name string
		set  bool
	}{
		{"mode", d.Mode != "" && d.Mode != "replicated"},
		{"labels", len(d.Labels) > 0},
		{"update_config", d.UpdateConfig != nil},
		{"rollback_config", d.RollbackConfig != nil},
		{"endpoint_mode", d.EndpointMode != ""},
		{"placement", len(d.Placement.Constraints)+len(d.Placement.Preferences) > 0 || d.Placement.MaxReplicas > 0},
	} {
		if part.set {
			b.ignored(why, "deploy", part.name)
		}
	}
	if r := d.Resources.Reservations; r != nil && (r.NanoCPUs != 0 || r.Pids != 0 || len(r.GenericResources) > 0) {
		b.ignored("an engine reserves memory and devices only; the rest needs swarm mode", "deploy", "resources", "reservations")
	}
	if p := d.RestartPolicy; p != nil && (p.Delay != nil || p.Window != nil) {
		b.ignored("an engine knows condition and max_attempts only; delay and window need swarm mode", "deploy", "restart_policy")
	}
}

// ignoreFileModes notes uid, gid and mode of configs and secrets that stand in a file: a bind mount keeps the file's.
func (b *builder) ignoreFileModes() {
	const why = "a config or secret from a file keeps the file's own owner and mode; change them there"
	for _, s := range b.model.Secrets {
		if s.UID+s.GID != "" || s.Mode != nil {
			if b.stack.project.Secrets[s.Source].File != "" {
				b.ignored(why, "secrets", s.Source)
			}
		}
	}
	for _, c := range b.model.Configs {
		if c.UID+c.GID != "" || c.Mode != nil {
			if b.stack.project.Configs[c.Source].File != "" {
				b.ignored(why, "configs", c.Source)
			}
		}
	}
}
