// Package spec turns compose files into the desired state: which services there must be, the exact create request
// of each of their containers, networks and volumes, and the file and line that every key came from.
//
// It is the only importer of compose-go. Everything else in the program sees a Stack. Nothing here talks to an
// engine: what a create request needs beyond the file comes in as Facts, and what goes out is the Engine API's own
// data types, so that creating a container and comparing one start from the same value and cannot disagree.
package spec

import (
	"io"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Options select the compose model, as docker compose's global flags do.
type Options struct {
	Files       []string  // -f; empty: COMPOSE_FILE, else the default names searched upwards
	ProjectName string    // -p; empty: COMPOSE_PROJECT_NAME, else `name:`, else the directory
	ProjectDir  string    // --project-directory; empty: the directory of the first file
	Profiles    []string  // --profile; empty: COMPOSE_PROFILES
	EnvFiles    []string  // --env-file; empty: .env beside the project
	WorkingDir  string    // where relative paths of the flags start, and PWD; empty: the process's working directory
	Environ     []string  // KEY=value; nil: the process's environment
	Stdin       io.Reader // of -f -; nil: the process's standard input
}

// Stack is the desired state of one compose project. It is immutable after Load.
type Stack struct {
	Name        string
	WorkingDir  string   // absolute; the project directory
	ConfigFiles []string // absolute, in the order of -f; the config_files label
	EnvFiles    []string // absolute, only those given with --env-file; the environment_file label
	Services    []*Service
	Inactive    map[string]bool // services of the files whose profile is not active; docker compose leaves their containers alone
	Networks    []*Network
	Volumes     []*Volume
	Policy      StackPolicy
	Unset       []UnsetVariable // variables the files use, without a value and without a default
	Sources     []string        // every file read while loading, absolute and sorted: what a watcher watches
	Warnings    []string        // what compose-go warned about, without secrets

	project   *types.Project
	positions *Positions
	contents  []string // of its secrets
	canonical *written
}

// Service is one service of a Stack.
type Service struct {
	Name          string
	Replicas      int    // scale or deploy.replicas; 0 is allowed
	ContainerName string // container_name, or empty
	Image         string // the reference compose uses: image, or <project>-<service> for a service that is only built
	Build         *Build // nil when the service has no build section
	Pull          PullPolicy
	Platform      string
	DependsOn     []Dependency  // sorted by service, with the implicit ones (links, volumes_from, namespaces of another service)
	Namespaces    []string      // services whose container id the create request needs (network_mode, ipc, pid, volumes_from); sorted
	NetworkKeys   []string      // keys of the networks it attaches to, highest priority first
	VolumeKeys    []string      // keys of the named volumes it mounts; sorted
	Restart       string        // no, always, on-failure[:n], unless-stopped; "no" when unset
	Healthcheck   bool          // the file defines one that is not disabled (the image may define one beside)
	Ports         []Port        // published ports
	StopGrace     time.Duration // stop_grace_period; 0 when the file does not set it
	StopSignal    string
	Policy        ServicePolicy

	model  types.ServiceConfig
	stack  *Stack
	hashes func() (hashes, error) // of the model, computed once: every container of every pass has them
}

// Port is one published port.
type Port struct {
	HostIP    string
	Published string // a port or a range as the file gives it; empty: the engine chooses
	Target    uint16
	Protocol  string
}

// Build is a service's build section, as the builder needs it. Paths are absolute.
type Build struct {
	Context            string
	Dockerfile         string
	DockerfileInline   string
	Target             string
	Args               map[string]*string
	Labels             map[string]string
	CacheFrom          []string
	Network            string
	NoCache            bool
	Pull               bool
	ShmSize            int64 // bytes
	ExtraHosts         []string
	Tags               []string
	Platforms          []string
	Isolation          string
	Ulimits            map[string]string
	Privileged         bool
	AdditionalContexts map[string]string
	Secrets            map[string]string // id → absolute path of the file; BuildKit only
	SSH                []string          // BuildKit only

	// Commit of git to build from, in a work tree of its own; empty: the context as it is. No file says so: it is how an
	// older revision is built again.
	Commit string
}

// PullPolicy says when an image is fetched: always, never, missing, build, or refresh after a time.
type PullPolicy struct {
	Mode         string
	RefreshAfter time.Duration
}

// Conditions of depends_on.
const (
	ConditionStarted   = "service_started"
	ConditionHealthy   = "service_healthy"
	ConditionCompleted = "service_completed_successfully"
)

// Dependency is one edge of depends_on.
type Dependency struct {
	Service   string
	Condition string
	Restart   bool // restart this service after the other was restarted or recreated by a deployment
	Required  bool // false: a missing or failing dependency only warns
}

// Network is one network of the file.
type Network struct {
	Key      string
	Name     string
	External bool
	Create   network.CreateOptions // with compose's labels; meaningless when External
	Hash     string
}

// Volume is one named volume of the file.
type Volume struct {
	Key      string
	Name     string
	External bool
	Create   volume.CreateOptions // with compose's labels; meaningless when External
	Hash     string
}

// UnsetVariable is a variable that the file uses without a default and that nothing sets.
type UnsetVariable struct {
	Name string
	Pos  Position
}

// Facts are what a create request needs and a compose file cannot know. The zero value gives a request that is good
// enough to compare with where the missing facts do not matter.
type Facts struct {
	APIVersion   string            // negotiated with the engine, such as "1.41"; empty: the newest that Composure knows
	Compose      string            // `version` label of the stack on the engine, such as "2.40.3"; empty: the current generation
	ImageID      string            // local id of the service's image; goes into the image label
	ContainerIDs map[string]string // service → id of its container, for the namespaces it shares
	Carried      map[string]string // destination → volume name: anonymous volumes of the container that is replaced
	Proxies      map[string]string // proxy variables of the docker configuration, such as HTTP_PROXY; the file's own win
}

// Container is what one container of a service must be: the create request, what is connected and copied after it,
// and the name it ends up with.
type Container struct {
	Service  string
	Number   int
	Name     string
	Config   *container.Config
	Host     *container.HostConfig
	Networks []Endpoint // the first is part of the create request, below API 1.44 the rest is connected after it
	Platform *ocispec.Platform
	Files    []File   // inline and environment-sourced configs and secrets, copied in before the start
	Hashes   []string // config hashes of every generation of docker compose accepted for this container
	Hash     string   // the one written to the label
	Unable   []Unable // keys that this engine cannot honour
}

// Endpoint is one network attachment.
type Endpoint struct {
	Key      string // of the file; empty for network_mode: <name>
	Network  string // the engine's name
	Settings *network.EndpointSettings
}

// File is content that is copied into a container before its first start.
type File struct {
	Key     string // of the config or secret, such as "secrets.token"
	Path    string // absolute, in the container
	Content []byte
	Mode    int64
	UID     int
	GID     int
	Secret  bool
}

// Unable is a key that the connected engine cannot honour.
type Unable struct {
	Key string // path in the file, such as "services.api.healthcheck.start_interval"
	Pos Position
	Why string // with what to do

	// Ignored: docker compose ignores the key too, so the container is complete without it. It is worth a warning and
	// holds nothing.
	Ignored bool
}

// Service returns the service of that name, or nil.
func (s *Stack) Service(name string) *Service {
	for _, svc := range s.Services {
		if svc.Name == name {
			return svc
		}
	}
	return nil
}

// Pos returns where a key stands, such as Pos("services", "api", "mem_limit"). When the key itself is not in a file
// (a default), the nearest enclosing key that is answers.
func (s *Stack) Pos(path ...string) Position { return s.positions.Of(path...) }

// Pos returns where a key of the service stands, such as Pos("environment", "LOG_LEVEL").
func (svc *Service) Pos(path ...string) Position {
	return svc.stack.Pos(append([]string{"services", svc.Name}, path...)...)
}

// Project is the name of the project the service belongs to.
func (svc *Service) Project() string { return svc.stack.Name }

// Labels of docker compose, the interface through which both tools share a stack (docker compose pkg/api/labels.go).
const (
	LabelProject         = "com.docker.compose.project"
	LabelService         = "com.docker.compose.service"
	LabelConfigHash      = "com.docker.compose.config-hash"
	LabelNumber          = "com.docker.compose.container-number"
	LabelOneOff          = "com.docker.compose.oneoff"
	LabelImage           = "com.docker.compose.image"
	LabelDependsOn       = "com.docker.compose.depends_on"
	LabelWorkingDir      = "com.docker.compose.project.working_dir"
	LabelConfigFiles     = "com.docker.compose.project.config_files"
	LabelEnvironmentFile = "com.docker.compose.project.environment_file"
	LabelReplace         = "com.docker.compose.replace"
	LabelVersion         = "com.docker.compose.version"
	LabelNetwork         = "com.docker.compose.network"
	LabelVolume          = "com.docker.compose.volume"
)

// Labels of Composure's own, on containers it made. Recreated is the id of the container that one replaces.
const (
	LabelOwnPrefix = "composure."
	LabelRecreates = "composure.recreates"
)
