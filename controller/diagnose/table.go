package diagnose

// causes is the table. Its order is the priority: what concerns the engine and the data comes first, then what an
// engine fact proves, then what is inferred, then the general ones, then what the service survives. To add a cause, add
// a literal at its place, a case in testdata, and its code to the causes that spec accepts for a signature.
var causes = []Cause{
	{
		Code: "engine_unreachable", Title: "The engine does not answer", Severity: "critical",
		Text: "The Docker Engine cannot be reached or does not answer in time, so nothing is known about the stack. Containers may " +
			"well go on running. Composure waits for the engine and then brings back everything that is meant to run.",
		Symptoms:      []string{"connection refused or no answer at the engine's socket", "every container seems to stop at once"},
		Investigation: []string{"docker info", "systemctl status docker", "journalctl -u docker --since -15min", "df -h /var/lib/docker"},
		Remedies:      []string{"wait", "escalate"},
		Prevention:    []string{"set live-restore in the daemon's configuration, so that containers survive its restart", "use restart: always for what must return after a crash of the daemon", "watch the space of the engine's data root"},
		Runbook:       "Escalation criteria: complete service outage",
	},
	{
		Code: "mass_failure", Title: "Most of the stack failed at once", HandsOff: true, Severity: "critical",
		Text: "More than half of the services, and at least three, stopped being well together, and no dependency explains it. The cause " +
			"is the host, the engine or the network, and restarting each service would only add load.",
		Symptoms:      []string{"many services unhealthy within one pass", "no common dependency"},
		Investigation: []string{"uptime; free -m; df -h", "dmesg | tail -50", "docker info", "docker events --since 10m --until 0s"},
		Remedies:      []string{"escalate"},
		Prevention:    []string{"limit memory and CPU of every service, so that one cannot starve the host", "watch load, memory and space of the host"},
		Runbook:       "Escalation criteria: complete service outage",
	},
	{
		Code: "data_loss", Title: "Data is missing", HandsOff: true, Severity: "critical", match: lostData, early: true, strict: true, own: true, elsewhere: true,
		Text: "A count is below its baseline, or the database is another one than when the baseline was taken: rows were deleted, or a volume " +
			"was made anew and is empty. Nothing is done that could overwrite what is left; people decide.",
		Symptoms:      []string{"row counts below the baseline", "another system identifier of the cluster", "an empty volume"},
		Investigation: []string{"composure baseline verify", "docker volume ls; docker volume inspect VOLUME", "docker compose exec SERVICE psql -c 'SELECT count(*) FROM TABLE'", "compare with the last backup"},
		Remedies:      []string{"escalate"},
		Prevention:    []string{"back up the volume, and practise restoring it", "declare the volume as external, so that no tool removes it", "set x-composure.integrity for what must not shrink"},
		Runbook:       "Procedure 3: data consistency verification; emergency escalation: data loss detected",
	},
	{
		Code: "data_corruption_suspected", Title: "Data may be corrupt", HandsOff: true, Severity: "critical", match: corrupted, strict: true, own: true, elsewhere: true,
		Text: "The database reports damaged pages or checksums, and an integrity check has failed. A restart can make it worse, so nothing is " +
			"done beyond keeping the evidence.",
		Symptoms:      []string{"invalid page, page verification failed, could not read block", "an integrity check that fails"},
		Investigation: []string{"docker compose logs SERVICE | grep -iE 'invalid page|checksum|corrupt'", "pg_amcheck, pg_checksums on a copy of the volume", "smartctl -a of the disk; dmesg | grep -i 'i/o error'"},
		Remedies:      []string{"escalate"},
		Prevention:    []string{"initialise PostgreSQL with --data-checksums", "give the database a stop_grace_period that lets it finish", "back up, and verify the backups"},
		Runbook:       "Escalation criteria: data corruption suspected",
	},
	{
		Code: "lost_process", Title: "The engine has lost its process", HandsOff: true, Severity: "critical", match: lostProcess, early: true, strict: true, own: true,
		Text: "The engine says that the container has ended, and its process still runs: the engine or its containerd was killed, and has " +
			"forgotten it. A second one beside it could write to the same volume, so nothing is started; a process of the host is never " +
			"ended by Composure. Once people have ended it, the service is started.",
		Symptoms:      []string{"task already exists", "a container that has exited, and a process in its control group", "a lock file or port held by nobody that docker knows"},
		Investigation: []string{"grep -l $(docker inspect CONTAINER --format '{{.Id}}') /proc/[0-9]*/cgroup", "ps -o pid,lstart,args -p PID", "kill PID, and kill -9 PID when it does not end", "journalctl -u docker -u containerd --since -1h"},
		Remedies:      []string{"escalate"},
		Prevention:    []string{"stop the daemon with its service manager, never with kill -9", "run containerd as a service of its own", "set live-restore in the daemon's configuration"},
		Runbook:       "Step 1: check container status; step 4: check application process",
	},
	{
		Code: "image_missing", Title: "The image is not there", Severity: "high", match: noSuchImage, early: true, strict: true, own: true,
		Text: "The service has no container, and the engine has no image to make one from: it was pruned, or never pulled or built. While healing " +
			"nothing is pulled, so that no unknown version is deployed.",
		Symptoms:      []string{"No such image", "a service without a container"},
		Investigation: []string{"docker image ls", "docker compose pull SERVICE, or docker compose build SERVICE"},
		Remedies:      []string{"rollback", "escalate"},
		Prevention:    []string{"pin images by digest", "do not prune images on the host while a stack that uses them is stopped"},
		Runbook:       "Step 1: check container status",
	},
	{
		Code: "image_broken", Title: "The image cannot be run", Severity: "high", match: unusableImage, early: true, own: true,
		Text: "The command of the image does not exist, is not executable, or is built for another CPU. No restart can help. The container is made " +
			"anew once, in case only its own file system is what broke; else another image must be deployed, or the last good one again.",
		Symptoms:      []string{"exec format error", "executable file not found", "exit code 126 or 127"},
		Investigation: []string{"docker image inspect IMAGE --format '{{.Architecture}} {{.Config.Entrypoint}} {{.Config.Cmd}}'", "docker run --rm -it --entrypoint sh IMAGE"},
		Remedies:      []string{"recreate", "rollback", "escalate"},
		Prevention:    []string{"start the image once in CI before it is deployed", "build for the host's platform"},
		Runbook:       "Step 1: check container status; procedure 4: rollback",
	},
	{
		Code: "port_conflict", Title: "The port is taken", Severity: "high", match: (*patient).portTaken, early: true, own: true,
		Text: "The published port is held by a process of the host or by another container, so the engine cannot bind it. A process of the host is " +
			"never ended by Composure: it is named, and the start is tried again, since the port may free itself.",
		Symptoms:      []string{"Address already in use", "port is already allocated", "the container is created and does not start, or starts and exits"},
		Investigation: []string{"ss -ltnp 'sport = :PORT'", "docker ps --filter publish=PORT", "lsof -i :PORT"},
		Remedies:      []string{"free_port", "start", "escalate"},
		Prevention:    []string{"give each stack ports of its own", "name containers that may be stopped for it in x-composure.stop_port_holders", "publish on 127.0.0.1 behind a proxy"},
		Runbook:       "Step 3: port not accessible; root cause port_conflict",
	},
	{
		Code: "network_detached", Title: "The container is off its network", Severity: "high", match: networkMissing, early: true, own: true, strict: true,
		Text: "The container runs, and is not attached to a network that the file gives it, so other services cannot reach it. It is attached again " +
			"with its aliases, without a restart.",
		Symptoms:      []string{"reachable from the host and not from other services", "name resolution fails in other containers"},
		Investigation: []string{"docker inspect CONTAINER --format '{{json .NetworkSettings.Networks}}'", "docker network inspect NETWORK"},
		Remedies:      []string{"reconnect", "graceful"},
		Prevention:    []string{"do not disconnect containers by hand", "change networks in the compose file only"},
		Runbook:       "Step 3: check Docker network",
	},
	{
		Code: "disk_full", Title: "The disk is full", HandsOff: true, Severity: "critical", match: noDiskSpace, own: true,
		Text: "A file system that the service writes to has no space left. A restart frees nothing, and a database that cannot write must not be " +
			"killed: people have to make room.",
		Symptoms:      []string{"No space left on device", "a database that panics while it writes"},
		Investigation: []string{"df -h; df -i", "docker system df", "du -xh /var/lib/docker/volumes | sort -h | tail", "docker compose logs SERVICE | grep -i 'no space'"},
		Remedies:      []string{"escalate"},
		Prevention:    []string{"limit container logs: logging.options max-size and max-file", "alert at 80 % of the disk", "keep the database on a volume of its own"},
		Runbook:       "Step 1: crash reason in the log",
	},
	{
		Code: "memory_exhaustion", Title: "Memory ran out", Severity: "high", match: outOfMemory, early: true, own: true,
		Text: "The kernel killed the container's process because it reached its memory limit, or the application gave up for want of memory. The " +
			"limit is raised as far as the policy allows; if it comes back after that, people are called.",
		Symptoms:      []string{"container killed without an error of its own, exit code 137", "an oom event of the engine", "memory at its limit before the crash"},
		Investigation: []string{"docker stats CONTAINER --no-stream", "dmesg | grep -i oom", "docker inspect CONTAINER --format '{{.State.OOMKilled}} {{.HostConfig.Memory}}'"},
		Remedies:      []string{"raise_memory", "start", "graceful", "hard", "rollback", "escalate"},
		Prevention:    []string{"raise mem_limit (deploy.resources.limits.memory) and set a reservation", "load models lazily, bound caches", "set x-composure.memory.raise_to"},
		Runbook:       "Root cause memory_exhaustion",
	},
	{
		Code: "dependency_failure", Title: "A part of the application is missing", Severity: "high", match: bySignature,
		Text: "The application fails because a module, class or library that it needs is not in the image. No restart can help: the image " +
			"must be built again without its cache, or the last good one deployed.",
		Symptoms:      []string{"ModuleNotFoundError, ImportError", "ClassNotFoundException", "Cannot find module", "error while loading shared libraries"},
		Investigation: []string{"docker compose exec SERVICE pip list", "docker compose exec SERVICE pip check", "compare with requirements.txt, package.json, pom.xml"},
		Remedies:      []string{"rebuild", "recreate", "rollback", "escalate"},
		Prevention:    []string{"lock versions of all dependencies", "start the image once in CI before it is deployed", "allow x-composure.remediation.rebuild"},
		Runbook:       "Root cause dependency_failure",
	},
	{
		Code: "database_unavailable", Title: "The database takes no connections", Severity: "critical",
		match: noDatabase, unless: (*patient).databaseWell, wait: recovering, early: true, elsewhere: true,
		Text: "The database is stopped, unreachable, or does not accept connections. It is healed first: restarting the services that use it " +
			"cannot help.",
		Symptoms:      []string{"connection refused at the database's port", "psycopg2.OperationalError", "the database system is starting up"},
		Investigation: []string{"docker compose ps SERVICE", "docker compose exec SERVICE pg_isready -U postgres", "docker compose logs SERVICE --tail=100"},
		Remedies:      []string{"dependency", "start", "graceful", "escalate"},
		Prevention:    []string{"give the database a healthcheck, and let services wait for service_healthy", "reconnect with backoff in the application", "restart: unless-stopped"},
		Runbook:       "Step 5: check database connectivity",
	},
	{
		Code: "connection_pool_exhausted", Title: "Database connections ran out", Severity: "high",
		match: noConnections, unless: func(p *patient) bool { return len(p.databaseDown()) > 0 }, elsewhere: true,
		Text: "All connections of the pool or of the server are taken, often by sessions that sit idle in a transaction. Those may be ended " +
			"when the policy allows it; sessions at work never are.",
		Symptoms:      []string{"could not obtain connection from pool", "too many clients already", "connection count near max_connections", "timeouts"},
		Investigation: []string{"SELECT state, count(*) FROM pg_stat_activity GROUP BY 1", "SELECT pid, now()-xact_start, query FROM pg_stat_activity WHERE state = 'idle in transaction' ORDER BY 2 DESC", "SHOW max_connections"},
		Remedies:      []string{"terminate_idle", "graceful", "hard", "rollback", "escalate"},
		Prevention:    []string{"raise the pool's size, or max_connections", "set idle_in_transaction_session_timeout", "return connections in every path; shorten long queries"},
		Runbook:       "Root cause database_connection_pool_exhausted",
	},
	{
		Code: "application_deadlock", Title: "The application hangs", Severity: "high", match: deadlocked,
		Text: "The process is there and gives no answer, uses no CPU, its memory does not move, and nothing that it waits for is away: its threads " +
			"wait for one another. It would not stop when asked, so it is killed and made anew, after a stack dump if a signal is configured.",
		Symptoms:      []string{"process running and not responding", "CPU low, memory stable", "no errors in the log"},
		Investigation: []string{"composure diagnose SERVICE --dump", "docker top CONTAINER", "docker exec CONTAINER kill -USR1 1; docker logs --tail 200 CONTAINER"},
		Remedies:      []string{"hard", "rollback", "escalate"},
		Prevention:    []string{"give locks and calls a timeout", "set x-composure.remediation.stack_dump, so that the next hang tells where it is stuck", "take locks in one order"},
		Runbook:       "Step 4: check application process; root cause application_deadlock",
	},
	{
		Code: "unusual_errors", Title: "Unusual errors: is this an attack?", Severity: "critical", match: bySignature,
		Text: "The service fails, and its log has traces of a program that somebody else runs in it. The line alone proves nothing; together with the " +
			"failure it is for people to judge. Logs and state are kept before anything is done.",
		Symptoms:      []string{"names of miners and reverse shells in the log of a failing service"},
		Investigation: []string{"docker compose logs SERVICE", "docker diff CONTAINER", "docker top CONTAINER", "last logins and changes on the host"},
		Remedies:      []string{"hard", "escalate"},
		Prevention:    []string{"run as a user without rights, read_only, cap_drop: [ALL]", "publish only behind a proxy", "update images"},
		Runbook:       "Emergency escalation: security breach suspected (unusual errors)",
	},
	{
		Code: "config_drift", Title: "The container was changed by hand", Severity: "medium", match: changedByHand, strict: true,
		Text: "The container is not what was last applied: somebody changed, paused or removed it. What was last applied is restored, unless the " +
			"change is a recorded override.",
		Symptoms:      []string{"composure drift shows fields of origin live"},
		Investigation: []string{"composure drift SERVICE", "docker inspect CONTAINER"},
		Remedies:      []string{"recreate", "escalate"},
		Prevention:    []string{"change the compose file and deploy it", "record a deliberate divergence: composure pause, or an override"},
		Runbook:       "Step 2: check container health",
	},
	{
		Code: "bad_deployment", Title: "The last deployment broke it", Severity: "high", match: badDeployment, strict: true,
		Text: "The service stopped being well right after it was deployed, and there is a revision before it that ran well. It is deployed again: " +
			"the image and configuration that were proven stable.",
		Symptoms:      []string{"failure within minutes of a deployment"},
		Investigation: []string{"composure history SERVICE", "git log --oneline -5", "docker compose logs SERVICE --tail=50"},
		Remedies:      []string{"rollback", "graceful", "hard", "escalate"},
		Prevention:    []string{"deploy to a test stack first: composure reconcile --once", "give the service a healthcheck that a bad version fails"},
		Runbook:       "Procedure 4: rollback to previous version",
	},
	{
		Code: "startup_stuck", Title: "It does not finish starting", Severity: "high", match: stuckStart, wait: progresses,
		Text: "The container runs, and its application is not ready long after it could be: a model, a migration or a dependency keeps it. A start " +
			"that still makes progress is waited for.",
		Symptoms:      []string{"healthcheck starting for longer than it allows itself", "the ready line does not come", "nothing listens on the port"},
		Investigation: []string{"docker compose logs -f SERVICE --tail=50", "docker top CONTAINER", "docker stats CONTAINER --no-stream"},
		Remedies:      []string{"wait", "graceful", "hard", "rollback", "escalate"},
		Prevention:    []string{"set healthcheck.start_period to what a start takes", "load models in the background", "run migrations as a job of their own (service_completed_successfully)"},
		Runbook:       "Step 2: starting; step 4: model loading stuck",
	},
	{
		Code: "stopped", Title: "It was stopped", Severity: "high", match: stopped, early: true, strict: true,
		Text: "Somebody stopped the container, or the engine did while it went down itself; it did not end by its own failure. It is started " +
			"again, or left alone where the policy holds what people stop (manual_stop: hold).",
		Symptoms:      []string{"exited under a restart policy that would have restarted a crash", "exit code 0, 137 or 143 without a memory kill"},
		Investigation: []string{"docker events --since 1h --until 0s --filter container=CONTAINER", "journalctl -u docker --since -1h"},
		Remedies:      []string{"start", "graceful", "hard", "escalate"},
		Prevention:    []string{"use composure pause before maintenance", "restart: always brings a service back after a crash of the engine"},
		Runbook:       "Step 1: container stopped or exited",
	},
	{
		Code: "crash_loop", Title: "The process ends by itself", Severity: "high", match: crashes,
		Text: "The application ends with an error, once or again and again, and nothing more particular explains it. The exit code and the last " +
			"lines of the log tell what it says itself.",
		Symptoms:      []string{"the engine restarts it again and again", "exit code other than 0"},
		Investigation: []string{"docker compose logs SERVICE --tail=100", "docker inspect CONTAINER --format '{{.State.ExitCode}} {{.RestartCount}}'"},
		Remedies:      []string{"start", "graceful", "hard", "rollback", "escalate"},
		Prevention:    []string{"let the application wait for what it needs, with backoff, in place of ending", "use depends_on with condition: service_healthy"},
		Runbook:       "Step 1: container stopped or exited",
	},
	{
		Code: "healthcheck_failing", Title: "The healthcheck fails", Severity: "high", match: checkFails,
		Text: "The container runs, and its own healthcheck says that it is not well. Either the application is ill, or the check tests the wrong " +
			"thing; the last entries of its log tell.",
		Symptoms:      []string{"container shows unhealthy", "HTTP 502, 503 or 504 from the front"},
		Investigation: []string{"docker inspect CONTAINER --format '{{json .State.Health.Log}}'", "docker inspect CONTAINER --format '{{json .Config.Healthcheck}}'", "run the check inside the container by hand"},
		Remedies:      []string{"graceful", "hard", "rollback", "escalate"},
		Prevention:    []string{"test what users need, not more: /health without the database", "give timeout and retries room for load"},
		Runbook:       "Step 2: container unhealthy",
	},
	{
		Code: "healthcheck_missing", Title: "Nothing checks it", Severity: "low", match: unchecked, strict: true,
		Text: "The service is not well, and it has neither a healthcheck nor a probe that could tell why. The runbook's first prevention measure " +
			"is to give it one.",
		Symptoms:      []string{"health is null", "nobody notices when it stops answering"},
		Investigation: []string{"docker inspect CONTAINER --format '{{.State.Health}}'"},
		Remedies:      []string{"graceful", "hard", "rollback", "escalate"},
		Prevention:    []string{"add a healthcheck: test, interval 30s, timeout 5s, retries 3, start_period 60s", "add x-composure.probes"},
		Runbook:       "Step 2: null, no healthcheck configured; prevention measures",
	},
	{
		Code: "memory_pressure", Title: "Memory is nearly used up", Severity: "medium", match: memoryPressed, strict: true, advisory: true, own: true,
		Text: "The container uses more of its memory limit than the policy allows (85 % unless set otherwise). It still works, and may be killed " +
			"for memory soon.",
		Symptoms:      []string{"docker stats shows over 85 %"},
		Investigation: []string{"docker stats CONTAINER --no-stream", "watch it over an hour: does it only grow?"},
		Remedies:      []string{"raise_memory", "escalate"},
		Prevention:    []string{"raise mem_limit, or bound caches", "set x-composure.memory.raise_to"},
		Runbook:       "Prevention measures: alert on high memory usage; step 4: memory at limit",
	},
	{
		Code: "unknown", Title: "Unknown issue", Severity: "high", match: unexplained, strict: true,
		Text: "The service is not well, and no cause of the table explains it. The ladder is tried, and people are called with everything that " +
			"was seen.",
		Symptoms:      []string{"every question of the tree was answered yes, or could not be answered"},
		Investigation: []string{"composure diagnose SERVICE", "docker compose logs SERVICE --tail=200"},
		Remedies:      []string{"graceful", "hard", "rollback", "escalate"},
		Prevention:    []string{"add a probe or a signature that tells this failure next time"},
		Runbook:       "Decision tree: unknown issue, escalate",
	},
}
