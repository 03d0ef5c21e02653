package spec

import (
	"fmt"
	"slices"
	"strings"
)

func (p *Probe) validate(fail func(key, problem, fix string)) {
	kinds := set(map[string]bool{"http": p.HTTP != nil, "tcp": p.TCP != nil, "postgres": p.Postgres != nil, "exec": p.Exec != nil, "log": p.Log != nil})
	if len(kinds) != 1 {
		fail("", counted("kind of probe", kinds), "write one of http, tcp, postgres, exec, log")
		return
	}
	if p.Timeout > p.Interval {
		fail("timeout", "is longer than the interval", "keep timeout at or below interval")
	}
	for key, d := range map[string]int64{"interval": int64(p.Interval), "timeout": int64(p.Timeout)} {
		if d == 0 {
			fail(key, "is 0", "write a duration such as 10s")
		}
	}
	if strings.HasPrefix(p.Name, "@") { // names of the store's own series begin so
		fail("name", "begins with @", "begin it with a letter")
	}
	if p.Name == "" {
		p.Name = kinds[0]
	}
}

func (p *HTTPProbe) validate(fail func(key, problem, fix string)) { require(p.URL != "", "url", fail) }

func (p *TCPProbe) validate(fail func(key, problem, fix string)) { require(p.Port != 0, "port", fail) }

func (p *ExecProbe) validate(fail func(key, problem, fix string)) {
	require(len(p.Command) > 0, "command", fail)
}

func (p *LogProbe) validate(fail func(key, problem, fix string)) {
	require(p.Pattern != "", "pattern", fail)
}

func (c *IntegrityCheck) validate(fail func(key, problem, fix string)) {
	kinds := set(map[string]bool{"sql": c.SQL != "", "command": len(c.Command) > 0, "endpoint": c.Endpoint != ""})
	if len(kinds) != 1 {
		fail("", counted("kind of check", kinds), "write one of sql, command, endpoint")
	}
	require(c.Name != "", "name", fail)
}

func (s *Signature) validate(fail func(key, problem, fix string)) {
	require(s.Pattern != "", "pattern", fail)
	require(s.Cause != "", "cause", fail)
}

func (w *Window) validate(fail func(key, problem, fix string)) {
	require(w.Cron != "", "cron", fail)
	require(w.Duration > 0, "duration", fail)
}

func (b *Backoff) validate(fail func(key, problem, fix string)) {
	if b.Max < b.Initial {
		fail("max", fmt.Sprintf("%s is below initial, %s", b.Max, b.Initial), "raise max or lower initial")
	}
}

func (r *Remediation) validate(fail func(key, problem, fix string)) {
	order := []string{"graceful", "hard", "rollback", "escalate"}
	last := -1
	for _, rung := range r.Ladder {
		at := slices.Index(order, rung)
		if at <= last {
			fail("ladder", fmt.Sprintf("%q stands in the wrong place", rung), "keep the order "+strings.Join(order, ", ")+", each at most once")
			return
		}
		last = at
	}
}

func (n *Notifier) validate(fail func(key, problem, fix string)) {
	if n.Type == "" {
		require(false, "type", fail)
		return
	}
	var valid []string
	for _, s := range notifierSettings[n.Type] {
		valid = append(valid, s.key)
		if s.required && n.Set[s.key] == "" {
			fail("", fmt.Sprintf("%s is missing", s.key), "notifiers of type "+n.Type+" need it")
		}
	}
	for key := range n.Set {
		if slices.Contains(valid, key) {
			continue
		}
		fix := fmt.Sprintf("keys of the type %s are type, tiers, %s", n.Type, strings.Join(valid, ", "))
		if near := nearest(key, append(valid, "type", "tiers")); near != "" {
			fix = fmt.Sprintf("did you mean %q?", near)
		}
		fail(key, "unknown key", fix)
	}
}

func require(ok bool, key string, fail func(key, problem, fix string)) {
	if !ok {
		fail("", key+" is missing", "add it")
	}
}

// set returns the names that are true, sorted.
func set(names map[string]bool) []string {
	var list []string
	for name, on := range names {
		if on {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

func counted(what string, found []string) string {
	if len(found) == 0 {
		return "has no " + what
	}
	return fmt.Sprintf("has more than one %s: %s", what, strings.Join(found, ", "))
}
