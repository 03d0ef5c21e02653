#!/usr/bin/env bash
# The demo: Composure brings the runbook's stack up, somebody changes it by hand,
# Composure says what differs and puts it right. Then it watches the stack and works
# the runbook for one fault after another. Run it with `make demo`.
#
# It leaves nothing behind, also when it is interrupted.
set -euo pipefail
cd "$(dirname "$0")/.."

project=composure-demo
incident=   # the last one that was shown
remediator= # process id
network=${project}_default
volume=${project}_pgdata
api=$project-api-1 postgres=$project-postgres-1 frontend=$project-frontend-1

# Colour is for a terminal, and only if people want it.
bold='' dim='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1;36m' dim=$'\e[2m' plain=$'\e[0m'
fi

heading() { printf '\n%s── %s%s\n' "$bold" "$*" "$plain"; }

# run COMMAND...: show a command as one would type it, then run it. What only
# keeps the demo apart from the rest of the machine is not shown.
run() {
    local shown="$*"
    shown=${shown/#bin\/composure/composure}
    printf '%s$ %s%s\n' "$dim" "${shown/ --state-dir $state/}" "$plain"
    "$@"
}

# expect STATUS COMMAND...: run it and stop the demo when it ends differently.
expect() {
    local want=$1 status=0
    shift
    run "$@" || status=$?
    [ "$status" = "$want" ] || {
        printf 'demo: exit status %d instead of %d\n' "$status" "$want" >&2
        exit 1
    }
    printf '%s(exit status %d)%s\n' "$dim" "$status" "$plain"
}

composure() {
    local want=$1
    shift
    expect "$want" bin/composure -f test/demo/compose.yaml -f test/demo/heal.yaml --state-dir "$state" "$@"
}

# newest: the newest incident on one line, an open one first; nothing while there is none.
newest() { bin/composure -f test/demo/compose.yaml -f test/demo/heal.yaml --state-dir "$state" incidents list --limit 1 | sed -n 2p; }

# readable: the remediator's log, without what a demo does not need.
readable() {
    sed -u -n -E \
        -e 's/^time=[^T]*T([0-9:]+)[^ ]* level=[A-Z]+ msg=("([^"]*)"|([^ ]*))/  \1 \3\4:/' \
        -e '/ (act|step|incident|decided|held|people are called|the compose files were read again): /{ s/^(.{180}).*/\1…/; p }'
}

# watch_stack leaves the remediator running; its log is shown as it happens.
watch_stack() {
    echo "$dim\$ composure reconcile --log-level info &$plain"
    bin/composure -f test/demo/compose.yaml -f test/demo/heal.yaml --state-dir "$state" --log-level info reconcile --interval 10s \
        2> >(readable) &
    remediator=$!
}

# unwatch ends the remediator as an operator would.
unwatch() {
    [ -n "$remediator" ] || return 0
    kill "$remediator" 2>/dev/null && wait "$remediator"
    remediator=
}

# healed SERVICE: wait until there is a new incident of the service and it is over, then say what it was.
healed() {
    local id stage severity service cause rest deadline=$((SECONDS + 120))
    while [ "$SECONDS" -lt "$deadline" ]; do
        read -r id stage severity service cause rest <<<"$(newest)"
        if [ -n "$id" ] && [ "$id" != "$incident" ] && [ "$stage" = resolved ]; then
            [ "$service" = "$1" ] || break
            incident=$id
            echo "${bold}healed: $service, $cause ($id)$plain"
            return
        fi
        sleep 0.5
    done
    printf 'demo: %s was not healed; last seen: %s\n' "$1" "$id $stage $severity $service $cause $rest" >&2
    exit 1
}

# fault NAME: switch one of the API's faults on (test/demo/api/faults.go).
fault() { run curl --silent --show-error --max-time 10 --request POST "http://127.0.0.1:$DEMO_API_PORT/debug/$1"; }

# clean_up removes what carries the demo's project label, and nothing else.
clean_up() {
    local label=label=com.docker.compose.project=$project ids
    ids=$(docker ps -aq --filter "$label")
    xargs --no-run-if-empty docker rm --force <<<"$ids" >/dev/null
    docker network rm "$network" >/dev/null 2>&1 || true
    docker volume rm "$volume" >/dev/null 2>&1 || true
    docker image ls --filter "reference=composure-kept/$project-*" --format '{{.Repository}}:{{.Tag}}' |
        xargs --no-run-if-empty docker image rm >/dev/null || true
}

# free_port FROM: the first port of the loopback address that nobody listens on.
free_port() {
    local port=$1
    while (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
    echo "$port"
}

rows() {
    docker exec "$postgres" psql --username postgres --dbname ner11_db --no-align --tuples-only \
        --command "SELECT (SELECT count(*) FROM vendor_equipment) || ' vendor_equipment, ' || (SELECT count(*) FROM threat_intelligence) || ' threat_intelligence'"
}

# same_rows stops the demo when a row is missing.
same_rows() {
    local after
    after=$(rows)
    echo "rows in PostgreSQL: $after"
    [ "$before" = "$after" ] || {
        echo "demo: rows before: $before; after: $after" >&2
        exit 1
    }
}

# recreate_without_healthcheck replaces the database's container as a person in a
# hurry would: same image, volume, network and labels, but one setting forgotten.
# All labels stay, the config hash among them, so docker compose sees no difference.
recreate_without_healthcheck() {
    local image initdb
    docker inspect --format '{{range $key, $value := .Config.Labels}}{{println (printf "%s=%s" $key $value)}}{{end}}' "$postgres" | grep . >"$state/labels"
    docker inspect --format '{{range .Config.Env}}{{println .}}{{end}}' "$postgres" | grep . >"$state/env"
    image=$(docker inspect --format '{{.Config.Image}}' "$postgres")
    initdb=$(docker inspect --format '{{range .Mounts}}{{if eq .Type "bind"}}{{.Source}}{{end}}{{end}}' "$postgres")

    docker rm --force "$postgres" >/dev/null
    docker run --detach --name "$postgres" --label-file "$state/labels" --env-file "$state/env" \
        --volume "$volume:/var/lib/postgresql/data" --volume "$initdb:/docker-entrypoint-initdb.d:ro" \
        --network "$network" --network-alias postgres --network-alias "$postgres" \
        --memory 256m --restart unless-stopped --stop-timeout 15 "$image" >/dev/null
}

cache=${XDG_CACHE_HOME:-$HOME/.cache}/composure
mkdir -p "$cache"
exec 9>"$cache/demo.lock"
flock --nonblock 9 || {
    echo 'demo: another one is running on this machine' >&2
    exit 1
}
state=$(mktemp -d "${TMPDIR:-/tmp}/composure-demo.XXXXXX")
trap 'unwatch || true; printf "\ncleaning up\n"; clean_up; rm -rf "$state"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
clean_up # of a demo that was killed
DEMO_API_PORT=${DEMO_API_PORT:-$(free_port 18000)}
DEMO_FRONTEND_PORT=${DEMO_FRONTEND_PORT:-$(free_port 18080)}
export DEMO_API_PORT DEMO_FRONTEND_PORT

heading "1. Nothing runs yet. Composure makes the stack what test/demo/compose.yaml says"
composure 0 reconcile --once
run docker ps --filter "label=com.docker.compose.project=$project" --format '{{.Names}}\t{{.Status}}'
before=$(rows)
echo "rows in PostgreSQL: $before"

heading "2. The drift report is clean"
composure 0 drift

heading "3. Somebody changes the stack by hand"
run docker update --memory 128m --memory-swap 128m "$api"
run docker network disconnect "$network" "$frontend"
echo "(and recreates $postgres without its healthcheck, with every label kept)"
recreate_without_healthcheck
run docker kill "$api"

heading "4. What differs, in which field, at which line of the file, and what a deployment would do"
composure 1 drift

heading "5. Composure puts it right"
composure 0 reconcile --once

heading "6. Clean again, and no row was lost"
composure 0 drift
same_rows

heading "7. Now it watches, and works the runbook. The API hangs"
watch_stack
until [ -n "$(docker exec "$api" wget -q -O - http://127.0.0.1:8000/health 2>/dev/null)" ]; do sleep 0.2; done
sleep 2
fault hang
healed api

heading "8. PostgreSQL is killed: one incident, and the API is left alone"
run docker kill "$postgres"
healed postgres

heading "9. Every connection of the API's pool stays idle in transaction"
fault exhaust-pool
healed api

heading "10. Memory fills up until the kernel kills the API; its policy lets the limit be raised"
fault leak
healed api
composure 0 drift

heading "11. A broken image is deployed: it never gets well, and the deployment goes back by itself"
DEMO_API_IMAGE=composure-test/frontend:1 composure 1 reconcile --once api
run docker ps --filter "label=com.docker.compose.project=$project" --format '{{.Names}}\t{{.Image}}\t{{.Status}}'
same_rows
unwatch

heading "12. The report of the first of these incidents, as it was written by itself"
cat "$(find "$state/incidents" -name '*.md' | sort | head -1)"

heading "Done in $SECONDS s"
