-- ARGV[7] the member, ARGV[8] the term, ARGV[9] the successor or '', ARGV[10] the thousandths of its ttl that it is reserved for.
local function main()
  local lease = lease_now()
  if not is_current(lease, ARGV[7], ARGV[8]) then
    return { 'ok' }
  end
  if ARGV[9] == '' then
    keep(lease.term, 'free', '-', 0)
  else
    keep(lease.term, 'reserved', ARGV[9], math.floor(lease.lasts * ARGV[10] / 1000))
  end
  changed('lease/' .. ARGV[5])
  return { 'ok' }
end
