package diagnose

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"composure/controller/drift"
	"composure/controller/observe"
	"composure/spec"
)

const ringStack = `services:
  api:
    image: api:1
    restart: unless-stopped
    ports: ["8000:8000"]
    depends_on: [postgres]
  frontend:
    image: nginx:1
    ports: ["80:80"]
    depends_on: [api]
  postgres:
    image: postgres:15
    restart: always
    volumes: [data:/var/lib/postgresql/data]
  worker:
    image: worker:1
    network_mode: service:api
volumes:
  data:
`

// anything draws a scene of the stack: any state, any evidence, any lines.
func anything(t *rapid.T, stack *spec.Stack) Input {
	s := scene{Ill: map[string]string{}, Ask: map[string]bool{}, Evidence: map[string][]collected{}, Unread: map[string]string{}, Samples: map[string]observe.Stats{}, Stable: map[string]string{}, Deployed: map[string]span{}}
	flip := func(label string) bool { return rapid.Bool().Draw(t, label) }
	maybe := func(label string) *bool {
		return rapid.SampledFrom([]*bool{nil, ptr(true), ptr(false)}).Draw(t, label)
	}
	for _, svc := range stack.Services {
		name := svc.Name
		if flip(name + " ill") {
			s.Ill[name] = "judged so"
		}
		s.Ask[name] = flip(name + " asked")
		if flip(name + " deployed") {
			s.Deployed[name], s.Stable[name] = span(time.Minute), "r1"
		}
		switch rapid.IntRange(0, 9).Draw(t, name+" there") {
		case 0:
			continue
		case 1:
			s.Unread[name] = "no answer"
			continue
		}
		c := observed{
			Service: name, Started: span(rapid.Int64Range(0, int64(2*time.Hour)).Draw(t, name+" up")),
			State:    rapid.SampledFrom([]string{"created", "running", "running", "running", "paused", "restarting", "exited", "dead", "removing", "odd"}).Draw(t, name+" state"),
			Exit:     rapid.SampledFrom([]int{0, 0, 1, 126, 127, 128, 137, 139, 143, 255}).Draw(t, name+" exit"),
			Error:    rapid.SampledFrom([]string{"", "", "", "port is already allocated", "exec format error", "no space left on device"}).Draw(t, name+" error"),
			Health:   rapid.SampledFrom([]string{"", "healthy", "starting", "unhealthy"}).Draw(t, name+" health"),
			Policy:   rapid.SampledFrom([]string{"", "no", "always", "on-failure", "unless-stopped"}).Draw(t, name+" policy"),
			Streak:   rapid.IntRange(0, 5).Draw(t, name+" streak"),
			Restarts: rapid.IntRange(0, 9).Draw(t, name+" restarts"), OOMKilled: flip(name + " oom flag"),
		}
		s.Containers = append(s.Containers, c)
		if flip(name + " probed") {
			s.Probes = append(s.Probes, observe.ProbeResult{Service: name, Name: "p",
				Kind:   rapid.SampledFrom([]string{"http", "tcp", "postgres", "handshake", "log"}).Draw(t, name+" kind"),
				State:  rapid.SampledFrom([]observe.ProbeState{observe.ProbeOK, observe.ProbeFailing, observe.ProbeUnknown}).Draw(t, name+" probe"),
				Status: rapid.SampledFrom([]int{0, 200, 500, 502}).Draw(t, name+" status"), Detail: rapid.SampledFrom([]string{"", "timed out", "refused"}).Draw(t, name+" detail")})
		}
		if flip(name + " examined") {
			e := collected{Quiet: span(rapid.Int64Range(0, int64(5*time.Minute)).Draw(t, name+" quiet")), OOMAgo: span(rapid.SampledFrom([]int64{0, 0, int64(time.Minute)}).Draw(t, name+" oom"))}
			e.Log = rapid.SliceOfN(rapid.SampledFrom([]string{"ok", "MemoryError", "ModuleNotFoundError: x", "No space left on device", "run xmrig", "invalid page in block 1", "too many clients already", "address already in use"}), 0, 4).Draw(t, name+" log")
			if flip(name + " stats") {
				e.Stats = &observe.Stats{MemoryUsage: rapid.Int64Range(0, 256).Draw(t, name+" usage"), MemoryLimit: 256, CPU: rapid.Float64Range(0, 1).Draw(t, name+" cpu")}
				e.Processes = []observe.Process{{PID: 1, Command: "x"}}
			}
			if flip(name + " ports") {
				e.Ports = []observe.PortCheck{{Port: spec.Port{Published: "1", Target: 1}, Listening: maybe(name + " listens"), Reachable: maybe(name + " reached"), Mapped: flip(name + " mapped")}}
			}
			if flip(name + " database") {
				e.Database = &observe.Database{Reachable: flip(name + " r"), Accepting: flip(name + " a"), SelectOne: flip(name + " s"), Connections: rapid.IntRange(0, 100).Draw(t, name+" n"), MaxConnections: 100}
			}
			s.Evidence[name] = []collected{e}
		}
		if flip(name + " changed") {
			s.Drifts = append(s.Drifts, drift.Drift{Service: name, Field: rapid.SampledFrom([]string{"command", "labels.x", "state"}).Draw(t, name+" field"), Origin: rapid.SampledFrom([]drift.Origin{drift.OriginFile, drift.OriginLive}).Draw(t, name+" origin")})
		}
	}
	return s.input(stack)
}

func ptr(b bool) *bool { return &b }

// TestProperties: whatever is observed, a finding has proof of the engine or a probe, no log line changes whether there
// is something wrong, a masked service has a failing source and no finding, and the answer is always the same.
func TestProperties(t *testing.T) {
	stack := loadStack(t, ringStack)
	rapid.Check(t, func(t *rapid.T) {
		in := anything(t, stack)
		found := Diagnose(in)
		text := Render(found)
		if again := Render(Diagnose(in)); again != text {
			t.Fatalf("two answers:\n%s\n%s", text, again)
		}
		findings := map[string]*Finding{}
		for _, d := range found {
			findings[d.Service] = d.Finding
			checkDiagnosis(t, in, d)
		}
		for _, d := range found {
			if d.MaskedBy == d.Service {
				t.Errorf("%s masks itself", d.Service)
			}
		}
		quiet := in
		quiet.Evidence = map[string][]observe.Evidence{}
		for service, all := range in.Evidence {
			for _, e := range all {
				e.Log = []string{}
				quiet.Evidence[service] = append(quiet.Evidence[service], e)
			}
		}
		for _, d := range Diagnose(quiet) {
			if (d.Finding == nil) != (findings[d.Service] == nil) {
				t.Errorf("%s: a log line alone decides whether there is a finding: %+v, without it %+v", d.Service, findings[d.Service], d.Finding)
			}
		}
	})
}

func checkDiagnosis(t *rapid.T, in Input, d Diagnosis) {
	_, ill := in.Ill[d.Service]
	if d.Finding != nil {
		if len(d.Finding.Proof) == 0 || slices.Contains(d.Finding.Proof, "") {
			t.Errorf("%s: %s without proof", d.Service, d.Finding.Cause)
		}
		for _, line := range d.Finding.Log {
			if slices.Contains(d.Finding.Proof, line) {
				t.Errorf("%s: a log line is given as a proof of %s", d.Service, d.Finding.Cause)
			}
		}
		if !ill && d.Finding.Cause != "memory_pressure" {
			t.Errorf("%s is well, and yet %s", d.Service, d.Finding.Cause)
		}
		if d.MaskedBy != "" {
			t.Errorf("%s: masked and found", d.Service)
		}
	}
	for i, s := range d.Steps {
		if s.Depth == 0 && i > 0 && d.Steps[i-1].Depth == 1 {
			t.Errorf("%s: the tree goes on after a no", d.Service)
		}
		if s.Answer == No && s.Depth == 0 && s.Jump == "" {
			t.Errorf("%s: a no that leads nowhere", d.Service)
		}
		if s.Seen == "" {
			t.Errorf("%s: %s answers %s without what was seen", d.Service, s.Question, s.Answer)
		}
	}
}

// TestOrderOfInput: containers, probes and evidence may come in any order.
func TestOrderOfInput(t *testing.T) {
	stack := loadStack(t, ringStack)
	rapid.Check(t, func(t *rapid.T) {
		in := anything(t, stack)
		want := Render(Diagnose(in))
		slices.Reverse(in.Probes)
		slices.Reverse(in.Drift.Drifts)
		slices.Reverse(in.Snapshot.Containers)
		if got := Render(Diagnose(in)); got != want {
			t.Fatalf("another order, another answer:\n%s\n%s", want, got)
		}
	})
}

// FuzzSignatures: any pattern that the loader accepts on any line: bounded, on one line, without control characters.
func FuzzSignatures(f *testing.F) {
	f.Add("license .* refused", "license server refused")
	f.Add(`(a|a)*$`, strings.Repeat("a", 5000)+"!")
	f.Add(`.`, "\x1b[31mred\x1b[0m \u202e ##[error] ::error::x\r\n\xff")
	f.Add(`password`, `password: "hunter2" postgres://u:hunter2@h/d`)
	f.Add(`x{1000}{1000}`, "x")
	stack := loadStack(f, "services:\n  api: {image: \"api:1\", restart: always}\n")
	f.Fuzz(func(t *testing.T, pattern, line string) {
		api := *stack.Service("api")
		api.Policy.Signatures = []spec.Signature{{Pattern: pattern, Cause: "dependency_failure"}}
		own := *stack
		own.Services = []*spec.Service{&api}
		s := scene{Ill: map[string]string{"api": "crash loop"}, Containers: []observed{{Service: "api", State: "restarting", Exit: 1, Restarts: 6, Error: line, Started: span(time.Minute)}}}
		in := s.input(&own)
		in.Evidence["api"] = []observe.Evidence{{ID: "api-1", Log: []string{line}}}
		text := Render(Diagnose(in))
		for _, shown := range strings.Split(text, "\n") {
			if len(shown) > 4*longestShown+200 {
				t.Errorf("a line of %d bytes", len(shown))
			}
		}
		if i := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && (r < ' ' || r == 0x7f || r == 0x202e || r == 0x2028) }); i >= 0 {
			t.Errorf("control characters reach people: %q", text[i:])
		}
	})
}

// FuzzEnvironment: whatever stands in an environment, finding its hosts ends.
func FuzzEnvironment(f *testing.F) {
	f.Add("DATABASE_URL=postgres://app:secret@postgres:5432/app")
	f.Add("DB_HOST=postgres")
	f.Add("DSN=host=postgres user=x password=y")
	f.Fuzz(func(t *testing.T, variable string) {
		for _, host := range hosts([]string{variable}) {
			if host == "" || !strings.Contains(variable, host) {
				t.Errorf("host %q of %q", host, variable)
			}
		}
	})
}

// TestHosts: where the name of another service stands in an environment.
func TestHosts(t *testing.T) {
	for _, test := range []struct{ variable, want string }{
		{"DATABASE_URL=postgres://app:s3cret@postgres:5432/app", "[postgres]"},
		{"DSN=host=postgres port=5432 password=x", "[postgres]"},
		{"DB_HOST=postgres", "[postgres]"},
		{"REDIS_ADDR=redis:6379", "[redis]"},
		{"KAFKA_BROKERS=k1:9092, k2:9092", "[k1 k2]"},
		{"UPSTREAM=http://api:8000/v1", "[api]"},
		{"JDBC=jdbc:postgresql://db:5432/x?user=api", "[db]"},
		{"MODE=api", "[]"},
		{"PATH=/usr/bin:/bin", "[]"},
		{"NOTE=see api for more", "[]"},
	} {
		if got := fmt.Sprint(hosts([]string{test.variable})); got != test.want {
			t.Errorf("hosts(%q) = %s, want %s", test.variable, got, test.want)
		}
	}
}
