-- ARGV[5] the node, ARGV[6] the incarnation: only that one's heartbeat goes.
local function main()
  local record = redis.call('HGET', KEYS[2], ARGV[5])
  if record and parse(record, '(%S+) .*', 'heartbeat of ' .. ARGV[5])[1] == ARGV[6] then
    redis.call('HDEL', KEYS[2], ARGV[5])
    changed('beats')
  end
  return { 'ok' }
end
