-- ARGV[5] to ARGV[9]: key, value, what is expected ('absent', 'any' or a version), fencing lease or '', its term.
local function main()
  local key, value, expect, lease, term = unpack(ARGV, 5)
  local there = version(key)
  local highest = lease ~= '' and fenced(FENCES, 'state', lease, term)
  if highest then
    return { 'ok', 'fenced', highest }
  end
  if expect ~= 'any' and expect ~= (there or 'absent') then
    return { 'ok', 'conflict', there or '' }
  end
  -- From one counter for all keys: higher than any this key ever had, with nothing kept of deleted ones.
  local number = text(redis.call('HINCRBY', META, 'version', 1))
  redis.call('HSET', DOCS, key, '1 ' .. number .. ' ' .. value)
  redis.call('ZADD', PATHS, 0, key)
  changed(area(key))
  return { 'ok', 'written', number }
end
