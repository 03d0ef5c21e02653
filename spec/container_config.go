package spec

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/go-connections/nat"
)

// config is what is portable between hosts. Labels and the deprecated MAC address are set by others.
func (b *builder) config() (*container.Config, error) {
	m := &b.model
	exposed, err := b.exposedPorts()
	if err != nil {
		return nil, err
	}
	return &container.Config{
		Hostname:        m.Hostname,
		Domainname:      m.DomainName,
		User:            m.User,
		ExposedPorts:    exposed,
		Tty:             m.Tty,
		OpenStdin:       m.StdinOpen,
		AttachStdout:    true,
		AttachStderr:    true,
		Cmd:             []string(m.Command),    // nil: the image's; empty: none
		Entrypoint:      []string(m.Entrypoint), // nil: the image's; empty: none
		Image:           b.svc.Image,
		WorkingDir:      m.WorkingDir,
		NetworkDisabled: m.NetworkMode == "disabled",
		StopSignal:      m.StopSignal,
		StopTimeout:     seconds(m.StopGracePeriod),
		Env:             b.env(),
		Healthcheck:     b.healthcheck(),
	}, nil
}

// env is sorted KEY=value; a KEY alone removes the image's variable. The file's own win over the proxies'.
func (b *builder) env() []string {
	var env []string
	for key, value := range b.model.Environment {
		if value != nil {
			key += "=" + *value
		}
		env = append(env, key)
	}
	for key, value := range b.facts.Proxies {
		if _, set := b.model.Environment[key]; !set {
			env = append(env, key+"="+value)
		}
	}
	slices.Sort(env)
	return env
}

// exposedPorts are those of expose (ports and ranges) and the targets of ports.
func (b *builder) exposedPorts() (nat.PortSet, error) {
	exposed := nat.PortSet{}
	for _, text := range b.model.Expose {
		proto, ports := nat.SplitProtoPort(text)
		first, last, err := nat.ParsePortRange(ports)
		if err != nil {
			return nil, b.fail(fmt.Sprintf("%q is no port: %v", text, err), "write a port or a range, such as 8080 or 9000-9005/udp", "expose")
		}
		for port := first; port <= last; port++ {
			exposed[nat.Port(fmt.Sprintf("%d/%s", port, proto))] = struct{}{}
		}
	}
	for _, p := range b.model.Ports {
		exposed[targetPort(p)] = struct{}{}
	}
	return exposed, nil
}

// targetPort is the container's side of a published port.
func targetPort(p types.ServicePortConfig) nat.Port {
	return nat.Port(strconv.FormatUint(uint64(p.Target), 10) + "/" + p.Protocol)
}

// portBindings are in the order of the file: the engine hands out host ports of a range in this order.
func (b *builder) portBindings() nat.PortMap {
	bindings := nat.PortMap{}
	for _, p := range b.model.Ports {
		target := targetPort(p)
		bindings[target] = append(bindings[target], nat.PortBinding{HostIP: p.HostIP, HostPort: p.Published})
	}
	return bindings
}

// healthcheck is nil when the image's is used as it is; fields that the file does not set inherit from the image.
func (b *builder) healthcheck() *container.HealthConfig {
	check := b.model.HealthCheck
	if check == nil {
		return nil
	}
	h := &container.HealthConfig{
		Test:        []string(check.Test),
		Interval:    duration(check.Interval),
		Timeout:     duration(check.Timeout),
		StartPeriod: duration(check.StartPeriod),
	}
	if check.Retries != nil {
		h.Retries = int(*check.Retries)
	}
	if check.Disable {
		h.Test = []string{"NONE"}
	}
	switch {
	case check.StartInterval == nil:
	case check.StartPeriod == nil:
		b.cannot("it has no effect without healthcheck.start_period; set that too, or remove it", "healthcheck", "start_interval")
	case b.needs("1.44", "healthcheck", "start_interval"):
		h.StartInterval = duration(check.StartInterval)
	}
	return h
}

func duration(d *types.Duration) time.Duration {
	if d == nil {
		return 0
	}
	return time.Duration(*d)
}

// seconds rounds down, as docker compose does.
func seconds(d *types.Duration) *int {
	if d == nil {
		return nil
	}
	s := int(time.Duration(*d) / time.Second)
	return &s
}

// engineRestart is deploy.restart_policy, else restart, else the engine's default, which is no restart.
func engineRestart(m *types.ServiceConfig) container.RestartPolicy {
	if m.Deploy != nil && m.Deploy.RestartPolicy != nil {
		p := container.RestartPolicy{Name: restartMode(m.Deploy.RestartPolicy.Condition)}
		if n := m.Deploy.RestartPolicy.MaxAttempts; n != nil {
			p.MaximumRetryCount = int(*n)
		}
		return p
	}
	name, attempts, _ := strings.Cut(m.Restart, ":")
	p := container.RestartPolicy{Name: restartMode(name)}
	p.MaximumRetryCount, _ = strconv.Atoi(attempts) // validated by the schema; none is 0
	return p
}

func restartMode(condition string) container.RestartPolicyMode {
	switch condition {
	case "none":
		return container.RestartPolicyDisabled
	case "any":
		return container.RestartPolicyAlways
	}
	return container.RestartPolicyMode(condition)
}
