-- A lease's token is current while its term is the highest under its name, its holder the same, and its time not over.
-- KEYS[2] the leases; ARGV[2] to ARGV[4]: name, holder, term.
local function is_current()
  local record = redis.call('HGET', KEYS[2], ARGV[2])
  if not record then
    return false
  end
  local term, state, who, ends = unpack(parse(record, '(%d+) (%l+) (%S+) (%d+) %d+', 'lease ' .. ARGV[2]))
  return state == 'held' and who == ARGV[3] and term == ARGV[4] and tonumber(ends) > now
end
