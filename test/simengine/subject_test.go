//go:build linux

package simengine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"composure/controller/engine"
	"composure/controller/observe"
	"composure/spec"
	"composure/test/simengine"
)

// subject is what a run has of one engine.
type subject struct {
	*testing.T
	*engine.Engine
	side
	client    *http.Client
	prefix    string // of every name
	ids       []string
	leftovers []string // paths of networks and volumes to remove
	notes     []string
}

// note adds what both engines must agree on.
func (s *subject) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// want notes something that the fact's words say, and fails where it is not so.
func (s *subject) want(so bool, what string) {
	s.Helper()
	if !so {
		s.Errorf("%s: not so: %s", s.where(), what)
	}
	s.note("%s: %t", what, so)
}

func (s *subject) where() string {
	if s.sim != nil {
		return "simulated engine"
	}
	return "real engine"
}

func (s *subject) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatalf("%s: %v", s.where(), err)
	}
}

// answer notes what an error of the adapter means.
func (s *subject) answer(what string, err error) {
	kinds := []error{
		observe.ErrNetworkMissing, observe.ErrImageMissing, observe.ErrNotFound, observe.ErrConflict, observe.ErrBadCommand,
		observe.ErrPortAllocated, observe.ErrPortInUse, observe.ErrAddressTaken, observe.ErrNoAnswer, observe.ErrUnreachable,
	}
	text := "done"
	if taken := (*observe.NameTaken)(nil); errors.As(err, &taken) {
		text = fmt.Sprintf("name taken by container %d", slices.Index(s.ids, taken.Holder))
	} else if err != nil {
		text = "refused"
		if k := slices.IndexFunc(kinds, func(k error) bool { return errors.Is(err, k) }); k >= 0 {
			text = kinds[k].Error()
		}
	}
	s.note("%s: %s", what, text)
}

// ask makes one call and returns its status and message, or -1 and why there is no answer.
func (s *subject) ask(ctx context.Context, method, path string, body any) (int, string) {
	text, err := json.Marshal(body)
	if raw, ok := body.(string); ok {
		text = []byte(raw)
	}
	s.must(err)
	if body == nil {
		text = nil
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://engine/v1.41"+path, bytes.NewReader(text))
	s.must(err)
	request.Header.Set("Content-Type", "application/json")
	answer, err := s.client.Do(request)
	if err != nil {
		return -1, err.Error()
	}
	defer answer.Body.Close()
	content, _ := io.ReadAll(answer.Body)
	var message struct{ Message string }
	if answer.StatusCode >= 400 && json.Unmarshal(content, &message) == nil {
		return answer.StatusCode, message.Message
	}
	return answer.StatusCode, strings.TrimSpace(string(content))
}

// leaves makes a call and goes away a moment after the engine has been sent it. It returns the status of an answer, or -1.
func (s *subject) leaves(path string, body any) int {
	impatient, cancel := context.WithCancel(s.Context())
	defer cancel()
	sent := func(httptrace.WroteRequestInfo) { time.AfterFunc(300*time.Millisecond, cancel) }
	status, _ := s.ask(httptrace.WithClientTrace(impatient, &httptrace.ClientTrace{WroteRequest: sent}), http.MethodPost, path, body)
	return status
}

// call is ask with a note of status and message.
func (s *subject) call(method, path string, body any) {
	status, text := s.ask(s.Context(), method, path, body)
	if status < 400 {
		text = ""
	}
	what, _, _ := strings.Cut(path, "?")
	s.note("%s", s.plain(fmt.Sprintf("%s %s: %d %s", method, what, status, text)))
}

// plain is a text without what differs by chance: ids and this run's names.
func (s *subject) plain(text string) string {
	for n, id := range s.ids {
		text = strings.ReplaceAll(text, id, fmt.Sprintf("<container %d>", n))
		text = strings.ReplaceAll(text, id[:12], fmt.Sprintf("<container %d>", n))
	}
	return strings.ReplaceAll(text, s.prefix, "<run>")
}

// process is what a container runs: a command on the real engine, a behaviour on the simulated one.
type process struct {
	argv []string
	does simengine.Behaviour
}

// The processes of most runs. The first process of a container gets no signal that it does not handle, but SIGKILL.
var (
	sleeps   = process{argv: []string{"sleep", "1000"}}
	crashes  = process{argv: []string{"sh", "-c", "exit 3"}, does: simengine.Behaviour{ExitAfter: 10 * time.Millisecond, ExitCode: 3}}
	graceful = process{argv: []string{"sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"}}
	stubborn = process{argv: []string{"sleep", "1000"}, does: simengine.Behaviour{StopTakes: time.Hour}} // and keeps its stop signal
	obedient = process{argv: []string{"sh", "-c", "trap 'exit 3' USR1; trap : HUP; while :; do sleep 1000 & wait $!; done"}}
)

// change is how a container differs from one that runs a process and nothing else.
type change func(*container.Config, *container.HostConfig)

func policy(name container.RestartPolicyMode) change {
	return func(_ *container.Config, h *container.HostConfig) { h.RestartPolicy.Name = name }
}

var (
	always  = policy(container.RestartPolicyAlways)
	unless  = policy(container.RestartPolicyUnlessStopped)
	failing = policy(container.RestartPolicyOnFailure)
)

// stops sets the stop signal, which is SIGKILL otherwise, and the grace in seconds.
func stops(signal string, grace int) change {
	return func(c *container.Config, _ *container.HostConfig) { c.StopSignal, c.StopTimeout = signal, &grace }
}

// checked gives a healthcheck.
func checked(interval, timeout time.Duration, retries int, test ...string) change {
	return func(c *container.Config, _ *container.HostConfig) {
		c.Healthcheck = &container.HealthConfig{Test: test, Interval: interval, Timeout: timeout, Retries: retries}
	}
}

// create creates a container and returns its id.
func (s *subject) create(name string, p process, changes ...change) string {
	s.Helper()
	c := s.request(name, p, changes...)
	id, err := s.CreateContainer(s.Context(), s.prefix+"-"+name, c)
	s.must(err)
	s.ids = append(s.ids, id)
	return id
}

// request is what creates a container.
func (s *subject) request(name string, p process, changes ...change) spec.Container {
	if s.sim != nil {
		s.sim.Behave(name, func(simengine.Start) simengine.Behaviour { return p.does })
	}
	c := spec.Container{Host: &container.HostConfig{NetworkMode: "none"}, Config: &container.Config{
		Image: image, Cmd: p.argv, StopSignal: "SIGKILL", Labels: map[string]string{spec.LabelProject: s.prefix, spec.LabelService: name},
	}}
	for _, change := range changes {
		change(c.Config, c.Host)
	}
	return c
}

// start is create and start.
func (s *subject) start(name string, p process, changes ...change) string {
	s.Helper()
	id := s.create(name, p, changes...)
	s.must(s.Start(s.Context(), id))
	return id
}

// state notes how a container is.
func (s *subject) state(id string) {
	s.Helper()
	c, err := s.Container(s.Context(), id)
	if err != nil {
		s.answer("inspect", err)
		return
	}
	name := strings.TrimPrefix(c.Name, "/"+s.prefix+"-")
	s.note("%s: %s running %t restarting %t paused %t exit %d", name, c.State.Status, c.State.Running, c.State.Restarting, c.State.Paused, c.State.ExitCode)
}

// look is the inspection of a container.
func (s *subject) look(id string) *container.InspectResponse {
	s.Helper()
	c, err := s.Container(s.Context(), id)
	s.must(err)
	return c
}

// until waits for a state of a container.
func (s *subject) until(id string, holds func(*container.InspectResponse) bool) *container.InspectResponse {
	s.Helper()
	var found *container.InspectResponse
	s.eventually(func() bool {
		c, err := s.Container(s.Context(), id)
		found = c
		return err == nil && holds(c)
	})
	return found
}

// eventually waits for something to become so.
func (s *subject) eventually(so func() bool) {
	s.Helper()
	for began := time.Now(); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 3*time.Minute {
			s.Fatalf("%s: not within three minutes", s.where())
		}
	}
}

func running(c *container.InspectResponse) bool { return c.State.Running && !c.State.Restarting }
func ended(c *container.InspectResponse) bool   { return !c.State.Running }

// settled waits until nothing can come any more: an engine's first restart takes 100 ms.
func (s *subject) settled() { time.Sleep(300 * time.Millisecond) }

// crash ends an obedient process with 3, from inside, as no call to the engine does.
func (s *subject) crash(name, id string) {
	s.Helper()
	if s.sim != nil {
		s.sim.Crash(name, 3)
		return
	}
	_, err := s.Exec(s.Context(), id, []string{"kill", "-USR1", "1"})
	s.must(err)
}

// strike ends a container's process with SIGKILL, behind the back of a private daemon.
func (s *subject) strike(name string, c *container.InspectResponse) {
	s.Helper()
	if s.sim != nil {
		s.sim.Crash(name, 137)
		return
	}
	s.must(s.own.Command("kill", "-9", strconv.Itoa(c.State.Pid)).Run())
	s.eventually(func() bool { return !s.alive(name, c) })
}

// alive says whether the process that a container had runs on the host.
func (s *subject) alive(name string, c *container.InspectResponse) (alive bool) {
	if s.sim != nil {
		s.sim.Locked(func() { alive = s.sim.Runs(s.prefix + "-" + name) })
		return alive
	}
	err := s.own.Command("kill", "-0", strconv.Itoa(c.State.Pid)).Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		s.must(err)
	}
	return err == nil
}
