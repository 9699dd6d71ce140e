-- From ARGV[5] on, of each lease: its name, the highest term of it that the caller has seen, the member, the term, the ttl in
-- microseconds. A lapsed lease is never renewed. Answered is whether any was extended, and then of each whether it was.
local function main()
  local names = {}
  for at = 5, #ARGV, 5 do
    names[#names + 1] = ARGV[at]
  end
  local records = redis.call('HMGET', LEASES, unpack(names))
  local answer, writes = { 'ok', 'lost' }, {}
  local function write(name, record)
    writes[#writes + 1] = name
    writes[#writes + 1] = record
  end
  for n, name in ipairs(names) do
    local seen, member, term, ttl = unpack(ARGV, 5 * n + 1, 5 * n + 4)
    local lease, lapsed = read(name, seen, records[n])
    local extended = is_current(lease, member, term)
    if extended then
      write(name, record_of(lease.term, 'held', lease.who, tonumber(ttl)))
      answer[2] = 'extended'
    elseif lapsed then
      write(name, record_of(lease.term, 'free', '-', 0))
    end
    answer[n + 2] = extended and 'extended' or 'lost'
  end
  if #writes > 0 then
    redis.call('HSET', LEASES, unpack(writes))
  end
  return answer
end
