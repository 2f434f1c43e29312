-- wrk's part in bench/run-programs: the files are asked for in turn, every other request with
-- compression.
local number = 0
function request()
  number = number + 1
  local headers = { ["Accept-Encoding"] = number % 2 == 0 and "gzip" or "identity" }
  return wrk.format("GET", "/" .. number % 32 .. ".txt", headers)
end

-- The last line, for the runner: requests, errors of any kind.
function done(summary)
  local errors = summary.errors
  io.write(string.format("requests,%d,%d\n", summary.requests,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
