package lint

// rules is the one place to add a rule: a literal here, its check below or beside, and a case in testdata.
//
// There is none for ports that clash, which spec.Load refuses with the line, and none for a reservation of CPUs: a single engine has nothing that would keep it.
var rules = []Rule{
	{
		Code: "healthcheck-missing", Severity: Warning, check: healthcheckMissing,
		Text: "Every service that runs for good has a healthcheck.",
		Fix:  "add a healthcheck of what users need, such as test: [\"CMD\", \"curl\", \"-f\", \"http://localhost:8000/health\"] with interval 30s, timeout 5s, retries 3, start_period 60s",
	},
	{
		Code: "healthcheck-disabled", Severity: Warning, check: healthcheckDisabled,
		Text: "The image's healthcheck is not switched off.",
		Fix:  "write one that fits instead of disabling it",
	},
	{
		Code: "healthcheck-hollow", Severity: Warning, check: healthcheckHollow,
		Text: "A healthcheck tests something.",
		Fix:  "ask the service what its users ask it",
	},
	{
		Code: "healthcheck-timeout", Severity: Warning, check: healthcheckTimeout,
		Text: "A healthcheck's timeout is not above its interval.",
		Fix:  "set a timeout below the interval, such as 5s at 30s",
	},
	{
		Code: "healthcheck-retries", Severity: Notice, check: healthcheckRetries,
		Text: "One slow answer does not make a service unhealthy.",
		Fix:  "set retries to 3",
	},
	{
		Code: "healthcheck-slow", Severity: Warning, check: healthcheckSlow,
		Text: "A failure is noticed within five minutes.",
		Fix:  "lower interval, timeout or retries: a failure is noticed after retries × (interval + timeout)",
	},
	{
		Code: "healthcheck-start-period", Severity: Notice, check: healthcheckStartPeriod,
		Text: "A healthcheck gives the start its time.",
		Fix:  "set start_period to what a slow start takes, such as 60s",
	},
	{
		Code: "memory-limit", Severity: Warning, check: memoryLimit,
		Text: "Every service has a memory limit.",
		Fix:  "set deploy.resources.limits.memory above what it needs at its peak",
	},
	{
		Code: "memory-reservation", Severity: Notice, check: memoryReservation,
		Text: "Every service reserves the memory that it needs, below its limit.",
		Fix:  "set deploy.resources.reservations.memory to what it needs at rest, below the limit",
	},
	{
		Code: "cpu-limit", Severity: Notice, check: cpuLimit,
		Text: "Every service has a CPU limit.",
		Fix:  "set deploy.resources.limits.cpus, such as '2.0'",
	},
	{
		Code: "restart-missing", Severity: Warning, check: restartMissing,
		Text: "A service that runs for good is restarted by the engine.",
		Fix:  "set restart: unless-stopped",
	},
	{
		Code: "restart-job", Severity: Error, check: restartJob,
		Text: "A job that another service waits for is not restarted after it has ended well.",
		Fix:  "set restart: on-failure, or leave it out",
	},
	{
		Code: "port-replicas", Severity: Error, check: portReplicas,
		Text: "A service with replicas publishes a port for each of them.",
		Fix:  "publish a wider range, let the engine choose the port, or put a proxy before it",
	},
	{
		Code: "port-database", Severity: Warning, check: portDatabase,
		Text: "A database is not published on every address of the host.",
		Fix:  "remove the port, services of the stack reach it without one, or publish it on 127.0.0.1",
	},
	{
		Code: "image-tag", Severity: Warning, check: imageTag,
		Text: "An image is named with a tag that stays what it is.",
		Fix:  "name a version, or a digest: what latest is, is decided by the next pull",
	},
	{
		Code: "depends-condition", Severity: Warning, check: dependsCondition,
		Text: "A service waits until what it depends on is healthy.",
		Fix:  "write depends_on with condition: service_healthy",
	},
	{
		Code: "stop-grace", Severity: Warning, check: stopGrace,
		Text: "A database has the time to stop cleanly.",
		Fix:  "set stop_grace_period, such as 1m: the engine kills after 10s otherwise",
	},
	{
		Code: "log-rotation", Severity: Warning, check: logRotation,
		Text: "Logs cannot fill the disk.",
		Fix:  "set logging.options max-size and max-file, or logging.driver: local",
	},
	{
		Code: "secret-environment", Severity: Warning, check: secretEnvironment,
		Text: "Secrets are not in plain environment variables.",
		Fix:  "use secrets: and the image's _FILE variable: an environment is shown by docker inspect and inherited by every process",
	},
	{
		Code: "privileged", Severity: Error, check: privileged,
		Text: "No service is privileged.",
		Fix:  "grant what it needs with cap_add or devices: privileged is root on the host",
	},
	{
		Code: "docker-socket", Severity: Error, check: dockerSocket,
		Text: "No service has the engine's socket.",
		Fix:  "leave it to tools that you trust with the host: the socket is root on it, also when it is mounted read-only",
	},
	{
		Code: "bind-root", Severity: Error, check: bindRoot,
		Text: "No service has the host's file system.",
		Fix:  "mount the directory that it needs",
	},
	{
		Code: "database-volume", Severity: Error, check: databaseVolume,
		Text: "A database keeps its data in a named volume.",
		Fix:  "mount a named volume at its data directory: what an anonymous volume holds is lost with its container",
	},
	{
		Code: "anonymous-volume", Severity: Notice, check: anonymousVolume,
		Text: "Volumes have names.",
		Fix:  "name the volume: nobody finds an anonymous one again",
	},
	{
		Code: "database-replicas", Severity: Error, check: databaseReplicas,
		Text: "Two containers of a database do not share one volume.",
		Fix:  "run one container, and replicas as services with volumes of their own",
	},
	{
		Code: "integrity-missing", Severity: Notice, check: integrityMissing,
		Text: "What must not shrink in a database is checked after every recovery.",
		Fix:  "add x-composure.integrity with a query such as SELECT count(*) FROM the table that matters",
	},
}
