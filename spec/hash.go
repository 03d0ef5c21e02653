package spec

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/compose-spec/compose-go/v2/types"
)

// Config hashes. docker compose writes the hash of a service into the config-hash label of its containers, and
// recreates a container whose label has another one. Two generations are in use: v2.40 and v5.6. Both hash the same
// JSON of the same fields in the same order, but for the bind options of volumes (see v2Volumes).
//
// The order of the keys is the interface: it is what json.Marshal of compose-go 2.9 gave, and v5 keeps it although
// compose-go has moved its fields since. A key that is not listed follows the others, sorted.
var hashKeys = strings.Fields(`
	profiles annotations attach build develop blkio_config cap_add cap_drop cgroup_parent cgroup cpu_count cpu_percent
	cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpus cpuset cpu_shares command configs container_name
	credential_spec depends_on deploy device_cgroup_rules devices dns dns_opt dns_search dockerfile domainname
	entrypoint provider environment env_file expose extends external_links extra_hosts group_add gpus hostname
	healthcheck image init ipc isolation labels label_file links logging log_driver log_opt mem_limit mem_reservation
	memswap_limit mem_swappiness mac_address models net network_mode networks oom_kill_disable oom_score_adj pid
	pids_limit platform ports privileged pull_policy read_only restart runtime scale secrets security_opt shm_size
	stdin_open stop_grace_period stop_signal storage_opt sysctls tmpfs tty ulimits use_api_socket user userns_mode uts
	volume_driver volumes volumes_from working_dir pre_start post_start pre_stop pull_refresh_after`)

// volumeHashKeys is the order inside one entry of volumes.
var volumeHashKeys = strings.Fields("type source target read_only consistency bind volume tmpfs image")

// hashes of one service, of each generation.
type hashes struct {
	current string
	v2      string
	all     []string // without duplicates, the current one first
}

// of returns the hash that the generation of a `version` label writes; no version is the current generation.
func (h hashes) of(version string) string {
	if strings.HasPrefix(version, "2.") {
		return h.v2
	}
	return h.current
}

// hashOnce hashes the service's model at the first call, for all that follow. It is what holds while the model names no
// container of another service.
func (svc *Service) hashOnce() func() (hashes, error) {
	return sync.OnceValues(func() (hashes, error) { return serviceHashes(resolveReferences(svc.model, nil), svc.longBind) })
}

// serviceHashes hashes a service whose references are resolved. longBind says that the volume with this target is
// written in the long syntax, with bind options that leave out create_host_path.
func serviceHashes(model types.ServiceConfig, longBind func(target string) bool) (hashes, error) {
	model.Build, model.PullPolicy, model.Scale, model.DependsOn, model.Profiles = nil, "", nil, nil, nil
	if model.Deploy != nil {
		deploy := *model.Deploy
		deploy.Replicas = nil
		model.Deploy = &deploy
	}
	fields, err := jsonFields(model)
	if err != nil {
		return hashes{}, err
	}
	h := hashes{current: digest(inOrder(fields, hashKeys))}
	if len(model.Volumes) > 0 {
		if fields["volumes"], err = v2Volumes(model.Volumes, longBind); err != nil {
			return hashes{}, err
		}
	}
	h.v2 = digest(inOrder(fields, hashKeys))
	h.all = slices.Compact([]string{h.current, h.v2})
	return h, nil
}

// v2Volumes are volumes as v2 hashed them. It wrote create_host_path only when true, and took it for true in the
// short syntax and for false in the long one; v5 takes it for true in both and writes it only when false.
func v2Volumes(volumes []types.ServiceVolumeConfig, longBind func(target string) bool) (json.RawMessage, error) {
	list := make([]json.RawMessage, 0, len(volumes))
	for _, v := range volumes {
		fields, err := jsonFields(v)
		if err != nil {
			return nil, err
		}
		if v.Bind != nil {
			fields["bind"], err = json.Marshal(struct {
				SELinux        string `json:"selinux,omitempty"`
				Propagation    string `json:"propagation,omitempty"`
				CreateHostPath bool   `json:"create_host_path,omitempty"`
				Recursive      string `json:"recursive,omitempty"`
			}{v.Bind.SELinux, v.Bind.Propagation, bool(v.Bind.CreateHostPath) && !longBind(v.Target), v.Bind.Recursive})
			if err != nil {
				return nil, err
			}
		}
		list = append(list, inOrder(fields, volumeHashKeys))
	}
	return json.Marshal(list)
}

// jsonFields are the fields of a struct's JSON, each as json.Marshal writes it.
func jsonFields(v any) (map[string]json.RawMessage, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	return fields, json.Unmarshal(raw, &fields)
}

// inOrder writes an object with its keys in the given order, then the others, sorted.
func inOrder(fields map[string]json.RawMessage, order []string) json.RawMessage {
	keys := make([]string, 0, len(fields))
	for _, key := range order {
		if _, ok := fields[key]; ok {
			keys = append(keys, key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(order, key) {
			keys = append(keys, key)
		}
	}
	var out bytes.Buffer
	out.WriteByte('{')
	for i, key := range keys {
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteString(`"` + key + `":`) // keys of the model are plain words
		out.Write(fields[key])
	}
	out.WriteByte('}')
	return out.Bytes()
}

// networkHash is equal in both generations.
func networkHash(n types.NetworkConfig) string { return marshalHash(n) }

// volumeHash is equal in both generations; a volume without a driver counts as local.
func volumeHash(v types.VolumeConfig) string {
	if v.Driver == "" {
		v.Driver = "local"
	}
	return marshalHash(v)
}

// marshalHash hashes plain data, which always marshals.
func marshalHash(v any) string {
	raw, _ := json.Marshal(v)
	return digest(raw)
}

func digest(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}
