#!/bin/sh
# Lists the tests that need something from outside, each with what it needs; with `install`, installs it.
set -eu
cd "$(dirname "$0")/.."
packages="chromium chromium-driver"
install="apt-get update && apt-get install -y --no-install-recommends $packages"

if [ "${1:-}" = install ]; then
    if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then
        exit 0
    fi
    sh -c "$install" >&2
    exit
fi
found="$(grep -rnE '#\[ignore = "needs ' --include='*.rs' . --exclude-dir=target |
    sed -E 's|^\./([^:]+):[0-9]+:.*#\[ignore = "(needs [^"]+)"\].*|  \1: \2|' | sort -u)"
if [ -z "$found" ]; then
    echo "left out: nothing"
else
    echo "left out, because they need something from outside (make left-out runs them):"
    echo "$found"
    echo "one line installs what they need: $install"
fi
