package heal

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"composure/controller/incident"
	"composure/test/ports"
)

// api is the demo's application alone: it connects to its database when it is first asked for rows.
const api = `services:
  api:
    image: composure-test/api:1
    restart: unless-stopped
    stop_grace_period: 2s
    mem_limit: 48m
    memswap_limit: 48m
    ports: ["127.0.0.1:${API_PORT}:8000"]
    environment: {START_DELAY: "${DELAY:-0s}"}
    healthcheck: {test: [CMD, api, healthcheck], interval: 1s, timeout: 2s, retries: 3, start_period: 30s}
`

// upAPI deploys the application with a policy, on a port of its own.
func upAPI(t *testing.T, name, policy string) (s *stack, address string) {
	t.Helper()
	s = newStack(t, name, map[string]string{"compose.yaml": policy + api})
	port := ports.Text(t)
	s.env = append(s.env, "API_PORT="+port)
	s.deploy(0)
	return s, "http://127.0.0.1:" + port
}

// with adds stack-level keys to the policy.
func with(keys string) string {
	return strings.Replace(policy, "min_healthy", keys+"\n  min_healthy", 1)
}

// TestOutOfMemory: the kernel kills the application; the limit is raised once, as the policy allows, on record, and
// nobody fights that until it is released.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	s, address := upAPI(t, "oom", with("memory: {raise_to: 96m}"))
	s.edit("restart: unless-stopped", `restart: "no"`)
	s.deploy(0)
	s.watch()
	limit := func() int64 {
		if c := s.look("api"); c != nil {
			return c.HostConfig.Memory
		}
		return 0
	}
	s.inject(address, "leak")
	s.until("the limit raised", func() bool { return limit() == 96<<20 })
	i := s.over("api")
	s.diagnosed(i, "memory_exhaustion")
	s.until("the API well", func() bool { return s.well("api") })
	run := s.instance("api")

	s.wants(0, []string{"drift"}, "raise_memory")
	s.deploy(0)
	if limit() != 96<<20 || s.instance("api") != run {
		t.Errorf("a deployment of the same file fought the raised limit: %d", limit())
	}
	s.wants(0, []string{"release", "api"}, "released")
	s.until("the file's limit", func() bool { return limit() == 48<<20 })
	s.wants(0, []string{"drift"})
}

// TestSlowStart: a start that takes long, within what its healthcheck allows, is waited for.
func TestSlowStart(t *testing.T) {
	t.Parallel()
	s, _ := upAPI(t, "slow", policy)
	s.env = append(s.env, "DELAY=8s")
	s.deploy(0)
	s.watch()
	s.docker("kill", s.container("api"))
	s.until("started anew", func() bool { return s.inspect("api").State.Running })
	run := s.instance("api")
	i := s.over("api")
	if s.instance("api") != run {
		t.Error("a slow start was not waited for")
	}
	s.tried(i, "start")
}

// TestCrashLoop: three attempts that do not help, then hands off and one call with the documented JSON; when the cause
// is gone, the end is announced too.
func TestCrashLoop(t *testing.T) {
	t.Parallel()
	desk := newDesk(t)
	s := up(t, "crash", with("notify: [{type: webhook, url: "+desk.url+"}]")+`services:
  web:
    image: composure-test/busybox:1
    command: [sh, -c, "test ! -e /flag/crash || exit 3; exec sleep 1000"]
    restart: unless-stopped
    stop_signal: SIGKILL
    volumes: [./flag:/flag]
  canary:
    image: composure-test/busybox:1
    command: [sleep, "1000"]
    restart: unless-stopped
    stop_signal: SIGKILL
`)
	w := s.watch()
	s.write("flag/crash", "")
	s.must(syscall.Kill(s.inspect("web").State.Pid, syscall.SIGKILL))
	s.until("a call for people", func() bool { return len(desk.called("escalated")) > 0 })
	w.says("3 attempts did not help")
	s.canary()
	all := s.incidents()
	i := all[slices.IndexFunc(all, func(i incident.Incident) bool { return i.Service == "web" })]
	if i.Service != "web" || i.State != incident.Open || i.Actions != 3 || !slices.Contains(i.Causes, "crash_loop") {
		t.Errorf("expected an open crash_loop with 3 actions\n%s", s.wants(0, []string{"incidents", "show", i.ID}))
	}
	c := desk.called("escalated")
	if len(c) != 1 || c[0].Schema != "composure.notification/v1" || c[0].Tier != "devops" || c[0].Incident.ID != i.ID ||
		c[0].Incident.Service != "web" || len(c[0].Incident.Proof) == 0 || len(c[0].Incident.Steps) == 0 || c[0].Incident.FailedActions != 3 {
		t.Errorf("expected one call to DevOps with the whole incident: %+v", c)
	}
	s.docker("run", "--rm", "--network", "none", "-v", s.dir+"/flag:/flag", "composure-test/busybox:1", "rm", "/flag/crash")
	s.until("the end announced", func() bool { return len(desk.called("resolved")) == 1 })
	s.wants(0, []string{"drift"})
}

// call is what a webhook gets, as far as the tests look at it.
type call struct {
	Schema, Event, Tier, Title string

	Incident struct {
		ID, Service, Cause, State string
		Proof, Steps              []string
		FailedActions             int `json:"failed_actions"`
	}
}

// desk is where people are called: a webhook receiver.
type desk struct {
	url   string
	mu    sync.Mutex
	calls []call
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var c call
		if err != nil || json.Unmarshal(body, &c) != nil {
			t.Errorf("not the documented JSON: %s", body)
		}
		d.mu.Lock()
		d.calls = append(d.calls, c)
		d.mu.Unlock()
	}))
	t.Cleanup(server.Close)
	d.url = server.URL
	return d
}

// called are the calls of an event so far.
func (d *desk) called(event string) []call {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(d.calls), func(c call) bool { return c.Event != event })
}

// TestRollback: a version that breaks after its deployment is rolled back to the one that was proven, by itself; that is
// on record, and nobody fights it until it is released.
func TestRollback(t *testing.T) {
	t.Run("deployed with composure", func(t *testing.T) {
		rollsBack(t, "rollback", func(s *stack) { s.deploy(0) })
	})
	t.Run("deployed with docker compose", func(t *testing.T) {
		if peer := composePeer(t); peer != "" {
			rollsBack(t, "outside", func(s *stack) { s.compose(peer, "up", "-d", "--pull", "never", "web") })
		}
	})
}

func rollsBack(t *testing.T, name string, deploy func(*stack)) {
	t.Parallel()
	s := newStack(t, name, map[string]string{"flag/none": "", "compose.yaml": strings.Replace(policy, "stable: 2s", "stable: 15s", 1) + `services:
  web:
    image: composure-test/busybox:1
    command: [sleep, "1000"]
    restart: unless-stopped
    stop_signal: SIGKILL
    volumes: [./flag:/flag]
    healthcheck: {test: [CMD, sh, -c, "! grep -q 2 /etc/version || test ! -e /flag/broken"], interval: 1s, timeout: 5s, retries: 2}
`})
	s.deploy(0)
	s.watch()
	proven := s.inspect("web").Image
	s.until("the first version proven", func() bool {
		out, _ := docker("image", "ls", "-q", "--no-trunc", "composure-kept/"+s.name+"-web")
		return out == proven
	})
	s.edit("busybox:1", "busybox:2")
	deploy(s)
	if s.inspect("web").Image == proven {
		t.Fatal("the second version was not deployed")
	}
	s.write("flag/broken", "")
	s.until("back at the proven version", func() bool { c := s.look("web"); return c != nil && c.Image == proven && s.well("web") })
	s.has("web-1")
	i := s.over("web")
	s.diagnosed(i, "bad_deployment")
	s.wants(0, []string{"drift"}, "rollback")
	run := s.instance("web")
	s.deploy(0)
	if s.instance("web") != run {
		t.Error("a deployment of the same file fought the rollback")
	}
	s.must(os.Remove(s.dir + "/flag/broken"))
	s.wants(0, []string{"release", "web"}, "released")
	s.until("the file's version", func() bool { c := s.look("web"); return c != nil && c.Image != proven && s.well("web") })
}
