#!/bin/sh
# Sees to the one tool that a build needs beyond Rust, a C compiler and make: cmake.
# Does nothing where it is there. Prints the folder to put in front of PATH, if one is needed.
set -eu

tools="$(cd "$(dirname "$0")/.." && pwd)/.tools"

if command -v cmake >/dev/null 2>&1; then
    exit 0
fi
if [ -x "$tools/cmake/bin/cmake" ]; then
    echo "$tools/cmake/bin"
    exit 0
fi

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        sudo "$@"
    else
        return 1
    fi
}

echo "cmake is missing; installing it" >&2
if command -v apt-get >/dev/null 2>&1 &&
    as_root apt-get update -qq >&2 &&
    as_root apt-get install -y -qq --no-install-recommends cmake >&2; then
    exit 0
fi
if command -v python3 >/dev/null 2>&1 &&
    python3 -m pip install --quiet --target "$tools/cmake" cmake >&2 &&
    [ -x "$tools/cmake/bin/cmake" ]; then
    # The wheel's launcher imports its own package, which lies beside it.
    sed -i.orig "1a import sys; sys.path.insert(0, '$tools/cmake')" "$tools/cmake/bin/cmake"
    echo "$tools/cmake/bin"
    exit 0
fi
echo "cmake could not be installed: install it with your system's package manager, then try again" >&2
exit 1
