-- ARGV[5] to ARGV[8]: key, what is expected ('any' or a version), fencing lease or '', its term.
local function main()
  local key, expect, lease, term = unpack(ARGV, 5)
  local there = version(key)
  local highest = lease ~= '' and fenced(FENCES, 'state', lease, term)
  if highest then
    return { 'ok', 'fenced', highest }
  end
  if not there then
    return { 'ok', 'deleted' }
  end
  if expect ~= 'any' and expect ~= there then
    return { 'ok', 'conflict', there }
  end
  redis.call('HDEL', DOCS, key)
  redis.call('ZREM', PATHS, key)
  changed(area(key))
  return { 'ok', 'deleted' }
end
