package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestIncident follows one incident as people do, beside a running remediator.
func TestIncident(t *testing.T) {
	t.Parallel()
	p := newProject(t, "incident", stack)
	p.says(0, []string{"incidents", "list"}, "no incidents")
	p.wants(0, "reconcile", "--once")
	p.remediate()
	p.docker("kill", "-s", "KILL", p.name+"-web-1") // through the engine: stopped by hand, not restarted by it
	var id string
	p.eventually("the incident is mitigated", func() bool {
		for _, i := range read[incidents](p, "incidents", "list").Incidents {
			if i.Service == "web" && i.State != "open" {
				id = i.ID
			}
		}
		return id != ""
	})
	report := p.wants(0, "incidents", "report", id[len(id)-6:])
	if !strings.HasPrefix(report, "# Incident `"+id+"`") || !strings.Contains(report, "## Timeline") {
		t.Errorf("the report is\n%s", report)
	}
	p.eventually("the report is in the incident directory", func() bool {
		text, err := os.ReadFile(filepath.Join(p.state, "incidents", id+".md"))
		return err == nil && strings.HasPrefix(string(text), "# Incident")
	})
	p.says(0, []string{"incidents", "show", id}, "Timeline (UTC):", "detected")
	p.says(0, []string{"__complete", "incidents", "report", ""}, id)
	p.says(0, []string{"__complete", "rollback", "web", "--to", ""}, "reconcile --once")
	p.says(0, []string{"incidents", "confirm", id}, "customer-facing impact confirmed by")
	p.says(0, []string{"incidents", "confirm", id}, "nothing changes")
	p.eventually("the incident is resolved", func() bool { return read[incidents](p, "incidents", "list").Incidents[0].State == "resolved" })
	p.says(0, []string{"incidents", "resolve", id}, "it is resolved, nothing changes")
	p.says(0, []string{"incidents", "report", id}, "Customer-facing impact: confirmed")
	p.says(2, []string{"incidents", "show", "nope"}, "no such incident: nope", "composure incidents list")
}

// TestDataIsVerified: the integrity checks are made again when a service runs well after an incident.
func TestDataIsVerified(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]bool{"verified": false, "compromised": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProject(t, name, strings.Replace(stack, "stable: 2s", "stable: 1m", 1))
			p.wants(0, "reconcile", "--once")
			p.docker("exec", p.name+"-db-1", "sh", "-c", "echo row > /data/rows")
			p.wants(0, "baseline", "capture")
			if lost {
				p.docker("exec", p.name+"-db-1", "rm", "/data/rows")
			}
			p.remediate("--interval", "2s")
			p.docker("kill", "-s", "KILL", p.name+"-db-1")
			p.eventually("the incident says that the data are "+name, func() bool {
				found := read[incidents](p, "incidents", "list").Incidents
				return len(found) == 1 && found[0].Impact.Data == name
			})
		})
	}
}

// TestRestartBesideRemediator: the remediator lends the stack, and what is down then is no incident.
func TestRestartBesideRemediator(t *testing.T) {
	t.Parallel()
	p := newProject(t, "lend", stack)
	p.wants(0, "reconcile", "--once")
	p.remediate()
	started := p.container("web", ".State.StartedAt")
	p.wants(0, "restart", "web")
	if p.container("web", ".State.StartedAt") == started {
		t.Error("it was not restarted")
	}
	p.eventually("the remediator has the stack again", func() bool { return strings.HasPrefix(read[stackStatus](p, "status").Holder, "reconcile,") })
	if found := read[incidents](p, "incidents", "list").Incidents; len(found) > 0 {
		t.Errorf("a restart by hand opened %+v", found)
	}
}

// TestDeployBesideRemediator: what was deployed meanwhile is what is restored from then on.
func TestDeployBesideRemediator(t *testing.T) {
	t.Parallel()
	p := newProject(t, "deploy", stack)
	p.wants(0, "reconcile", "--once")
	p.remediate()
	p.write(strings.Replace(stack, `V: "1"`, `V: "2"`, 1))
	p.wants(0, "reconcile", "--once")
	id := p.container("web", ".Id")
	p.eventually("the remediator has the stack again", func() bool { return strings.HasPrefix(read[stackStatus](p, "status").Holder, "reconcile,") })
	p.docker("stop", p.name+"-web-1")
	p.eventually("the remediator has started it again", func() bool { return p.container("web", ".State.Status") == "running" })
	p.runs("2")
	if p.container("web", ".Id") != id {
		t.Error("the container that was deployed was made anew")
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	p := newProject(t, "pause", stack)
	p.wants(0, "reconcile", "--once")
	p.remediate()
	p.wants(0, "pause", "web", "--for", "1h", "--reason", "migration")
	p.docker("stop", p.name+"-web-1")
	p.eventually("the status says why it is down", func() bool {
		web := read[stackStatus](p, "status").of("web")
		return web.State == "exited" && len(web.Held) == 1 && strings.Contains(web.Held[0].Reason, "migration")
	})
	p.says(0, []string{"status"}, "web: pause by", "migration")
	p.wants(0, "resume", "web")
	p.eventually("it runs again", func() bool { return p.container("web", ".State.Status") == "running" })
	p.says(2, []string{"resume", "web"}, "web is not paused")
}

// TestStatus: figures of what runs, and the response times that a remediator recorded.
func TestStatus(t *testing.T) {
	t.Parallel()
	p := newProject(t, "status", strings.Replace(stack, `environment: {V: "1"}`, `environment: {V: "1"}
    x-composure: {probes: [{name: answers, tcp: {port: 8080}, interval: 1s, timeout: 1s}]}`, 1))
	if web := read[stackStatus](p, "status").of("web"); web.State != "missing" || web.Verdict != "failed" {
		t.Errorf("what does not exist is %+v", web)
	}
	p.wants(0, "reconcile", "--once")
	s := read[stackStatus](p, "status")
	web := s.of("web")
	if s.Schema != "composure.status/v1" || web.State != "running" || web.Verdict != "recovered" || web.Drift != 0 || web.Memory == 0 || web.BudgetLeft != 3 {
		t.Errorf("the status is %+v", s)
	}
	p.docker("update", "--memory", "64m", "--memory-swap", "64m", p.name+"-web-1")
	if drift := read[stackStatus](p, "status").of("web").Drift; drift == 0 {
		t.Error("a changed limit is no drift")
	}
	p.remediate()
	p.eventually("response times are recorded", func() bool {
		probes := read[stackStatus](p, "status").of("web").Probes
		return len(probes) == 1 && probes[0].Probe == "answers"
	})
	p.says(0, []string{"status"}, "web answers", "in the hands of reconcile, pid ")
}
