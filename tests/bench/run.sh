#!/usr/bin/env bash
# Gatehouse beside a bare Pingora, nginx, HAProxy and a web application firewall: one upstream, one load, targets in turn.
#
#   tests/bench/run.sh [--rounds 3] [--seconds 4] [--connections 32] [--threads 2] [--profile release] [--bin FOLDER]
#                      [--only WORDS]
#
# --profile dist builds as packagers do, with link-time optimisation: Gatehouse and the bare pass-through alike.
# --bin takes built binaries (gatehouse, bare-pingora, bench-issuer) from FOLDER instead of building them.
# --only measures those targets whose name matches the pattern (the first of each journey is always measured).
# Needs wrk and curl; nginx for the upstream. Peers that are not installed are named and left out.
#
# The figure to compare is the CPU time that a target's own processes spend on a request: load and upstream share the
# machine with it, so requests a second mostly say how busy those were.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
rounds=3 seconds=4 connections=32 threads=2 profile=release bin= only=.
while [ $# -gt 0 ]; do
  case $1 in
    --rounds) rounds=$2 ;;
    --seconds) seconds=$2 ;;
    --connections) connections=$2 ;;
    --threads) threads=$2 ;;
    --profile) profile=$2 ;;
    --bin) bin=$2 ;;
    --only) only=$2 ;;
    *) sed -n '2,13s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
  shift 2
done

customers=64 idle=1000
. "$here/processes.sh"
. "$here/measure.sh"
begin
for port in UPSTREAM BARE STEALING APART GATEWAY OBSERVE NGINX HAPROXY JWT WAF; do
  declare "$port=$(free_port)"
done

start issuer "$bin/bench-issuer" "$folder" "$audience" "$customers"
wait_for_file issuer "$folder/issuer"
ISSUER=$(cat "$folder/issuer")

start_upstream_and_bare
start bare-stealing "$bin/bare-pingora" --listen "127.0.0.1:$STEALING" --upstream "127.0.0.1:$UPSTREAM" --threads "$threads" --work-stealing
start bare-apart "$bin/bare-pingora" --listen "127.0.0.1:$APART" --upstream "127.0.0.1:$UPSTREAM" --threads "$threads" --apart

# Every rule of the demo's policy is evaluated; the load's thousands of like transfers an hour would trip those that
# count, so their thresholds are out of reach.
sed -E 's/^(fraud_[a-z_]+|anomaly_step_up) = .*/\1 = 2.0/; s/^(day_sum_minor|transfers_a_day|refused_attempts) = .*/\1 = 1_000_000_000_000/' \
  "$root/configs/policies/demo.toml" >"$folder/policy.toml"
fill gateway.toml
start gatehouse "$bin/gatehouse" --log-filter warn run --config "$folder/gateway.toml"

peers=()
if command -v haproxy >/dev/null; then
  fill peers/haproxy.cfg && start haproxy haproxy -db -f "$folder/haproxy.cfg"
  ALGORITHM=RS256 VERIFIES=rsa.pub fill peers/jwt.haproxy.cfg && start haproxy-jwt haproxy -db -f "$folder/jwt.haproxy.cfg"
  peers+=(haproxy haproxy-jwt)
else
  echo "left out: HAProxy (apt-get install --no-install-recommends haproxy)"
fi
fill peers/nginx.conf && start nginx nginx -c "$folder/nginx.conf" -g 'daemon off;'
if [ -e /usr/lib/nginx/modules/ngx_http_modsecurity_module.so ] && [ -d /usr/share/modsecurity-crs/rules ]; then
  fill peers/modsecurity.conf
  fill peers/waf.nginx.conf && start nginx-modsecurity nginx -p /usr/lib/nginx -c "$folder/waf.nginx.conf" -g 'daemon off;'
  peers+=(nginx-modsecurity)
else
  echo "left out: nginx with ModSecurity (apt-get install --no-install-recommends libnginx-mod-http-modsecurity modsecurity-crs)"
fi

# name | what it is | port | tokens
add_target bare-pingora      "Pingora, bare pass-through"        "$BARE"     es256
add_target bare-stealing     "Pingora, bare, work stealing"      "$STEALING" es256
add_target bare-apart        "Pingora, bare, threads apart"      "$APART"    es256
add_target gatehouse         "Gatehouse, every stage"            "$GATEWAY"  es256
add_target nginx             "nginx, plain proxy"                "$NGINX"    es256
for peer in "${peers[@]}"; do
  case $peer in
    haproxy)           add_target "$peer" "HAProxy, plain proxy"             "$HAPROXY" es256 ;;
    haproxy-jwt)       add_target "$peer" "HAProxy, jwt_verify RS256, rate"  "$JWT"     rs256 ;;
    nginx-modsecurity) add_target "$peer" "nginx, ModSecurity and CRS"       "$WAF"     es256 ;;
  esac
done
for target in "${targets[@]}"; do wait_for_port "$target" "${port_of[$target]}"; done
wait_until_ready "$OBSERVE"

echo "Gatehouse benchmark: $(uname -m), $(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg), $rounds rounds of $seconds s," \
  "$connections connections, $threads threads a target, $customers customers"
memory_table bare-pingora gatehouse nginx ${peers[0]:+haproxy}
journey read 200
journey transfer 201
outcomes_of_gateway "$OBSERVE"
echo
echo "Size of the binary: $(($(stat -c %s "$bin/gatehouse") / 1000)) kB"
demo_start_time "first start" && demo_start_time "second start, with its data"
