package lint

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"

	"composure/spec"
)

// noticed is how late a failure may be found.
const noticed = 5 * time.Minute

func healthcheckMissing(s *subject) []breach {
	if s.job || s.want.Config.Healthcheck != nil {
		return nil
	}
	return at("has no healthcheck in the file: a hang is not noticed", "healthcheck")
}

func healthcheckDisabled(s *subject) []breach {
	h := s.want.Config.Healthcheck
	if s.job || h == nil || len(h.Test) == 0 || h.Test[0] != "NONE" {
		return nil
	}
	return at("its healthcheck is disabled: a hang is not noticed", "healthcheck")
}

// hollow are commands that answer without looking.
var hollow = []string{"true", ":", "exit 0", "/bin/true", "echo ok", "echo"}

func healthcheckHollow(s *subject) []breach {
	h := s.check()
	if h == nil || len(h.Test) < 2 || !slices.Contains(hollow, strings.ToLower(strings.TrimSpace(strings.Join(h.Test[1:], " ")))) {
		return nil
	}
	return at("its healthcheck always succeeds", "healthcheck", "test")
}

func healthcheckTimeout(s *subject) []breach {
	h := s.check()
	if h == nil {
		return nil
	}
	times := spec.HealthTimesOf(h)
	switch {
	case times.Timeout <= times.Interval:
		return nil
	case h.Timeout == 0:
		return atf([]string{"healthcheck", "interval"}, "its healthcheck may take %s, the engine's timeout, and is due every %s", times.Timeout, times.Interval)
	}
	return atf([]string{"healthcheck", "timeout"}, "its healthcheck may take %s and is due every %s", times.Timeout, times.Interval)
}

func healthcheckRetries(s *subject) []breach {
	if h := s.check(); h == nil || h.Retries != 1 {
		return nil
	}
	return at("one failed check makes it unhealthy", "healthcheck", "retries")
}

func healthcheckSlow(s *subject) []breach {
	h := s.check()
	if h == nil {
		return nil
	}
	after := spec.HealthTimesOf(h).Hang()
	if after <= noticed {
		return nil
	}
	return atf([]string{"healthcheck"}, "a hang is noticed after %s", after)
}

func healthcheckStartPeriod(s *subject) []breach {
	if h := s.check(); h == nil || h.StartPeriod > 0 {
		return nil
	}
	return at("its healthcheck counts failures from the first moment of a start", "healthcheck")
}

// check is the service's healthcheck as far as the file defines one that tests something; else nil.
func (s *subject) check() *container.HealthConfig {
	if h := s.want.Config.Healthcheck; h != nil && s.svc.Healthcheck {
		return h
	}
	return nil
}

func memoryLimit(s *subject) []breach {
	if s.want.Host.Memory > 0 {
		return nil
	}
	return at("has no memory limit: it can take what others need, and the host's killer chooses who goes", "deploy", "resources", "limits", "memory")
}

func memoryReservation(s *subject) []breach {
	limit, reserved := s.want.Host.Memory, s.want.Host.MemoryReservation
	path := []string{"deploy", "resources", "reservations", "memory"}
	if s.svc.Pos("mem_reservation") != s.svc.Pos() {
		path = []string{"mem_reservation"}
	}
	switch {
	case limit == 0 || s.job:
		return nil // said by memory-limit
	case reserved == 0:
		return at("reserves no memory", path...)
	case reserved >= limit:
		return at("reserves as much memory as it may use", path...)
	}
	return nil
}

func cpuLimit(s *subject) []breach {
	h := s.want.Host
	if h.NanoCPUs > 0 || h.CPUQuota > 0 || h.CpusetCpus != "" {
		return nil
	}
	return at("has no CPU limit", "deploy", "resources", "limits", "cpus")
}

func restartMissing(s *subject) []breach {
	if s.job || s.svc.Restart != "no" {
		return nil
	}
	return at("is not restarted by the engine when it crashes", "restart")
}

func restartJob(s *subject) []breach {
	if !s.job || (s.svc.Restart != "always" && s.svc.Restart != "unless-stopped") {
		return nil
	}
	return atf([]string{"restart"}, "is waited for to complete, and restart: %s starts it again for ever", s.svc.Restart)
}

func imageTag(s *subject) []breach {
	if s.svc.Build != nil || strings.Contains(s.svc.Image, "@") {
		return nil
	}
	name := s.svc.Image[strings.LastIndexByte(s.svc.Image, '/')+1:]
	_, tag, tagged := strings.Cut(name, ":")
	switch {
	case !tagged:
		return atf([]string{"image"}, "image %s has no tag, which means latest", s.svc.Image)
	case tag == "latest":
		return atf([]string{"image"}, "image %s moves", s.svc.Image)
	}
	return nil
}

func dependsCondition(s *subject) []breach {
	var found []breach
	for _, d := range s.svc.DependsOn {
		other := s.stack.Service(d.Service)
		if other == nil || !other.Healthcheck || d.Condition != spec.ConditionStarted || s.shares(d.Service) {
			continue
		}
		found = append(found, at(fmt.Sprintf("starts as soon as %s is started, and does not wait for its healthcheck", d.Service), "depends_on", d.Service)...)
	}
	return found
}

// shares: the dependency only stands for a namespace of the other service.
func (s *subject) shares(service string) bool { return slices.Contains(s.svc.Namespaces, service) }

func stopGrace(s *subject) []breach {
	if !s.database || s.svc.StopGrace > 0 {
		return nil
	}
	return at("is a database that is killed when it needs more than 10s to stop", "stop_grace_period")
}

// rotated are drivers whose logs grow without bound on the host, and the option that bounds them.
var rotated = map[string]string{"": "max-size", "json-file": "max-size"}

func logRotation(s *subject) []breach {
	option, grows := rotated[s.want.Host.LogConfig.Type]
	if !grows || s.want.Host.LogConfig.Config[option] != "" {
		return nil
	}
	return at("its log grows until the disk is full", "logging")
}

func integrityMissing(s *subject) []breach {
	if !s.database || len(s.svc.Policy.Integrity) > 0 {
		return nil
	}
	return at("is a database without integrity checks: a loss is noticed by its users", "x-composure", "integrity")
}
