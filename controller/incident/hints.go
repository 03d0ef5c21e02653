package incident

import (
	"fmt"
	"slices"
	"strings"

	"composure/spec"
)

// Hint is a change of the compose file that keeps an incident from coming back.
type Hint struct {
	At   string // file:line
	Why  string // one sentence of ours: it is not masked
	YAML string // what to write there
}

// hints are the changes that fit a cause, from the runbook's prevention measures.
var hints = []struct {
	causes []string
	hint   func(svc *spec.Service) (Hint, bool)
}{
	{[]string{"memory_exhaustion", "memory_pressure"}, moreMemory},
	{[]string{"memory_exhaustion", "memory_pressure"}, raiseTo},
	{[]string{"application_deadlock"}, stackDump},
	{[]string{"startup_stuck"}, startPeriod},
	{[]string{"healthcheck_missing", "application_deadlock", "bad_deployment", "unknown"}, healthcheck},
	{[]string{"crash_loop", "stopped", "database_unavailable"}, restartPolicy},
	{[]string{"port_conflict"}, otherPort},
	{[]string{"data_loss", "data_corruption_suspected"}, integrity},
}

// Hints are the changes of the compose file that fit an incident of the service, each with its place.
func Hints(cause string, svc *spec.Service) []Hint {
	var found []Hint
	for _, row := range hints {
		if !slices.Contains(row.causes, cause) {
			continue
		}
		if h, fits := row.hint(svc); fits {
			found = append(found, h)
		}
	}
	return found
}

// written says whether a key stands in a file, and where it, or else what encloses it, does.
func written(svc *spec.Service, path ...string) (spec.Position, bool) {
	at := svc.Pos(path...)
	return at, at != svc.Pos(path[:len(path)-1]...)
}

func under(svc *spec.Service, lines ...string) string {
	return "services:\n  " + svc.Name + ":\n    " + strings.Join(lines, "\n    ") + "\n"
}

const defaultLimit = 2 << 30 // bytes; half of what the runbook recommends for its API

func moreMemory(svc *spec.Service) (Hint, bool) {
	limit := svc.Memory()
	more := max(2*limit, svc.Policy.Memory.RaiseTo)
	if limit == 0 {
		more = defaultLimit
		return Hint{svc.Pos().String(), "it has no memory limit: it can take what others need, and is killed when the host runs out. Set one above what it needs at its peak.",
			under(svc, "deploy:", "  resources:", "    limits:", "      memory: "+bytes(more), "    reservations:", "      memory: "+bytes(more/2))}, true
	}
	key := []string{"mem_limit"}
	if at, is := written(svc, "deploy", "resources", "limits", "memory"); is {
		return Hint{at.String(), "the limit of " + bytes(limit) + " is too low. This is twice as much; measure what it needs at its peak.",
			under(svc, "deploy:", "  resources:", "    limits:", "      memory: "+bytes(more))}, true
	}
	return Hint{svc.Pos(key...).String(), "the limit of " + bytes(limit) + " is too low. This is twice as much; measure what it needs at its peak.",
		under(svc, "mem_limit: "+bytes(more))}, true
}

func raiseTo(svc *spec.Service) (Hint, bool) {
	at, is := written(svc, "x-composure", "memory", "raise_to")
	more := 4 * svc.Memory() // twice the limit that moreMemory proposes
	return Hint{at.String(), "with this the limit is raised by itself when memory runs out.",
		under(svc, "x-composure:", "  memory:", "    raise_to: "+bytes(more))}, !is && more > 0
}

func stackDump(svc *spec.Service) (Hint, bool) {
	at := svc.Pos("x-composure", "remediation", "stack_dump")
	return Hint{at.String(), "with this the next hang tells where it is stuck. The signal is the application's: USR1 for Python's faulthandler, QUIT for Java and Go.",
		under(svc, "x-composure:", "  remediation:", "    stack_dump: USR1")}, svc.Policy.Remediation.StackDump == ""
}

func startPeriod(svc *spec.Service) (Hint, bool) {
	at, is := written(svc, "healthcheck", "start_period")
	why := "give the start the time that it takes."
	if is {
		why = "is this as long as a start takes? " + why
	}
	return Hint{at.String(), why, under(svc, "healthcheck:", "  start_period: 5m")}, svc.Healthcheck
}

// healthcheck is the runbook's own recommendation.
func healthcheck(svc *spec.Service) (Hint, bool) {
	return Hint{svc.Pos().String(), "nothing checks it. A healthcheck of what users need finds this failure.",
		under(svc, "healthcheck:", `  test: ["CMD", "curl", "-f", "http://localhost:8000/health"]`, "  interval: 30s", "  timeout: 5s", "  retries: 3", "  start_period: 60s")}, !svc.Healthcheck
}

func restartPolicy(svc *spec.Service) (Hint, bool) {
	return Hint{svc.Pos("restart").String(), "with this the engine brings it back after a crash, before anybody else notices.",
		under(svc, "restart: unless-stopped")}, svc.Restart == "no" || svc.Restart == ""
}

func otherPort(svc *spec.Service) (Hint, bool) {
	return Hint{svc.Pos("ports").String(), "publish another port, or none behind a proxy; or name the container that may be stopped for it in x-composure.stop_port_holders.",
		under(svc, "ports:", `  - "127.0.0.1:8001:8000"`)}, len(svc.Ports) > 0
}

func integrity(svc *spec.Service) (Hint, bool) {
	return Hint{svc.Pos("x-composure", "integrity").String(), "with checks of what must not shrink a loss is found at once, and recovery is verified.",
		under(svc, "x-composure:", "  integrity:", "    - name: rows", "      sql: SELECT count(*) FROM your_table")}, len(svc.Policy.Integrity) == 0
}

// bytes writes a size as a compose file does.
func bytes(n int64) string {
	for _, unit := range []struct {
		size int64
		name string
	}{{1 << 30, "g"}, {1 << 20, "m"}, {1 << 10, "k"}} {
		if n >= unit.size && n%unit.size == 0 {
			return fmt.Sprintf("%d%s", n/unit.size, unit.name)
		}
	}
	return fmt.Sprint(n)
}
