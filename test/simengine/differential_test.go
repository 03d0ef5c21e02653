//go:build linux

package simengine_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	imagetype "github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/google/go-cmp/cmp"

	"composure/spec"
	"composure/test/dockerd"
	"composure/test/simengine"
)

// TestDifferential plays one random script of API calls against the simulated and a private real engine: status, message
// and all that Composure reads of containers, networks, volumes and images must be the same after every call, and the
// events of containers at the end. DIFFERENTIAL_SEED=n plays another script, DIFFERENTIAL_STEPS=n a longer one.
func TestDifferential(t *testing.T) {
	seed, steps := fromEnv(t, "DIFFERENTIAL_SEED", 1), fromEnv(t, "DIFFERENTIAL_STEPS", 60)
	own := dockerd.Start(t, dockerd.Options{Images: []string{image}})
	prefix := "cmpsr-diff-" + strings.ToLower(rand.Text()[:6])
	measured := &subject{T: t, prefix: prefix, side: private(own)}
	simulated := &subject{T: t, prefix: prefix, side: simulation(t)}
	both := []*subject{measured, simulated}
	heard := map[*subject]func(int) []string{}
	for _, s := range both {
		s.open()
		heard[s] = s.hear()
	}
	simulated.sim.Image(image, *imageOf(measured).Config)
	for _, service := range []string{"x", "y"} {
		simulated.sim.Behave(service, func(simengine.Start) simengine.Behaviour { return stubborn.does })
	}
	script := &script{rnd: mathrand.New(mathrand.NewPCG(uint64(seed), 0))}
	for n := range steps {
		c := script.next(prefix)
		for _, s := range both {
			s.notes = nil
			s.play(c)
			s.scan()
		}
		if diff := cmp.Diff(measured.notes, simulated.notes); diff != "" {
			t.Fatalf("seed %d, step %d, %s %s %+v: the engines do not agree (-real +simulated):\n%s\nthe script so far:\n%s", seed, n, c.method, c.path, c.body, diff, script)
		}
	}
	if unknown := simulated.sim.Unknown(); len(unknown) > 0 {
		t.Errorf("the simulated engine was asked what it does not know: %v", unknown)
	}
	expected := heard[simulated](0)
	if diff := cmp.Diff(heard[measured](len(expected)), expected); diff != "" {
		t.Errorf("seed %d: the engines have told different events (-real +simulated):\n%s\nthe script:\n%s", seed, diff, script)
	}
	t.Logf("seed %d:\n%s", seed, script)
}

func fromEnv(t *testing.T, name string, otherwise int) int {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

func imageOf(s *subject) imagetype.InspectResponse {
	s.Helper()
	found, err := s.Image(s.Context(), image)
	s.must(err)
	return found
}

// apiCall is one call of a script.
type apiCall struct {
	method, path string
	body         any
}

// script makes calls at random, about few names: most meet something.
type script struct {
	rnd  *mathrand.Rand
	done []string
}

func (s *script) String() string { return strings.Join(s.done, "\n") }

func (s *script) pick(of ...string) string { return of[s.rnd.IntN(len(of))] }

// next is the next call. Names are those of a run.
func (s *script) next(prefix string) apiCall {
	checked := true // as the client does
	c, n, v := prefix+"-"+s.pick("a", "b", "c"), prefix+"-"+s.pick("net", "other"), prefix+"-"+s.pick("data", "more")
	call := apiCall{method: http.MethodPost}
	switch s.rnd.IntN(20) {
	case 0, 1, 2:
		call.path, call.body = "/containers/create?name="+c, s.container(prefix)
	case 3, 4, 5:
		call.path = "/containers/" + c + "/start"
	case 6:
		call.path = "/containers/" + c + "/stop?t=1"
	case 7:
		call.path = "/containers/" + c + "/restart?t=1"
	case 8:
		call.path = "/containers/" + c + "/kill" + s.pick("", "?signal=HUP", "?signal=SIGKILL", "?signal=9")
	case 9, 10:
		call.path = "/containers/" + c + "/" + s.pick("pause", "unpause")
	case 11:
		call.path = "/containers/" + c + "/rename?name=" + prefix + "-" + s.pick("a", "b", "c", "d")
	case 12:
		call.method, call.path = http.MethodDelete, "/containers/"+c+s.pick("", "?force=1", "?v=1", "?force=1&v=1")
	case 13:
		call.path, call.body = "/containers/"+c+"/update", s.update()
	case 14:
		call.path, call.body = "/networks/create", network.CreateRequest{Name: n, CheckDuplicate: &checked, CreateOptions: network.CreateOptions{Labels: map[string]string{spec.LabelProject: prefix}}}
	case 15:
		call.path, call.body = "/networks/"+n+"/connect", network.ConnectOptions{Container: c, EndpointConfig: &network.EndpointSettings{Aliases: []string{s.pick("web", "db")}}}
	case 16:
		call.path, call.body = "/networks/"+n+"/disconnect", network.DisconnectOptions{Container: c}
	case 17:
		call.path, call.body = "/volumes/create", map[string]any{"Name": v, "Labels": map[string]string{spec.LabelProject: prefix}}
	case 18:
		call.method, call.path = http.MethodDelete, s.pick("/networks/"+n, "/volumes/"+v)
	case 19:
		call.path, call.body = "/containers/"+c+"/exec", container.ExecOptions{Cmd: []string{"true"}}
	}
	s.done = append(s.done, fmt.Sprintf("%s %s", call.method, call.path))
	return call
}

type createBody struct {
	*container.Config
	HostConfig       *container.HostConfig
	NetworkingConfig *network.NetworkingConfig
}

func (s *script) container(prefix string) createBody {
	on := s.pick("none", "none", prefix+"-net")
	b := createBody{
		&container.Config{
			Image: image, Cmd: sleeps.argv, Env: []string{"A=" + s.pick("1", "2")}, StopSignal: s.pick("SIGKILL", ""),
			Labels: map[string]string{spec.LabelProject: prefix, spec.LabelService: s.pick("x", "y"), spec.LabelNumber: "1"},
		},
		&container.HostConfig{NetworkMode: container.NetworkMode(on), RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyMode(s.pick("", "always", "unless-stopped"))}},
		nil,
	}
	if on != "none" {
		b.NetworkingConfig = &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{on: {Aliases: []string{"first"}}}}
	}
	switch s.rnd.IntN(4) {
	case 0:
		b.HostConfig.Binds = []string{prefix + "-data:/data:rw"}
	case 1:
		b.Volumes = map[string]struct{}{"/own": {}}
	case 2:
		b.HostConfig.Memory = 64 << 20
	}
	return b
}

func (s *script) update() container.UpdateConfig {
	if s.rnd.IntN(2) == 0 {
		return container.UpdateConfig{RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyMode(s.pick("no", "always"))}}
	}
	return container.UpdateConfig{Resources: container.Resources{Memory: 48 << 20, MemorySwap: 96 << 20}}
}

// play makes a call and notes the answer.
func (s *subject) play(c apiCall) {
	status, text := s.ask(s.Context(), c.method, c.path, c.body)
	s.note("%s %s: %d %s", c.method, c.path, status, plainAnswer(status, text))
}

var (
	longID  = regexp.MustCompile(`[0-9a-f]{64}`)
	shortID = regexp.MustCompile(`\b[0-9a-f]{12}\b`)
)

// plainAnswer is an answer without ids. What a success says is looked at by scan.
func plainAnswer(status int, text string) string {
	if status < 400 {
		return ""
	}
	return shortID.ReplaceAllString(longID.ReplaceAllString(text, "<id>"), "<id>")
}

// scan notes all that Composure reads of the run's objects.
func (s *subject) scan() {
	s.Helper()
	all, err := s.Containers(s.Context(), s.prefix)
	s.must(err)
	slices.SortFunc(all, func(a, b container.Summary) int { return strings.Compare(a.Names[0], b.Names[0]) })
	for _, c := range all {
		s.note("listed: %s %s %s", c.Names, c.Image, c.State)
		s.json("inspected", read(s.look(c.ID)))
	}
	networks, err := s.Networks(s.Context(), s.prefix)
	s.must(err)
	slices.SortFunc(networks, func(a, b network.Inspect) int { return strings.Compare(a.Name, b.Name) })
	for _, n := range networks {
		s.note("network: %s %s %s internal %t attachable %t, %d options", n.Name, n.Driver, n.Scope, n.Internal, n.Attachable, len(n.Options))
	}
	volumes, err := s.Volumes(s.Context(), s.prefix)
	s.must(err)
	for _, v := range volumes {
		s.note("volume: %s %s %s", v.Name, v.Driver, v.Scope)
	}
	slices.Sort(s.notes[len(s.notes)-len(volumes):])
}

func (s *subject) json(what string, v any) {
	text, err := json.MarshalIndent(v, "", " ")
	s.must(err)
	s.note("%s: %s", what, shortID.ReplaceAllString(longID.ReplaceAllString(string(text), "<id>"), "<id>"))
}

// read is what drift, diagnosis and act read of an inspection.
func read(c *container.InspectResponse) map[string]any {
	h, endpoints := c.HostConfig, map[string]any{}
	for name, e := range c.NetworkSettings.Networks {
		slices.Sort(e.Aliases)
		endpoints[name] = map[string]any{"Aliases": e.Aliases, "IPAM": e.IPAMConfig, "ID": e.NetworkID != "", "Address": e.IPAddress != ""}
	}
	var mounts []string
	for _, m := range c.Mounts {
		mounts = append(mounts, fmt.Sprintf("%s %s at %s, %s %s, written %t", m.Type, m.Name, m.Destination, m.Driver, m.Mode, m.RW))
	}
	slices.Sort(mounts)
	slices.Sort(c.Config.Env)
	return map[string]any{
		"Name": c.Name, "RestartCount": c.RestartCount, "Mounts": mounts, "Networks": endpoints, "Config": c.Config,
		"State": map[string]any{
			"Status": c.State.Status, "Running": c.State.Running, "Paused": c.State.Paused, "Restarting": c.State.Restarting, "OOMKilled": c.State.OOMKilled,
			"ExitCode": c.State.ExitCode, "Error": c.State.Error, "Started": !strings.HasPrefix(c.State.StartedAt, "0001"), "Finished": !strings.HasPrefix(c.State.FinishedAt, "0001"), "Pid": c.State.Pid > 0,
		},
		"Host": map[string]any{
			"RestartPolicy": h.RestartPolicy, "Memory": h.Memory, "MemorySwap": h.MemorySwap, "MemoryReservation": h.MemoryReservation, "NanoCPUs": h.NanoCPUs, "NetworkMode": h.NetworkMode,
			"Binds": h.Binds, "Mounts": h.Mounts, "PortBindings": h.PortBindings, "LogConfig": h.LogConfig, "ShmSize": h.ShmSize, "IpcMode": h.IpcMode, "CgroupnsMode": h.CgroupnsMode, "Runtime": h.Runtime, "AutoRemove": h.AutoRemove,
		},
	}
}

// hear subscribes as Composure does; what it returns gives what was heard, once there is so much of it, or a minute is over, and
// nothing more comes.
func (s *subject) hear() func(least int) []string {
	ctx, cancel := context.WithCancel(s.Context())
	messages, ended := s.Events(ctx, s.prefix)
	var mu sync.Mutex
	var heard []string
	go func() {
		for {
			select {
			case m := <-messages:
				// The real engine also tells of a network at every start and end, and of a volume at every use: what
				// happens to the container says the same.
				if a := m.Actor.Attributes; m.Type == events.ContainerEventType {
					mu.Lock()
					heard = append(heard, strings.TrimSpace(fmt.Sprintln(m.Action, a["name"], a["signal"], a["exitCode"])))
					mu.Unlock()
				}
			case <-ended:
				return
			}
		}
	}()
	return func(least int) []string {
		defer cancel()
		deadline := time.Now().Add(time.Minute)
		for n := -1; ; time.Sleep(500 * time.Millisecond) {
			mu.Lock()
			now := slices.Clone(heard)
			mu.Unlock()
			if n == len(now) && (n >= least || time.Now().After(deadline)) {
				return now
			}
			n = len(now)
		}
	}
}
