#!/bin/sh
# Fuzzes what strangers send the identity stage, and their mappings, tables and models:
# scripts/fuzz.sh [SECONDS] [TARGET…], by default each target for ten minutes.
# Needs a nightly compiler (rustup toolchain install nightly); fetches cargo-fuzz. What it finds lies in
# tests/fuzz/artifacts/; put it into tests/fuzz/corpus/ to have it tested for ever (cargo test -p tests --test fuzz_corpus).
set -eu
cd "$(dirname "$0")/.."
tools="$(scripts/prerequisites.sh)"
export PATH="${tools:+$tools:}$PATH"

seconds="${1:-600}"
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- authorization access_token dpop_proof cookie logout_token mapping table model
command -v cargo-fuzz >/dev/null || cargo install --quiet --locked cargo-fuzz
# Nothing here is unsafe, so that sanitizers would find nothing and cost half the speed.
cargo +nightly fuzz build --fuzz-dir tests/fuzz --sanitizer none
for target in "$@"; do
    found="$(mktemp -d)"
    echo "== $target, $seconds s"
    # New inputs go to a folder of their own: the corpus in the tree stays small.
    cargo +nightly fuzz run --fuzz-dir tests/fuzz --sanitizer none "$target" "$found" "tests/fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -max_len=4096 -timeout=5 -rss_limit_mb=2048 -print_final_stats=1
    rm -rf "$found"
done
