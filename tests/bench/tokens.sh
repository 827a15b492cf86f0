#!/usr/bin/env bash
# What tokens cost: remembered, never seen, forged, and with a DPoP proof; beside HAProxy, which verifies each anew, and beside
# a bare Pingora that looks at none. One upstream, one load, targets in turn.
#
#   tests/bench/tokens.sh [--rounds 3] [--requests 12000] [--seconds 5] [--connections 32] [--threads 2] [--profile release] [--bin FOLDER]
#
# Each round loads each target for some seconds; of the rows "never seen", "bad signature" and "DPoP" it sends so many tokens,
# each once and never again.
# Needs wrk, curl and nginx (the upstream); HAProxy, if it is not installed, is left out. See run.sh for the rest.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
rounds=3 requests=12000 seconds=5 connections=32 threads=2 profile=release bin=
while [ $# -gt 0 ]; do
  case $1 in
    --rounds) rounds=$2 ;;
    --requests) requests=$2 ;;
    --seconds) seconds=$2 ;;
    --connections) connections=$2 ;;
    --threads) threads=$2 ;;
    --profile) profile=$2 ;;
    --bin) bin=$2 ;;
    *) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
  shift 2
done

. "$here/processes.sh"
. "$here/measure.sh"
begin
for port in UPSTREAM BARE GATEWAY OBSERVE ES256 RS256; do
  declare "$port=$(free_port)"
done

echo "signing $((rounds * requests)) tokens of each kind"
start issuer "$bin/bench-issuer" "$folder" "$audience" 64 "$((rounds * requests))" "http://127.0.0.1:$GATEWAY/api/accounts"
deadline=$((SECONDS + 600))
until [ -s "$folder/issuer" ]; do
  kill -0 "${pid_of[issuer]}" 2>/dev/null && [ $SECONDS -lt $deadline ] || give_up issuer "signed no tokens"
  sleep 0.2
done
ISSUER=$(cat "$folder/issuer")

start_upstream_and_bare
cp "$root/configs/policies/demo.toml" "$folder/policy.toml"
fill gateway.toml
# What tokens cost is measured here, not who is let in under load: tokens never seen are anonymous until they are verified.
sed -i 's/^\[applications.identity\]/[applications.capacity]\ncontroller = "static"\nlimit = 1024.0\n\n&/' "$folder/gateway.toml"
start gatehouse "$bin/gatehouse" --log-filter error run --config "$folder/gateway.toml"
wait_until_ready "$OBSERVE"

# row NAME PROCESS PORT TOKENS ONCE TITLE: ONCE is "once" where a token must not be sent twice.
rows=()
declare -A process_of once_of
row() {
  rows+=("$1")
  process_of[$1]=$2 port_of[$1]=$3 tokens_of[$1]=$folder/$4 once_of[$1]=$5 title_of[$1]=$6
}
row bare-pingora bare-pingora "$BARE" es256.tokens often "Pingora, bare pass-through"
for algorithm in es256 rs256; do
  row "$algorithm-remembered" gatehouse "$GATEWAY" $algorithm.tokens often "Gatehouse, ${algorithm^^} remembered"
  row "$algorithm-never-seen" gatehouse "$GATEWAY" $algorithm.fresh once "Gatehouse, ${algorithm^^} never seen"
  row "$algorithm-forged" gatehouse "$GATEWAY" $algorithm.forged once "Gatehouse, ${algorithm^^} bad signature"
done
row dpop gatehouse "$GATEWAY" dpop.fresh once "Gatehouse, ES256 and a DPoP proof"
if command -v haproxy >/dev/null; then
  for algorithm in es256 rs256; do
    case $algorithm in es256) JWT=$ES256 VERIFIES=ec.pub ;; rs256) JWT=$RS256 VERIFIES=rsa.pub ;; esac
    ALGORITHM=${algorithm^^} fill peers/jwt.haproxy.cfg "$algorithm.haproxy.cfg"
    start "haproxy-$algorithm" haproxy -db -f "$folder/$algorithm.haproxy.cfg"
    wait_for_port "haproxy-$algorithm" "$JWT"
    row "haproxy-$algorithm" "haproxy-$algorithm" "$JWT" $algorithm.tokens often "HAProxy, jwt_verify ${algorithm^^}"
    row "haproxy-$algorithm-forged" "haproxy-$algorithm" "$JWT" $algorithm.forged once "HAProxy, ${algorithm^^} bad signature"
  done
else
  echo "left out: HAProxy (apt-get install --no-install-recommends haproxy)"
fi

# send ROW ROUND: prints what load.lua writes.
send() {
  local slice=()
  if [ "${once_of[$1]}" = once ]; then slice=("$(($2 * requests + 1))" "$requests"); fi
  load "$1" read "$seconds" "${slice[@]}" >/dev/null
  if [ "$(cut -d' ' -f1 "$folder/outcome")" -lt "$requests" ]; then
    echo "error: $1 did not answer $requests requests in $seconds s; give it more with --seconds" >&2
    return 1
  fi
  cat "$folder/outcome"
}

# Of each round: row, CPU us, requests, refused, socket errors, CPU us in the kernel.
costs() {
  local name
  printf '%-36s %10s %10s %10s %8s %8s\n' tokens "CPU us/req" "in kernel" "over bare" "to bare" refused
  for name in "${rows[@]}"; do
    awk -v name="$name" -v title="${title_of[$name]}" "$median"'
      $1 == "bare-pingora" { bare[++nb] = $2 / $3 }
      $1 == name { n++; cpu[n] = $2 / $3; kernel[n] = $6 / $3; refused += $4; errors += $5; sent += $3 }
      END {
        base = median(bare, nb); own = median(cpu, n)
        printf "%-36s %10.1f %10.1f %10.1f %8.2f %7.0f%%%s\n", title, own, median(kernel, n), own - base, own / base,
          100 * refused / sent, errors ? "  " errors " socket errors" : ""
      }' "$folder/rounds"
  done
}

echo "Tokens: $(uname -m), $(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg), $rounds rounds of $seconds s, $requests single tokens," \
  "$connections connections, $threads threads a target"
for name in "${rows[@]}"; do [ "${once_of[$name]}" = once ] || send "$name" 0 >/dev/null; done
: >"$folder/rounds"
for round in $(seq 0 $((rounds - 1))); do
  for name in "${rows[@]}"; do
    read -r own kernel < <(cpu_us "${process_of[$name]}")
    read -r sent _ _ _ refused errors < <(send "$name" "$round")
    read -r own_after kernel_after < <(cpu_us "${process_of[$name]}")
    echo "$name $((own_after - own + kernel_after - kernel)) $sent $refused $errors $((kernel_after - kernel))" >>"$folder/rounds"
  done
done
echo
costs
echo
echo "Refused by the gateway, and its memory of tokens, by its own count:"
curl -s "http://127.0.0.1:$OBSERVE/metrics" | grep -E '^gatehouse_(refusals_total|remembered_tokens).* [1-9]' | sed 's/^/  /'
