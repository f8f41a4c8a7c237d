#!/usr/bin/env bash
# The two README commands on a clone of what is committed: empty HOME, empty caches, installed servers ignored.
set -euo pipefail
source=$(git -C "$(dirname "$0")/.." rev-parse --show-toplevel)
scratch=$(mktemp -d "${TMPDIR:-/var/tmp}/scaisend-fresh-XXXXXX")
chmod 755 "$scratch"
finish() {
    status=$?
    make -C "$scratch/clone" clean >/dev/null 2>&1 || true
    rm -rf "$scratch"
    exit $status
}
trap finish EXIT
git clone --quiet "$source" "$scratch/clone"
mkdir "$scratch/home"
export HOME=$scratch/home XDG_CACHE_HOME=$scratch/home/.cache PIP_CACHE_DIR=$scratch/home/pip SCAISEND_IGNORE_INSTALLED=1
cd "$scratch/clone"
time make up
make demo
time make test
make down
echo "fresh: both commands work on a clean clone"
