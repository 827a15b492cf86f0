#!/bin/sh
# Lists the tests that need something from outside, each with what it needs.
set -eu
cd "$(dirname "$0")/.."
found="$(grep -rnE '#\[ignore = "needs ' --include='*.rs' . --exclude-dir=target |
    sed -E 's|^\./([^:]+):[0-9]+:.*#\[ignore = "(needs [^"]+)"\].*|  \1: \2|' | sort -u)"
if [ -z "$found" ]; then
    echo "left out: nothing"
else
    echo "left out, because they need something from outside (make left-out runs them):"
    echo "$found"
    echo "one line installs what they need: apt-get install -y --no-install-recommends nginx haproxy wrk chromium python3"
fi
