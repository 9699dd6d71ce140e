-- ARGV[7] the member, ARGV[8] its node, ARGV[9] the ttl in microseconds.
local function main()
  local member, node, lasts = ARGV[7], ARGV[8], tonumber(ARGV[9])
  local lease = lease_now()
  local term = lease.term
  if lease.state == 'held' and lease.who ~= member then
    return view('refused', lease)
  end
  if lease.state == 'reserved' and lease.who ~= node then
    return view('refused', lease)
  end
  if lease.state ~= 'held' then
    local floor = redis.call('HGET', META, 'term_floor')
    term = text(math.max(tonumber(term), tonumber(floor)) + 1)
    changed('lease/' .. ARGV[5])
  end
  keep(term, 'held', member, lasts)
  return { 'ok', 'granted', term }
end
