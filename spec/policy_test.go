package spec

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// defaultPolicy is what a file without x-composure means; people read these numbers in the documentation.
func defaultPolicy() ServicePolicy {
	return ServicePolicy{
		Mode: "heal", Severity: "high", Rollback: "auto", MinHealthy: 10 * time.Second,
		Memory: MemoryPolicy{Alert: 0.85},
		Remediation: Remediation{
			Ladder: []string{"graceful", "hard", "rollback", "escalate"}, Attempts: 3, Stable: 10 * time.Minute,
			Backoff:   Backoff{Initial: 10 * time.Second, Factor: 2, Max: 5 * time.Minute, Reset: 30 * time.Minute},
			StopGrace: time.Minute, HardLimit: 64 << 20,
		},
	}
}

func TestPolicyDefaults(t *testing.T) {
	stack := loadText(t, "services:\n  web:\n    image: app:1\n")
	want := StackPolicy{
		Defaults: defaultPolicy(), Deploy: "manual", Prune: "report", ManualStop: "restore",
		Escalation: Escalation{Unresolved: 30 * time.Minute, Outage: time.Hour, Acknowledge: 15 * time.Minute, Recurrence: 24 * time.Hour},
	}
	if diff := cmp.Diff(want, stack.Policy); diff != "" {
		t.Errorf("stack (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(defaultPolicy(), stack.Service("web").Policy); diff != "" {
		t.Errorf("service (-want +got):\n%s", diff)
	}
}

// TestPolicyInheritance: a service takes the stack's defaults key by key, and replaces lists.
func TestPolicyInheritance(t *testing.T) {
	stack := loadText(t, `
x-composure:
  mode: observe
  remediation:
    attempts: 5
    backoff: {initial: 1s, max: 1m}
    ladder: [graceful, escalate]
  signatures:
    - {pattern: boom, cause: crash_loop}
    - {pattern: bang, cause: crash_loop}
services:
  api:
    image: app:1
    x-composure:
      mode: heal
      remediation:
        backoff: {max: 2m}
      signatures:
        - {pattern: own, cause: disk_full}
  db:
    image: pg
`)
	inherited := defaultPolicy()
	inherited.Mode = "observe"
	inherited.Remediation.Attempts = 5
	inherited.Remediation.Backoff.Initial, inherited.Remediation.Backoff.Max = time.Second, time.Minute
	inherited.Remediation.Ladder = []string{"graceful", "escalate"}
	inherited.Signatures = []Signature{{Pattern: "boom", Cause: "crash_loop"}, {Pattern: "bang", Cause: "crash_loop"}}
	own := inherited
	own.Mode = "heal"
	own.Remediation.Backoff.Max = 2 * time.Minute
	own.Signatures = []Signature{{Pattern: "own", Cause: "disk_full"}}
	for name, want := range map[string]ServicePolicy{"db": inherited, "api": own} {
		if diff := cmp.Diff(want, stack.Service(name).Policy, cmpopts.IgnoreTypes(Position{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestPolicyValues: every kind of value, in every way it may be written.
func TestPolicyValues(t *testing.T) {
	stack := loadText(t, `
x-composure:
  deploy: auto
  prune: remove
  manual_stop: hold
  stop_port_holders: old-api
  escalation: {unresolved: 1h30m, outage: 2d}
  notify:
    - type: email
      host: mail.example.com
      from: a@example.com
      to: b@example.com
      tiers: emergency
    - {type: webhook, url: "https://example.com/hook"}
services:
  api:
    image: app:1
    x-composure:
      stateful: true
      memory: {alert: 90%, raise_to: 2g}
      remediation: {stack_dump: USR1, terminate_idle: 5m, hard_limit: "1048576", rebuild: true}
      probes:
        - http: http://localhost:8080/health
        - http: {url: "https://localhost/x", status: 204, body: "ok|fine", latency: 500ms}
          name: slow
          from: network
        - tcp: 5432
        - postgres: postgres://app@db/app
        - exec: [test, -f, /ready]
        - log: ready to accept
          interval: 1m
          failures: 1
      integrity:
        - {name: rows, sql: select count(*) from t}
        - {name: list, endpoint: "http://localhost:8080/api"}
      maintenance:
        - {cron: "0 3 * * 0", duration: 2h}
`)
	if got := stack.Policy; got.Deploy != "auto" || got.Prune != "remove" || got.ManualStop != "hold" || got.Escalation.Outage != 48*time.Hour {
		t.Errorf("stack policy: %+v", got)
	}
	wantNotify := []Notifier{
		{Type: "email", Tiers: []string{"emergency"}, Set: map[string]string{"host": "mail.example.com", "from": "a@example.com", "to": "b@example.com"}},
		{Type: "webhook", Set: map[string]string{"url": "https://example.com/hook"}},
	}
	if diff := cmp.Diff(wantNotify, stack.Policy.Notify, cmpopts.IgnoreTypes(Position{})); diff != "" {
		t.Errorf("notify (-want +got):\n%s", diff)
	}
	probe := func(name string, set func(*Probe)) Probe {
		p := Probe{Name: name, From: "host", Interval: 10 * time.Second, Timeout: 5 * time.Second, Failures: 3, Successes: 1}
		set(&p)
		return p
	}
	stateful := true
	want := defaultPolicy()
	want.Stateful = &stateful
	want.Memory = MemoryPolicy{Alert: 0.9, RaiseTo: 2 << 30}
	want.Remediation.StackDump, want.Remediation.Terminate = "USR1", 5*time.Minute
	want.Remediation.HardLimit, want.Remediation.Rebuild = 1<<20, true
	want.Probes = []Probe{
		probe("http", func(p *Probe) { p.HTTP = &HTTPProbe{URL: "http://localhost:8080/health"} }),
		probe("slow", func(p *Probe) {
			p.HTTP = &HTTPProbe{URL: "https://localhost/x", Status: []int{204}, Body: "ok|fine", Latency: 500 * time.Millisecond}
			p.From = "network"
		}),
		probe("tcp", func(p *Probe) { p.TCP = &TCPProbe{Port: 5432} }),
		probe("postgres", func(p *Probe) { p.Postgres = &PostgresProbe{DSN: "postgres://app@db/app"} }),
		probe("exec", func(p *Probe) { p.Exec = &ExecProbe{Command: []string{"test", "-f", "/ready"}} }),
		probe("log", func(p *Probe) {
			p.Log = &LogProbe{Pattern: "ready to accept"}
			p.Interval, p.Failures = time.Minute, 1
		}),
	}
	want.Integrity = []IntegrityCheck{{Name: "rows", SQL: "select count(*) from t"}, {Name: "list", Endpoint: "http://localhost:8080/api"}}
	want.Maintenance = []Window{{Cron: "0 3 * * 0", Duration: 2 * time.Hour}}
	if diff := cmp.Diff(want, stack.Service("api").Policy, cmpopts.IgnoreTypes(Position{})); diff != "" {
		t.Errorf("service policy (-want +got):\n%s", diff)
	}
	if line := stack.Service("api").Policy.Probes[2].Pos.Line; line != 27 {
		t.Errorf("third probe at line %d, want 27", line)
	}
}

// TestPolicyKeys: every key is documented once, and its default is a value that the decoder accepts.
func TestPolicyKeys(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range PolicyKeys() {
		if seen[k.Path+k.Doc] {
			t.Errorf("%s is listed twice", k.Path)
		}
		seen[k.Path+k.Doc] = true
		if !strings.HasSuffix(k.Doc, ".") || k.Type == "" {
			t.Errorf("%s is not documented: %+v", k.Path, k)
		}
	}
	for _, path := range []string{"mode", "probes[].http.url", "remediation.backoff.initial", "notify[].routing_key", "escalation.outage", "deploy"} {
		if !strings.Contains(pathsOf(PolicyKeys()), "\n"+path+"\n") {
			t.Errorf("%s is not listed", path)
		}
	}
	everyDefault(t, reflect.TypeFor[StackPolicy]())
}

func pathsOf(keys []PolicyKey) string {
	text := "\n"
	for _, k := range keys {
		text += k.Path + "\n"
	}
	return text
}

func everyDefault(t *testing.T, typ reflect.Type) {
	t.Helper()
	for i := range typ.NumField() {
		f := typ.Field(i)
		inner, many := elem(f.Type)
		if inner.Kind() == reflect.Struct && f.Tag.Get("key") != "" {
			everyDefault(t, inner)
		}
		text, ok := f.Tag.Lookup("default")
		if !ok || many {
			continue
		}
		if problem, _ := setScalar(reflect.New(f.Type).Elem(), f.Tag, text); problem != "" {
			t.Errorf("default of %s: %q %s", f.Name, text, problem)
		}
	}
}
