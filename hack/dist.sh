#!/usr/bin/env bash
# Static binaries of every platform in dist/, with their SHA-256 sums. The same commit and the same Go toolchain give the
# same bytes on any machine: `hack/dist.sh verify` builds them a second time, from a copy of the sources in another
# directory with an empty build cache, and compares.
#
# OUT is another directory for them, PLATFORMS a choice of platforms.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(realpath -m "${OUT:-dist}")
read -ra platforms <<<"${PLATFORMS:-linux/amd64 linux/arm64}"

VERSION=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo dev)}
COMMIT=${COMMIT:-$(git rev-parse HEAD 2>/dev/null || true)}
DATE=${DATE:-$(TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null || true)}
flags="-s -w -buildid= -X main.version=$VERSION -X main.commit=$COMMIT -X main.built=$DATE"

# build OUTPUT: the binaries of the sources in the working directory. What a user's environment could change is fixed.
build() {
    local platform
    for platform in "${platforms[@]}"; do
        env CGO_ENABLED=0 GOOS="${platform%/*}" GOARCH="${platform#*/}" GOAMD64=v1 GOARM64=v8.0 GOFLAGS= GOEXPERIMENT= \
            go build -trimpath -buildvcs=false -ldflags "$flags" -o "$1/composure-${platform/\//-}" ./cmd/composure
    done
    (cd "$1" && sha256sum composure-* >SHA256SUMS)
}

rm -rf "$out"
build "$out"
[ "${1:-}" = verify ] || exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/elsewhere"
cp -R cmd controller spec go.mod go.sum "$work/elsewhere/"
cd "$work/elsewhere"
GOCACHE=$work/cache build "$work/again"
diff "$out/SHA256SUMS" "$work/again/SHA256SUMS"
for binary in "$work"/again/composure-*; do cmp "$out/${binary##*/}" "$binary"; done
cat "$out/SHA256SUMS"
echo "built twice, byte for byte the same"
