package diagnose

import (
	"regexp"
	"slices"
	"time"
)

// signature is a log line that speaks for a cause. It sharpens what the engine or a probe proves and proves nothing.
type signature struct {
	of      string // language or server that writes it
	cause   string
	pattern *regexp.Regexp
}

// signs makes one signature of each pattern. Each begins with a literal, which Go searches for fast; RE2 takes time
// linear in the line whatever it says.
func signs(of, cause string, patterns ...string) []signature {
	table := make([]signature, len(patterns))
	for i, p := range patterns {
		table[i] = signature{of: of, cause: cause, pattern: regexp.MustCompile(p)}
	}
	return table
}

// signatures is the built-in table.
var signatures = slices.Concat(
	signs("Python", "dependency_failure", `ModuleNotFoundError: `, `ImportError: `, `pkg_resources\.DistributionNotFound`),
	signs("Python", "memory_exhaustion", `MemoryError`),
	signs("Python", "database_unavailable", `psycopg2?\.OperationalError`, `asyncpg\.exceptions\.CannotConnectNow`, `sqlalchemy\.exc\.OperationalError`),
	signs("Python", "connection_pool_exhausted", `QueuePool limit of size`, `PoolTimeout`, `couldn't get a connection after`),
	signs("Python", "port_conflict", `\[Errno 98\] `, `error while attempting to bind on address`),
	signs("Python", "disk_full", `OSError: \[Errno 28\]`),

	signs("Java", "dependency_failure", `java\.lang\.(ClassNotFoundException|NoClassDefFoundError|UnsatisfiedLinkError|UnsupportedClassVersionError|NoSuchMethodError)`, `Could not find or load main class`),
	signs("Java", "memory_exhaustion", `java\.lang\.OutOfMemoryError`),
	signs("Java", "database_unavailable", `PSQLException: (The connection attempt failed|Connection to .* refused)`, `CommunicationsException: Communications link failure`),
	signs("Java", "connection_pool_exhausted", `Connection is not available, request timed out after`, `CannotGetJdbcConnectionException`, `Cannot get a connection, pool error`),
	signs("Java", "application_deadlock", `Found one Java-level deadlock`),
	signs("Java", "port_conflict", `java\.net\.BindException: Address already in use`, `Web server failed to start\. Port \d+ was already in use`),

	signs("Node", "dependency_failure", `Error: Cannot find module`, `ERR_MODULE_NOT_FOUND`, `ERR_DLOPEN_FAILED`),
	signs("Node", "memory_exhaustion", `JavaScript heap out of memory`),
	signs("Node", "database_unavailable", `connect ECONNREFUSED [^ ]*:(5432|3306|27017|6379)\b`, `SequelizeConnection(Refused)?Error`),
	signs("Node", "connection_pool_exhausted", `SequelizeConnectionAcquireTimeoutError`, `KnexTimeoutError: Knex: Timeout acquiring a connection`, `timeout exceeded when trying to connect`),
	signs("Node", "port_conflict", `EADDRINUSE`),
	signs("Node", "disk_full", `ENOSPC: no space`),

	signs("Go", "application_deadlock", `fatal error: all goroutines are asleep - deadlock!`),
	signs("Go", "memory_exhaustion", `fatal error: runtime: out of memory`, `runtime: cannot allocate memory`),
	signs("Go", "dependency_failure", `error while loading shared libraries: `),
	signs("Go", "database_unavailable", `failed to connect to .*(user|database|host)=`, `dial tcp .*:(5432|3306|27017|6379): connect: (connection refused|no route to host)`),
	signs("Go", "connection_pool_exhausted", `could not obtain connection from pool`),
	signs("Go", "port_conflict", `bind: address already in use`),

	signs("PostgreSQL", "connection_pool_exhausted", `sorry, too many clients already`, `remaining connection slots are reserved`),
	signs("PostgreSQL", "database_unavailable", `the database system is (starting up|shutting down|in recovery mode)`),
	signs("PostgreSQL", "data_corruption_suspected", `invalid page in block`, `page verification failed`, `could not read block \d+ in file`, `missing chunk number`, `unexpected chunk number`,
		`invalid primary checkpoint record`, `could not locate a valid checkpoint record`, `contains (unexpected zero|corrupted) page`),
	signs("PostgreSQL", "disk_full", `could not (extend file|write to file|write block) .*No space left on device`),
	signs("PostgreSQL", "memory_exhaustion", `was terminated by signal 9: Killed`),
	signs("PostgreSQL", "image_broken", `database files are incompatible with server`, `The data directory was initialized by PostgreSQL version`),

	signs("MySQL", "connection_pool_exhausted", `Too many connections`, `ER_CON_COUNT_ERROR`),
	signs("MySQL", "database_unavailable", `Can't connect to (local )?(MySQL|MariaDB) server`, `Lost connection to MySQL server`),
	signs("MySQL", "data_corruption_suspected", `Database page corruption on disk`, `is marked as crashed and should be repaired`),
	signs("MySQL", "disk_full", `Disk is full writing`, `Error writing file .*Errcode: 28`),

	signs("Redis", "database_unavailable", `LOADING Redis is loading the dataset`, `Could not connect to Redis at`),
	signs("Redis", "memory_exhaustion", `OOM command not allowed when used memory`, `Can't save in background: fork: Cannot allocate memory`),
	signs("Redis", "connection_pool_exhausted", `ERR max number of clients reached`),
	signs("Redis", "data_corruption_suspected", `Bad file format reading the append only file`, `Wrong signature trying to load DB from file`, `Short read or OOM loading DB`),
	signs("Redis", "disk_full", `MISCONF Redis is configured to save RDB snapshots`),

	signs("nginx", "port_conflict", `bind\(\) to [^ ]+ failed \(98: `),
	signs("nginx", "crash_loop", `\[emerg\] .*(unknown directive|host not found in upstream|No such file or directory)`, `nginx: configuration file .* test failed`),
	signs("nginx", "disk_full", `\(28: No space left on device\)`),

	signs("any", "port_conflict", `ddress already in use`),
	signs("any", "disk_full", `o space left on device`, `Disk quota exceeded`),
	signs("any", "memory_exhaustion", `Out of memory: Killed process`, `Cannot allocate memory`, `std::bad_alloc`),
	signs("any", "image_broken", `exec format error`, `cannot execute binary file`),
	// Traces of a program that somebody else runs, and what servers themselves call an attack. Attempts in access logs are
	// no such trace: every public server has them.
	signs("any", "unusual_errors", `xmrig`, `stratum\+tcp:`, `kinsing`, `kdevtmpfsi`, `/dev/tcp/\d`, `FROM PROGRAM '`, `ossible break-in attempt`),
)

// shownLines is how many lines are kept for a cause: the last ones, where a log says how it ended.
const shownLines = 3

// searched is how many lines of a log are searched, from its end.
const searched = 500

// read finds the lines of the log that signatures know, the service's own and the built-in ones. A pattern that does
// not compile is left out: the file was checked when it was loaded.
func (p *patient) read() map[string][]string {
	if p.evidence == nil {
		return nil
	}
	table := make([]signature, 0, len(signatures)+len(p.svc.Policy.Signatures))
	for _, s := range p.svc.Policy.Signatures {
		if pattern, err := regexp.Compile(s.Pattern); err == nil {
			table = append(table, signature{of: "x-composure", cause: s.Cause, pattern: pattern})
		}
	}
	return match(append(table, signatures...), p.log())
}

// settled is how long a container must have run for what it wrote in earlier runs to say nothing any more. Before that,
// as in a crash loop, the reason stands at the end of the run before.
const settled = time.Minute

// log is what the container wrote that is about its present trouble.
func (p *patient) log() []string {
	log := p.evidence.Log
	if p.ended() || p.up() > settled || p.c.Inspect.RestartCount == 0 {
		return log[min(max(p.evidence.Earlier, 0), len(log)):]
	}
	return log
}

// match returns, by cause, the last lines that a signature of it matches, oldest first, fit to be shown.
func match(table []signature, log []string) map[string][]string {
	found := map[string][]string{}
	for _, raw := range slices.Backward(log[max(0, len(log)-searched):]) {
		line := clip(raw)
		for _, s := range table {
			if len(found[s.cause]) < shownLines && s.pattern.MatchString(line) {
				shown := quoted(line)
				if !slices.Contains(found[s.cause], shown) {
					found[s.cause] = append(found[s.cause], shown)
				}
			}
		}
	}
	for _, lines := range found {
		slices.Reverse(lines)
	}
	return found
}
