-- Load for wrk that sends each token once: `BENCH_OUTCOME=FILE wrk -t1 … -s tokens.lua URL -- TOKENS FIRST COUNT` sends the
-- lines FIRST to FIRST + COUNT - 1 of the file TOKENS, and is then silent until wrk's time is over. A line is an access token, or one and its DPoP proof.
-- FILE gets "requests microseconds p50_us p99_us refused socket_errors".
local requests, turn, answered = {}, 0, 0

function init(arguments)
  local first, count = tonumber(arguments[2]), tonumber(arguments[3])
  local number = 0
  for line in io.lines(arguments[1]) do
    number = number + 1
    if number >= first + count then break end
    if number >= first then
      local token, proof = line:match("^(%S+) (%S+)$")
      local headers = { ["Accept"] = "application/json", ["User-Agent"] = "bank-app/4.2 (bench)" }
      headers["Authorization"] = token and ("DPoP " .. token) or ("Bearer " .. line)
      headers["DPoP"] = proof
      requests[#requests + 1] = wrk.format("GET", "/api/accounts", headers)
    end
  end
  assert(#requests == count, "too few tokens")
end

function request()
  -- What the other connections send while the last answers come in is sent again.
  turn = math.min(turn + 1, #requests)
  return requests[turn]
end

function response()
  answered = answered + 1
  if answered == #requests then wrk.thread:stop() end
end

function done(summary, latency, _)
  local errors = summary.errors
  local file = assert(io.open(os.getenv("BENCH_OUTCOME"), "w"))
  file:write(string.format("%d %d %.0f %.0f %d %d\n", summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), errors.status, errors.connect + errors.read + errors.write + errors.timeout))
  file:close()
end
