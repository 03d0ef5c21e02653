#!/usr/bin/env bash
# Runs every fuzz target of the module for FUZZTIME, one after another.
set -euo pipefail
cd "$(dirname "$0")/.."

found=0
while IFS=: read -r file target; do
    found=1
    printf '== %s in %s\n' "$target" "$(dirname "$file")"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-30s}" "./$(dirname "$file")"
done < <(grep -roHE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' cmd controller spec test | sed 's/:func /:/')
[ $found = 1 ] || { echo 'no fuzz targets' >&2; exit 1; }
