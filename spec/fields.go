package spec

// FieldClass says what becomes of a key of a service.
type FieldClass string

// Classes of keys.
const (
	FieldCompared    FieldClass = "compared"    // part of the create request: drift compares it
	FieldBehavioural FieldClass = "behavioural" // decides what is done, not what a container is
	FieldFolded      FieldClass = "folded"      // loading turns it into other keys
	FieldRefused     FieldClass = "refused"     // not supported: Container names it in Unable
	FieldIgnored     FieldClass = "ignored"     // without effect on a single engine, in docker compose too
)

// fieldClasses has every key that compose-go knows in a service. A test compares it with compose-go's types, so that a
// new version cannot add a key that is dropped in silence.
var fieldClasses = map[string]FieldClass{
	"annotations":         FieldCompared,
	"attach":              FieldBehavioural, // of docker compose's terminal
	"blkio_config":        FieldCompared,
	"build":               FieldBehavioural,
	"cap_add":             FieldCompared,
	"cap_drop":            FieldCompared,
	"cgroup":              FieldCompared,
	"cgroup_parent":       FieldCompared,
	"command":             FieldCompared,
	"configs":             FieldCompared,
	"container_name":      FieldCompared,
	"cpu_count":           FieldCompared,
	"cpu_percent":         FieldCompared,
	"cpu_period":          FieldCompared,
	"cpu_quota":           FieldCompared,
	"cpu_rt_period":       FieldCompared,
	"cpu_rt_runtime":      FieldCompared,
	"cpu_shares":          FieldCompared,
	"cpus":                FieldCompared,
	"cpuset":              FieldCompared,
	"credential_spec":     FieldIgnored,
	"depends_on":          FieldBehavioural,
	"deploy":              FieldCompared, // resources, replicas, restart_policy; the rest needs swarm mode
	"develop":             FieldBehavioural,
	"device_cgroup_rules": FieldCompared,
	"devices":             FieldCompared,
	"dns":                 FieldCompared,
	"dns_opt":             FieldCompared,
	"dns_search":          FieldCompared,
	"dockerfile":          FieldIgnored, // of compose format 1
	"domainname":          FieldCompared,
	"entrypoint":          FieldCompared,
	"env_file":            FieldFolded,
	"environment":         FieldCompared,
	"expose":              FieldCompared,
	"extends":             FieldFolded,
	"external_links":      FieldCompared,
	"extra_hosts":         FieldCompared,
	"gpus":                FieldCompared,
	"group_add":           FieldCompared,
	"healthcheck":         FieldCompared,
	"hostname":            FieldCompared,
	"image":               FieldCompared,
	"init":                FieldCompared,
	"ipc":                 FieldCompared,
	"isolation":           FieldCompared,
	"label_file":          FieldFolded,
	"labels":              FieldCompared,
	"links":               FieldCompared,
	"log_driver":          FieldIgnored, // of compose format 1
	"log_opt":             FieldIgnored, // of compose format 1
	"logging":             FieldCompared,
	"mac_address":         FieldCompared,
	"mem_limit":           FieldCompared,
	"mem_reservation":     FieldCompared,
	"mem_swappiness":      FieldCompared,
	"memswap_limit":       FieldCompared,
	"models":              FieldRefused,
	"name":                FieldFolded,  // the key of the service
	"net":                 FieldIgnored, // of compose format 1
	"network_mode":        FieldCompared,
	"networks":            FieldCompared,
	"oom_kill_disable":    FieldCompared,
	"oom_score_adj":       FieldCompared,
	"pid":                 FieldCompared,
	"pids_limit":          FieldCompared,
	"platform":            FieldCompared,
	"ports":               FieldCompared,
	"post_start":          FieldRefused,
	"pre_start":           FieldRefused,
	"pre_stop":            FieldRefused,
	"privileged":          FieldCompared,
	"profiles":            FieldBehavioural,
	"provider":            FieldRefused,
	"pull_policy":         FieldBehavioural,
	"pull_refresh_after":  FieldIgnored, // docker compose does not read it either
	"read_only":           FieldCompared,
	"restart":             FieldCompared,
	"runtime":             FieldCompared,
	"scale":               FieldBehavioural,
	"secrets":             FieldCompared,
	"security_opt":        FieldCompared,
	"shm_size":            FieldCompared,
	"stdin_open":          FieldCompared,
	"stop_grace_period":   FieldCompared,
	"stop_signal":         FieldCompared,
	"storage_opt":         FieldCompared,
	"sysctls":             FieldCompared,
	"tmpfs":               FieldCompared,
	"tty":                 FieldCompared,
	"ulimits":             FieldCompared,
	"umask":               FieldRefused,
	"use_api_socket":      FieldRefused,
	"user":                FieldCompared,
	"userns_mode":         FieldCompared,
	"uts":                 FieldCompared,
	"volume_driver":       FieldCompared,
	"volumes":             FieldCompared,
	"volumes_from":        FieldCompared,
	"working_dir":         FieldCompared,
}
