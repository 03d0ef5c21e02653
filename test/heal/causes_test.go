package heal

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"composure/controller/incident"
	"composure/test/proxy"
)

// rootCause is a fault with the root cause that it must be diagnosed as.
type rootCause struct {
	cause  string
	web    string // the service, beside its image
	slow   bool   // a container's memory is sampled once a minute
	again  bool   // one more attempt is made soon after the budget ran out
	volume string // definition of the volume data
	fault  func(s *stack)
	called incident.Tier  // who is called before it is over; "": it heals by itself
	cure   func(s *stack) // when people were called, or, of what heals by itself, when it was diagnosed
	last   string         // rung that heals it; "": none is asked for
	check  func(s *stack)
}

// kill ends web as an operator would.
func kill(s *stack) { s.docker("kill", s.container("web")) }

func inside(argv ...string) func(s *stack) {
	return func(s *stack) { s.docker(append([]string{"exec", s.container("web")}, argv...)...) }
}

var rootCauses = []rootCause{
	{
		// A part of the application is missing in the container's own file system: it is made anew.
		cause: "dependency_failure",
		web: `    command: [sh, -c, "test ! -e /broken || { echo \"ModuleNotFoundError: No module named 'requests'\"; exit 1; }; exec sleep 1000"]
`,
		again: true, fault: func(s *stack) { inside("touch", "/broken")(s); kill(s) }, last: "recreate",
	},
	{
		cause: "image_broken",
		web:   "    command: [sleep, \"1000\"]\n",
		fault: func(s *stack) { inside("rm", "/bin/sleep")(s); kill(s) }, last: "recreate",
	},
	{
		cause: "startup_stuck", again: true,
		web: `    command: [sh, -c, "test -e /flag/stuck || echo ready to serve; exec sleep 1000"]
    x-composure: {probes: [{name: ready, log: {pattern: ready to serve}, interval: 1s, timeout: 1s, failures: 2, startup: 2s}]}
`,
		fault: func(s *stack) { s.write("flag/stuck", ""); s.docker("restart", s.container("web")) },
		cure:  func(s *stack) { s.must(os.Remove(filepath.Join(s.dir, "flag/stuck"))) },
	},
	{
		cause: "unusual_errors", called: incident.Emergency,
		web: `    command: [sh, -c, "test ! -e /flag/miner || { echo connecting to stratum+tcp://pool.test:3333; exit 1; }; exec sleep 1000"]
`,
		fault: func(s *stack) { s.write("flag/miner", ""); kill(s) },
		cure: func(s *stack) {
			s.must(os.Remove(filepath.Join(s.dir, "flag/miner")))
			s.docker("start", s.container("web"))
		},
	},
	{
		cause: "disk_full", called: incident.DevOps, volume: "{driver_opts: {type: tmpfs, device: tmpfs, o: size=1m}}",
		web: `    command: [sleep, "1000"]
    volumes: ["data:/data"]
    healthcheck: {test: [CMD-SHELL, "echo x > /data/$$$$ && rm /data/$$$$"], interval: 1s, timeout: 5s, retries: 3}
`,
		fault: func(s *stack) {
			_, _ = docker("exec", s.container("web"), "dd", "if=/dev/zero", "of=/data/big", "bs=64k") // ends when it is full
		},
		cure: inside("rm", "/data/big"),
	},
	{
		cause: "unknown",
		web: `    command: [sleep, "1000"]
    x-composure: {probes: [{name: works, exec: {command: [test, "!", -e, /tmp/ill]}, interval: 1s, timeout: 1s, failures: 3}]}
`,
		fault: inside("touch", "/tmp/ill"), last: "hard",
	},
	{
		// Memory is nearly used up: the limit is doubled once, without a restart, and not raised to the most at once.
		cause: "memory_pressure", slow: true,
		web: `    command: [sleep, "1000"]
    mem_limit: 64m
    x-composure: {memory: {raise_to: 1g}}
`,
		fault: func(s *stack) {
			s.docker("exec", "-d", s.container("web"), "sh", "-c", "(head -c 58000000 /dev/zero; sleep 1000) | tail")
		},
		check: func(s *stack) {
			if limit := s.inspect("web").HostConfig.Memory; limit != 128<<20 {
				s.t.Errorf("the limit is %d MiB", limit>>20)
			}
		},
	},
}

// TestRootCauses makes the root causes that a small container can have, each in a stack of its own.
func TestRootCauses(t *testing.T) {
	t.Parallel()
	for _, c := range rootCauses {
		if c.slow && !whole {
			continue
		}
		t.Run(c.cause, func(t *testing.T) {
			t.Parallel()
			c.run(t)
		})
	}
}

func (c rootCause) run(t *testing.T) {
	text := policy + "services:\n  web:\n    image: composure-test/busybox:1\n    restart: \"no\"\n    stop_signal: SIGKILL\n" + c.web
	if !strings.Contains(c.web, "volumes:") {
		text += "    volumes: [\"./flag:/flag\"]\n"
	}
	if c.volume != "" {
		text += "volumes: {data: " + c.volume + "}\n"
	}
	if c.again {
		text = strings.Replace(text, "reset: 1h", "reset: 1s", 1)
	}
	s := newStack(t, strings.ReplaceAll(c.cause, "_", ""), map[string]string{"flag/none": "", "compose.yaml": text})
	s.deploy(0)
	w := s.watch()
	w.between(func() { c.fault(s) })
	if c.cure != nil {
		s.open("web", c.cause)
		s.until("people are called", func() bool { return c.called == "" || !s.incidents()[0].Escalated[c.called].IsZero() })
		c.cure(s)
	}
	i := s.over("web")
	s.diagnosed(i, c.cause)
	if rungs := s.counted(i); c.last != "" && (len(rungs) == 0 || rungs[len(rungs)-1] != c.last) {
		t.Errorf("tried %v, expected %s to heal it", rungs, c.last)
	}
	s.until("web well", func() bool { return s.well("web") })
	s.has("web-1")
	if c.check != nil {
		c.check(s)
	}
}

// TestImageMissing: the image was pruned while its container was gone. Nothing is pulled or guessed; people are called, and
// a deployment by them ends it.
func TestImageMissing(t *testing.T) {
	t.Parallel()
	const image = prefix + "image:1"
	build := func() {
		if out, err := docker("commit", "--change", "LABEL composure.test=heal", prefix+bystander+"-web-1", image); err != nil {
			t.Fatal(out)
		}
	}
	build()
	t.Cleanup(func() { _, _ = docker("image", "rm", "-f", image) })
	s := up(t, "image", policy+"services:\n  web:\n    image: "+image+"\n    command: [sleep, \"1000\"]\n    restart: unless-stopped\n    stop_signal: SIGKILL\n")
	w := s.watch()
	kept := "composure-kept/" + s.name + "-web"
	s.until("the image kept", func() bool { out, _ := docker("image", "ls", "-q", kept); return out != "" })
	w.between(func() {
		id := s.inspect("web").Image
		s.docker("rm", "-f", s.container("web"))
		s.docker("image", "rm", "-f", id)
	})
	s.open("web", "image_missing")
	s.until("people are called", func() bool { return !s.incidents()[0].Escalated[incident.DevOps].IsZero() })
	build()
	s.deploy(0)
	s.until("it is over", func() bool { return s.incidents()[0].State == incident.Resolved })
	s.has("web-1")
}

// TestEngineAway: an engine that does not answer is one condition of the stack, and no incident of a service.
func TestEngineAway(t *testing.T) {
	t.Parallel()
	s := up(t, "away", web)
	before := []string{s.instance("web"), s.instance("canary")}
	p := proxy.New(t, s.fence.For("reconcile").Dial)
	s.watch("DOCKER_HOST=" + p.Host)
	away := func(w http.ResponseWriter, _ *http.Request) bool { panic(http.ErrAbortHandler) }
	p.Intercept(away)
	s.open("", "engine_unreachable")
	p.Intercept(nil)
	s.until("the engine is back", func() bool { return s.incidents()[0].State == incident.Mitigated }) // and is watched for ten minutes
	i := s.incidents()[0]
	if len(s.incidents()) != 1 || !slices.Equal(i.Causes, []string{"engine_unreachable"}) || len(i.Tried) > 0 {
		t.Errorf("causes %v, tried %v", i.Causes, i.Tried)
	}
	if after := []string{s.instance("web"), s.instance("canary")}; !slices.Equal(before, after) {
		t.Errorf("containers were touched: %v, %v", before, after)
	}
}

// TestMassFailure: most services fail together. That is one call for people, and no restart of each.
func TestMassFailure(t *testing.T) {
	t.Parallel()
	text := policy + "services:\n"
	names := []string{"one", "two", "three", "four"}
	for _, name := range names {
		text += "  " + name + `:
    image: composure-test/busybox:1
    command: [sleep, "1000"]
    restart: unless-stopped
    stop_signal: SIGKILL
    volumes: ["./flag:/flag"]
    healthcheck: {test: [CMD, test, "!", -e, /flag/ill], interval: 2s, timeout: 10s, retries: 2}
`
	}
	s := newStack(t, "mass", map[string]string{"flag/none": "", "compose.yaml": text})
	s.deploy(0)
	w := s.watch()
	runs := map[string]string{}
	for _, name := range names {
		runs[name] = s.instance(name)
	}
	w.between(func() {
		s.write("flag/ill", "")
		s.until("all unhealthy", func() bool { return !slices.ContainsFunc(names, s.well) })
	})
	s.open("", "mass_failure")
	s.until("people are called", func() bool { return !s.incidents()[0].Escalated[incident.DevOps].IsZero() })
	s.must(os.Remove(filepath.Join(s.dir, "flag/ill")))
	s.until("all well", func() bool {
		return !slices.ContainsFunc(names, func(name string) bool { return !s.well(name) })
	})
	for _, name := range names {
		if s.instance(name) != runs[name] {
			t.Errorf("%s was restarted", name)
		}
	}
}
