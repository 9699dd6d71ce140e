-- ARGV[5] the job, ARGV[6] its spec.
local function main()
  local id, spec = ARGV[5], ARGV[6]
  local there = job(id)
  if there then
    -- Left to the caller, who knows what makes two specs the same.
    return { 'ok', 'there', there.retiring and '1' or '0', redis.call('HGET', SPECS, id) }
  end
  local epoch = redis.call('HGET', EPOCHS, id) or redis.call('HGET', META, 'epoch_floor')
  redis.call('ZREM', GRAVES, id)
  redis.call('HDEL', EPOCHS, id)
  redis.call('HSET', SPECS, id, spec)
  put(id, {
    epoch = epoch, phase = 'queued', owner = '-', retiring = false, failures = '0', course = '{}', detail = '', runs = {},
  })
  save()
  return { 'ok', 'created' }
end
