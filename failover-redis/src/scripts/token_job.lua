-- A job's token is current while its owner has it under that epoch. The moment has no part in it: it is its owner's until an
-- assignment says otherwise. KEYS[2] the jobs; ARGV[2] to ARGV[4]: job, owner, epoch.
local function is_current()
  local record = redis.call('HGET', KEYS[2], ARGV[2])
  if not record then
    return false
  end
  local epoch, owner = unpack(parse(record, '%d+ (%d+) %l+ (%S+) .*', 'job ' .. ARGV[2]))
  return owner == ARGV[3] and epoch == ARGV[4]
end
