#!/usr/bin/env bash
# Make the container image of Composure: `hack/image.sh [TAG...]`, without a tag composure:VERSION and composure:latest.
# No registry is asked: it is made from scratch. The platform is the engine's. BINARY is a binary that is built already.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    echo "hack/image.sh: $*" >&2
    exit 1
}

certificates=
for file in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem; do
    [ -s "$file" ] && certificates=$file && break
done
[ -n "$certificates" ] || fail "no certificates of public authorities here; install ca-certificates"
platform=$(docker version --format '{{.Server.Os}}/{{.Server.Arch}}') || fail "docker does not answer; hack/engine.sh starts one"

VERSION=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo dev)}
COMMIT=${COMMIT:-$(git rev-parse HEAD 2>/dev/null || true)}
DATE=${DATE:-$(TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null || true)}
export VERSION COMMIT DATE
tag=${VERSION//[^A-Za-z0-9_.-]/-}
[ $# -gt 0 ] || set -- "composure:$tag" composure:latest

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ -z "${BINARY:-}" ]; then
    OUT=$work/dist PLATFORMS=$platform hack/dist.sh
    BINARY=$work/dist/composure-${platform/\//-}
fi
cp -R hack/image "$work/context"
mkdir -p "$work/context/rootfs"/{etc/ssl/certs,run,tmp,usr/local/bin,var/lib}
chmod 1777 "$work/context/rootfs/tmp"
cp "$certificates" "$work/context/rootfs/etc/ssl/certs/ca-certificates.crt"
install -m 755 "$BINARY" "$work/context/rootfs/usr/local/bin/composure"
printf 'root:x:0:0:root:/root:/usr/local/bin/composure\n' >"$work/context/rootfs/etc/passwd"

DOCKER_BUILDKIT=${DOCKER_BUILDKIT:-0} docker build --quiet "${@/#/--tag=}" \
    --label org.opencontainers.image.title=composure \
    --label "org.opencontainers.image.description=Keeps Docker Compose stacks the way their compose file says" \
    --label org.opencontainers.image.licenses=Apache-2.0 \
    --label "org.opencontainers.image.version=$VERSION" \
    --label "org.opencontainers.image.revision=$COMMIT" \
    --label "org.opencontainers.image.created=$DATE" \
    "$work/context" >"$work/log" 2>&1 || {
    cat "$work/log" >&2
    exit 1
}
printf '%s\n' "$@"
