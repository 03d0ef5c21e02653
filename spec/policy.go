package spec

import "time"

// The types below are the table of `x-composure`: decoding, defaults, errors and documentation all come from the tags
// of their fields. A new key is a new field.
//
//	key      the key's name in the file; absent: not in the file; ",inline": the keys of the field stand here
//	default  what holds when the file says nothing, written as in the file
//	accept   the words accepted
//	is       what the text must be: regexp, cron, signal, port, http, share, dsn
//	short    the key that a plain value stands for, in place of a mapping
//	doc      one sentence for people
//
// Durations are written as 10s, 5m, 1h30m or 2d; sizes as 64m or 2g (powers of 1024).

// StackPolicy is the top-level `x-composure`: the defaults of every service and what concerns the stack as a whole.
type StackPolicy struct {
	Defaults   ServicePolicy `key:",inline"`
	Deploy     string        `key:"deploy" default:"manual" accept:"manual,auto" doc:"What continuous mode does with an edited file: report it (manual) or apply it (auto)."`
	Prune      string        `key:"prune" default:"report" accept:"report,remove" doc:"What happens to orphans and surplus replicas."`
	ManualStop string        `key:"manual_stop" default:"restore" accept:"restore,hold" doc:"What happens to a container that someone stopped by hand."`
	Escalation Escalation    `key:"escalation"`
	Notify     []Notifier    `key:"notify"`
	Ports      []string      `key:"stop_port_holders" doc:"Names of containers outside the stack that may be stopped when they hold a port of it."`
}

// ServicePolicy is a service's `x-composure`, with the stack's defaults folded in key by key. A list that a service
// sets replaces the stack's.
type ServicePolicy struct {
	Mode        string           `key:"mode" default:"heal" accept:"heal,observe,ignore" doc:"Heal the service, only report about it, or leave it out."`
	Severity    string           `key:"severity" default:"high" accept:"critical,high,medium,low" doc:"How bad an incident of the service is."`
	Probes      []Probe          `key:"probes"`
	Remediation Remediation      `key:"remediation"`
	Memory      MemoryPolicy     `key:"memory"`
	Integrity   []IntegrityCheck `key:"integrity"`
	Signatures  []Signature      `key:"signatures"`
	Rollback    string           `key:"rollback" default:"auto" accept:"auto,never" doc:"Whether a failed deployment is rolled back; stateful services never are by themselves."`
	Stateful    *bool            `key:"stateful" doc:"Whether the service keeps data; unset: decided by its named volumes and its image."`
	Maintenance []Window         `key:"maintenance"`
	MinHealthy  time.Duration    `key:"min_healthy" default:"10s" doc:"How long a container must run well before it counts as started."`
}

// Remediation is the ladder of a service.
type Remediation struct {
	Ladder    []string      `key:"ladder" default:"graceful,hard,rollback,escalate" accept:"graceful,hard,rollback,escalate" doc:"The rungs that may be used; the cause says in which order."`
	Attempts  int           `key:"attempts" default:"3" doc:"Remediation attempts per incident before people are called."`
	Stable    time.Duration `key:"stable" default:"10m" doc:"A service that ran well for so long has recovered, and its budget is full again."`
	Backoff   Backoff       `key:"backoff"`
	StopGrace time.Duration `key:"stop_grace" default:"60s" doc:"Time to stop in a restart, when the service sets no stop_grace_period."`
	StackDump string        `key:"stack_dump" is:"signal" doc:"Signal sent inside a hanging container for a stack dump, such as USR1 or QUIT; unset: none."`
	HardLimit int64         `key:"hard_limit" default:"64m" doc:"A hard restart is held when the container's writable layer is larger, because it would be lost."`
	Terminate time.Duration `key:"terminate_idle" doc:"When connections run out, end database sessions of the stack that are idle in transaction for longer, never active ones; unset: never."`
	Rebuild   bool          `key:"rebuild" default:"false" doc:"Rebuild the image without cache when a dependency of the application is missing, from the commit that was deployed where that is known."`
}

// Backoff is exponential, with jitter.
type Backoff struct {
	Initial time.Duration `key:"initial" default:"10s" doc:"Wait after the first failed attempt."`
	Factor  float64       `key:"factor" default:"2" doc:"Each wait is so many times the one before."`
	Max     time.Duration `key:"max" default:"5m" doc:"The longest wait."`
	Reset   time.Duration `key:"reset" default:"30m" doc:"One more attempt is made so long after the budget ran out; grows with every failure."`
}

// MemoryPolicy says when memory is a finding and how far the limit may be raised.
type MemoryPolicy struct {
	Alert   float64 `key:"alert" default:"0.85" is:"share" doc:"Share of the memory limit above which usage is a finding, such as 0.85 or 85%."`
	RaiseTo int64   `key:"raise_to" doc:"The memory limit may be raised up to this size when memory ran out; unset: never."`
}

// Probe is one check of a service. Exactly one of HTTP, TCP, Postgres, Exec and Log is set.
type Probe struct {
	Name      string         `key:"name" doc:"Name in reports; unset: the kind of probe."`
	HTTP      *HTTPProbe     `key:"http" short:"url"`
	TCP       *TCPProbe      `key:"tcp" short:"port"`
	Postgres  *PostgresProbe `key:"postgres" short:"dsn"`
	Exec      *ExecProbe     `key:"exec" short:"command"`
	Log       *LogProbe      `key:"log" short:"pattern"`
	From      string         `key:"from" default:"host" accept:"host,network" doc:"Where the probe is sent from: the host, or the service's network."`
	Interval  time.Duration  `key:"interval" default:"10s" doc:"Time between two probes."`
	Timeout   time.Duration  `key:"timeout" default:"5s" doc:"A probe without an answer for so long has failed."`
	Failures  int            `key:"failures" default:"3" doc:"Failures in a row before they count."`
	Successes int            `key:"successes" default:"1" doc:"Successes in a row before they count."`
	Startup   time.Duration  `key:"startup" doc:"No failure counts so long after a start; unset: start_period of the healthcheck."`
	Pos       Position
}

// HTTPProbe asks a URL.
type HTTPProbe struct {
	URL     string        `key:"url" is:"http" doc:"Address to ask."`
	Status  []int         `key:"status" is:"status" doc:"Accepted status codes; unset: 200 to 399."`
	Body    string        `key:"body" is:"regexp" doc:"Regular expression that the body must match."`
	Latency time.Duration `key:"latency" doc:"A slower answer is a failure; unset: only the timeout."`
}

// TCPProbe opens a connection.
type TCPProbe struct {
	Port int `key:"port" is:"port" doc:"Port in the container."`
}

// PostgresProbe speaks to a PostgreSQL server.
type PostgresProbe struct {
	DSN string `key:"dsn" is:"dsn" doc:"Connection string, postgres://user:password@host/database."`
}

// ExecProbe runs argv in the container; exit 0 is success. No shell.
type ExecProbe struct {
	Command []string `key:"command" doc:"Program and arguments run in the container, without a shell; exit 0 is success."`
}

// LogProbe waits for a line since the container's start.
type LogProbe struct {
	Pattern string `key:"pattern" is:"regexp" doc:"Regular expression of a log line that says the application is ready."`
}

// IntegrityCheck compares a figure or an endpoint with the baseline. Exactly one of SQL, Command and Endpoint is set.
type IntegrityCheck struct {
	Name     string   `key:"name" doc:"Name in reports and in the baseline."`
	SQL      string   `key:"sql" doc:"Query that returns one number, which must not fall below the baseline."`
	Command  []string `key:"command" doc:"Program and arguments run in the container, without a shell; must exit 0."`
	Endpoint string   `key:"endpoint" is:"http" doc:"Address that must answer with a status of 2xx."`
	DSN      string   `key:"dsn" is:"dsn" doc:"Connection string of the query; unset: the container's own settings."`
	Pos      Position
}

// Signature is a log pattern that sharpens a cause.
type Signature struct {
	Pattern string `key:"pattern" is:"regexp" doc:"Regular expression of a log line."`
	Cause   string `key:"cause" accept:"startup_stuck,memory_exhaustion,memory_pressure,database_unavailable,connection_pool_exhausted,application_deadlock,port_conflict,dependency_failure,crash_loop,image_missing,image_broken,network_detached,healthcheck_failing,healthcheck_missing,disk_full,bad_deployment,config_drift,data_loss,data_corruption_suspected,unusual_errors" doc:"The root cause that the line supports."`
	Pos     Position
}

// Window is a maintenance window: nothing is remediated in it.
type Window struct {
	Cron     string        `key:"cron" is:"cron" doc:"When the window opens: five fields, in UTC."`
	Duration time.Duration `key:"duration" doc:"How long it stays open."`
	Pos      Position
}

// Escalation says who is called when.
type Escalation struct {
	Unresolved  time.Duration `key:"unresolved" default:"30m" doc:"An incident open for so long is escalated to the DevOps tier."`
	Outage      time.Duration `key:"outage" default:"1h" doc:"A complete outage of so long is escalated to the emergency tier."`
	Acknowledge time.Duration `key:"acknowledge" default:"15m" doc:"An escalation that nobody acknowledged is announced again."`
	Recurrence  time.Duration `key:"recurrence" default:"24h" doc:"The same incident within so long is a recurrence, which is escalated."`
}

// Notifier is one receiver. Its own settings, which depend on the type, stand beside the keys below.
type Notifier struct {
	Type  string            `key:"type" accept:"webhook,slack,email,pagerduty,url" doc:"How people are told."`
	Tiers []string          `key:"tiers" accept:"devops,emergency" doc:"Which escalations are sent; unset: all."`
	Set   map[string]string `key:",settings"` // values may be secrets
	Pos   Position
}

// setting is a key of one type of notifier.
type setting struct {
	key      string
	required bool
	doc      string
}

// notifierSettings are the keys of each type of notifier.
var notifierSettings = map[string][]setting{
	"webhook": {
		{"url", true, "Address that gets the JSON document by POST."},
		{"token", false, "Sent as a bearer token."},
	},
	"slack": {
		{"url", true, "Address of the incoming webhook."},
		{"channel", false, "Channel, when the webhook allows to choose."},
	},
	"email": {
		{"host", true, "SMTP server, host or host:port; port 587 by default."},
		{"from", true, "Sender's address."},
		{"to", true, "Receivers' addresses, separated by commas."},
		{"username", false, "Login at the server."},
		{"password", false, "Password at the server."},
		{"tls", false, "starttls (default), tls or none."},
	},
	"pagerduty": {
		{"routing_key", true, "Integration key of the Events API v2."},
		{"url", false, "Address of the API, when it is not PagerDuty's own."},
	},
	"url": {
		{"url", true, "Service URL of the notification library, such as gotify://host/token."},
	},
}
