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
unset "${!SCAISEND_@}" AMQP_URL POSTGRES_DSN REDIS_URL LEDGER_URL XDG_DATA_HOME XDG_CONFIG_HOME
export HOME=$scratch/home XDG_CACHE_HOME=$scratch/home/.cache PIP_CACHE_DIR=$scratch/home/pip SCAISEND_IGNORE_INSTALLED=1
cd "$scratch/clone"
started=$SECONDS
make up
echo "fresh: make up took $((SECONDS - started)) s"
make demo
started=$SECONDS
make test
echo "fresh: make test took $((SECONDS - started)) s"
make down
if left=$(pgrep -af "$scratch/clone"); then
    echo "fresh: make down left these behind:"
    echo "$left"
    exit 1
fi
echo "fresh: both commands work on a clean clone"
