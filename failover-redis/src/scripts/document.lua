-- A document: its version and its value. `paths` holds the keys in order.
local DOCS, PATHS, FENCES = KEYS[2], KEYS[3], KEYS[4]

-- The version under a key, if there is one; fails on one of a newer format, which must not be overwritten.
local function version(key)
  local record = redis.call('HGET', DOCS, key)
  return record and parse(record, '(%d+) .*', 'document ' .. key)[1]
end

-- What a hint calls the place of a key: its first part.
local function area(key)
  return 'state/' .. string.match(key, '^[^/]+')
end
