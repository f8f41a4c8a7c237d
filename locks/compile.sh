#!/usr/bin/env bash
# Compiles the hash-locked requirement files from the pyproject.toml files and *.in, without a registry host in any of them.
# Needs `uv` on the PATH (pip install uv). Run it after a change of a dependency, and commit what it writes.
set -euo pipefail
cd "$(dirname "$0")/.."
services="api scheduler deliverer bounce-inbound webhook-fanout"
compile() {
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
        --no-emit-package scaisend-common --output-file "$@"
}
own=$(mktemp -d)
trap 'rm -rf "$own"' EXIT
# Our own packages are no registry's: they are left out of what is compiled and installed from the tree.
needs() { python3 -c 'import sys, tomllib; [print(d) for f in sys.argv[1:] for d in tomllib.load(open(f, "rb"))["project"]["dependencies"] if not d.startswith("scaisend-")]' "$@"; }
all=(libs/common/pyproject.toml)
for service in $services; do
    all+=("services/$service/pyproject.toml")
    needs libs/common/pyproject.toml "services/$service/pyproject.toml" >"$own/$service.in"
    compile "locks/$service.txt" "$own/$service.in"
done
needs "${all[@]}" >"$own/all.in"
compile locks/dev.txt "$own/all.in" locks/dev.in
compile locks/bench.txt --constraint locks/dev.txt locks/bench.in
