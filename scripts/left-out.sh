#!/bin/sh
# Lists the tests that need something from outside, each with what it needs; with `install`, installs it.
set -eu
cd "$(dirname "$0")/.."
packages="chromium chromium-driver"
browser="apt-get update && apt-get install -y --no-install-recommends $packages"
# With Node 20 or later.
provider="(cd tests/peers/oidc-provider && npm ci)"

if [ "${1:-}" = install ]; then
    if ! command -v chromium >/dev/null || ! command -v chromedriver >/dev/null; then
        sh -c "$browser" >&2
    fi
    peer=tests/peers/oidc-provider
    if [ ! "$peer/node_modules/.package-lock.json" -nt "$peer/package-lock.json" ]; then
        sh -c "$provider" >&2
    fi
    exit
fi
found="$(grep -rnE '#\[ignore = "needs ' --include='*.rs' . --exclude-dir=target |
    sed -E 's|^\./([^:]+):[0-9]+:.*#\[ignore = "(needs [^"]+)"\].*|  \1: \2|' | sort -u)"
if [ -z "$found" ]; then
    echo "left out: nothing"
else
    echo "left out, because they need something from outside (make left-out runs them):"
    echo "$found"
    echo "one line installs what they need, given Node 20 or later: $browser && $provider"
fi
