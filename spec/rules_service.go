package spec

import (
	"fmt"
	gopath "path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/distribution/reference"
)

const pullPolicies = "accepted are always, never, missing, build, daily, weekly, every_<duration>"

func (c *checker) image(s types.ServiceConfig) {
	if s.Build == nil && s.Image == "" && s.Provider == nil {
		c.failIn(s, "has neither an image nor a build section", "add one of them")
	}
	if s.Image != "" {
		if _, err := reference.ParseDockerRef(s.Image); err != nil {
			fix := "write it as name:tag, in lower case"
			if text, ok := c.positions.scalarAt([]string{"services", s.Name, "image"}); ok && strings.Contains(text, "$") {
				fix = "set the variable in " + text + ", or give it a default"
			}
			c.failIn(s, fmt.Sprintf("%q is not an image reference", s.Image), fix, "image")
		}
	}
	if _, _, err := s.GetPullPolicy(); err != nil {
		c.failIn(s, fmt.Sprintf("%q is not a pull policy", s.PullPolicy), pullPolicies, "pull_policy")
	}
	if s.PullPolicy == types.PullPolicyBuild && s.Build == nil {
		c.warnIn(s, "asks to build, but there is no build section", "add a build section", "pull_policy")
	}
	if s.Platform != "" {
		if parts := strings.Split(s.Platform, "/"); len(parts) > 3 || slices.Contains(parts, "") {
			c.failIn(s, fmt.Sprintf("%q is not a platform", s.Platform), "write it as os/architecture, such as linux/amd64", "platform")
		}
	}
}

func (c *checker) build(s types.ServiceConfig) {
	b := s.Build
	if b == nil {
		return
	}
	if b.DockerfileInline != "" && b.Dockerfile != "" {
		c.failIn(s, "stands beside dockerfile", "keep one of the two", "build", "dockerfile_inline")
	}
	if len(b.Platforms) > 0 && s.Platform != "" && !slices.Contains(b.Platforms, s.Platform) {
		c.failIn(s, fmt.Sprintf("does not include the platform of the service, %q", s.Platform), "add it", "build", "platforms")
	}
	for name, from := range b.AdditionalContexts {
		target, ok := strings.CutPrefix(from, types.ServicePrefix)
		if !ok {
			continue
		}
		other, known := c.project.AllServices()[target]
		switch {
		case !known:
			c.unknownService(s, target, "build", "additional_contexts", name)
		case other.Build == nil:
			c.failIn(s, fmt.Sprintf("the service %q has no build section", target), "name a service that is built", "build", "additional_contexts", name)
		}
	}
}

// engineName is what the engine accepts as a name of a container or volume.
var engineName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

func (c *checker) names(s types.ServiceConfig) {
	if s.ContainerName == "" {
		return
	}
	if !engineName.MatchString(s.ContainerName) {
		c.failIn(s, fmt.Sprintf("%q is not a name the engine accepts", s.ContainerName), "use at least two letters, digits, _, . and -, starting with a letter or digit", "container_name")
	}
	if s.GetScale() > 1 {
		c.failIn(s, fmt.Sprintf("a fixed name does not allow %d replicas", s.GetScale()), "remove container_name or run one replica", "container_name")
	}
}

// containerNames reports two services with the same container name, given or made from the service's.
func (c *checker) containerNames() {
	taken := map[string]string{}
	for name, s := range c.project.Services {
		for n := 1; n <= s.GetScale() && s.ContainerName == ""; n++ {
			taken[fmt.Sprintf("%s-%s-%d", c.project.Name, name, n)] = name
		}
	}
	for _, name := range c.project.ServiceNames() {
		s := c.project.Services[name]
		if s.ContainerName == "" {
			continue
		}
		if other, ok := taken[s.ContainerName]; ok {
			c.failIn(s, fmt.Sprintf("%q is the name of service %q as well", s.ContainerName, other), "choose another", "container_name")
			continue
		}
		taken[s.ContainerName] = name
	}
}

func (c *checker) scale(s types.ServiceConfig) {
	if s.Scale != nil && s.Deploy != nil && s.Deploy.Replicas != nil && *s.Scale != *s.Deploy.Replicas {
		c.failIn(s, fmt.Sprintf("is %d, but deploy.replicas is %d", *s.Scale, *s.Deploy.Replicas), "keep one of the two", "scale")
	}
	if s.GetScale() < 0 {
		path := []string{"scale"}
		if s.Scale == nil {
			path = []string{"deploy", "replicas"}
		}
		c.failIn(s, "is below 0", "write 0 or more", path...)
	}
}

// environment checks what the engine accepts as a variable.
func (c *checker) environment(s types.ServiceConfig) {
	if _, ok := s.Environment[""]; ok {
		c.failIn(s, "a variable has no name", "write NAME=value", "environment")
	}
}

func (c *checker) mounts(s types.ServiceConfig) {
	targets := map[string]bool{}
	mount := func(target string, path ...string) {
		if !strings.HasPrefix(target, "/") && !strings.Contains(target, `:\`) {
			c.failIn(s, fmt.Sprintf("the path in the container, %q, is not absolute", target), "start it with /", path...)
		}
		if targets[gopath.Clean(target)] {
			c.failIn(s, fmt.Sprintf("%q is mounted twice", target), "keep one of the mounts", path...)
		}
		targets[gopath.Clean(target)] = true
	}
	for _, tmpfs := range s.Tmpfs {
		target, _, _ := strings.Cut(tmpfs, ":")
		mount(target, "tmpfs", tmpfs)
	}
	for _, v := range s.Volumes {
		mount(v.Target, "volumes", v.Target)
	}
	if s.WorkingDir != "" && !strings.HasPrefix(s.WorkingDir, "/") && !strings.Contains(s.WorkingDir, `:\`) {
		c.failIn(s, fmt.Sprintf("%q is not an absolute path", s.WorkingDir), "start it with /", "working_dir")
	}
}

// capabilities are those of Linux 5.9 and newer; all means all of them.
var capabilities = strings.Fields(`all audit_control audit_read audit_write block_suspend bpf checkpoint_restore chown dac_override dac_read_search fowner
	fsetid ipc_lock ipc_owner kill lease linux_immutable mac_admin mac_override mknod net_admin net_bind_service net_broadcast net_raw perfmon setfcap setgid
	setpcap setuid sys_admin sys_boot sys_chroot sys_module sys_nice sys_pacct sys_ptrace sys_rawio sys_resource sys_time sys_tty_config syslog wake_alarm`)

// capabilities refuses a name that is a known one misspelt; the engine may know newer ones.
func (c *checker) capabilities(s types.ServiceConfig) {
	for key, names := range map[string][]string{"cap_add": s.CapAdd, "cap_drop": s.CapDrop} {
		for i, name := range names {
			plain := strings.TrimPrefix(strings.ToLower(name), "cap_")
			if near := nearest(plain, capabilities); near != "" && near != plain {
				c.failIn(s, fmt.Sprintf("%q is not a capability", name), fmt.Sprintf("did you mean %q?", strings.ToUpper(near)), key, fmt.Sprintf("[%d]", i))
			}
		}
	}
}

func (c *checker) healthcheck(s types.ServiceConfig) {
	h := s.HealthCheck
	if h == nil {
		return
	}
	if len(h.Test) > 0 {
		switch kind := h.Test[0]; {
		case kind != "CMD" && kind != "CMD-SHELL" && kind != "NONE":
			c.failIn(s, fmt.Sprintf("starts with %q", kind), "a list must start with CMD, CMD-SHELL or NONE; or write the command as one text", "healthcheck", "test")
		case kind != "NONE" && len(h.Test) == 1:
			c.warnIn(s, "has no command", "add what to run", "healthcheck", "test")
		}
	}
	for key, d := range map[string]*types.Duration{"interval": h.Interval, "timeout": h.Timeout, "start_period": h.StartPeriod, "start_interval": h.StartInterval} {
		if d != nil && (*d < 0 || *d > 0 && time.Duration(*d) < time.Millisecond) {
			c.failIn(s, fmt.Sprintf("%s is not allowed", time.Duration(*d)), "write 0 or at least 1ms", "healthcheck", key)
		}
	}
}

// restart checks what the engine accepts as a restart policy.
func (c *checker) restart(s types.ServiceConfig) {
	name, attempts, limited := strings.Cut(s.Restart, ":")
	switch name {
	case "", "no", "always", "unless-stopped":
		if limited {
			c.failIn(s, fmt.Sprintf("%q does not take a number of attempts", name), "use on-failure:<n>, or leave the number out", "restart")
		}
	case "on-failure":
		if n, err := strconv.Atoi(attempts); limited && (err != nil || n < 0) {
			c.warnIn(s, fmt.Sprintf("%q is not a number of attempts and counts as unlimited", attempts), "write on-failure:3", "restart")
		}
	default:
		c.failIn(s, fmt.Sprintf("%q is not a restart policy", s.Restart), "accepted are no, always, on-failure[:n], unless-stopped", "restart")
	}
	if s.Deploy == nil || s.Deploy.RestartPolicy == nil {
		return
	}
	if condition := s.Deploy.RestartPolicy.Condition; !slices.Contains([]string{"", "none", "no", "on-failure", "any", "always", "unless-stopped"}, condition) {
		c.failIn(s, fmt.Sprintf("%q is not a condition", condition), "accepted are none, on-failure, any, unless-stopped", "deploy", "restart_policy", "condition")
	}
}
