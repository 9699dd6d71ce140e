-- ARGV[7] the member, ARGV[8] the term, ARGV[9] the ttl in microseconds. A lapsed lease is never renewed.
local function main()
  local lease = lease_now()
  if not is_current(lease, ARGV[7], ARGV[8]) then
    return { 'ok', 'lost' }
  end
  keep(lease.term, 'held', lease.who, tonumber(ARGV[9]))
  return { 'ok', 'extended' }
end
