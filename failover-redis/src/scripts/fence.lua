-- The highest term under which each area was written, by lease. It is remembered here and not asked of whoever granted the
-- lease, which may be another store.
local function fenced(fences, area, lease, term)
  local field = area .. '/' .. lease
  local highest = redis.call('HGET', fences, field)
  if highest and less(term, highest) then
    return highest
  end
  if highest ~= term then
    redis.call('HSET', fences, field, term)
  end
  return nil
end
