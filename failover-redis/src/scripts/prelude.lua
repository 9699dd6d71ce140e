-- What every script begins with.
--
-- KEYS[1] is the cluster's own record. ARGV[1] to ARGV[4] are what the caller knows: the store's id, the run of the server,
-- and the highest revision and document version it has seen. A script calls fail() before its first write or never, so
-- nothing is ever half done.
local FORMAT = 1
local META = KEYS[1]
local CHANNEL = string.sub(META, 1, -5) .. 'changed' -- "…meta" and "…changed" differ in their last word only

-- The store's clock, in microseconds: exact in a double until the year 2255.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- Ends the script with an answer that the caller makes a typed error of.
local function fail(...)
  error({ ... })
end

-- Numbers travel and are kept as decimal text, and are compared as such: a double is exact only up to 2^53.
local function less(a, b)
  if #a ~= #b then
    return #a < #b
  end
  return a < b
end

local function text(number)
  return string.format('%.0f', number)
end

-- Takes a record apart. All begin with their format; one of a newer format is left as it is.
local function parse(record, pattern, what)
  local format = tonumber(string.match(record, '^(%d+) '))
  if not format then
    fail('corrupt', what)
  end
  if format > FORMAT then
    fail('newer', what, text(format))
  end
  local fields = { string.match(record, '^%d+ ' .. pattern .. '$') }
  if #fields == 0 then
    fail('corrupt', what)
  end
  return fields
end

-- A hint for whoever waits for this area.
local function changed(area)
  redis.call('PUBLISH', CHANNEL, area)
end

-- Whether this is the store, and the server, that the caller knows.
local function check_identity()
  local own = redis.call('HMGET', META, 'format', 'store', 'run', 'revision', 'version')
  if not own[1] then
    fail('gone')
  end
  if tonumber(own[1]) > FORMAT then
    fail('newer', 'the cluster', own[1])
  end
  if own[2] ~= ARGV[1] then
    fail('other')
  end
  if less(own[4], ARGV[3]) then
    fail('back', 'the revision of the jobs', own[4], ARGV[3])
  end
  if less(own[5], ARGV[4]) then
    fail('back', 'the version of the documents', own[5], ARGV[4])
  end
  if own[3] ~= ARGV[2] then
    fail('run')
  end
end
