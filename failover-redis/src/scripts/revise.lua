-- ARGV[5] the job, ARGV[6] its spec, ARGV[7] the spec that the caller found there; '' at first.
local function main()
  local id, spec, found = unpack(ARGV, 5)
  local there = job(id)
  if not there or there.retiring then
    return { 'ok', 'absent' }
  end
  local before = redis.call('HGET', SPECS, id)
  if before ~= found then
    -- Left to the caller, who knows what makes two specs the same, and whether this one is of a newer format.
    return { 'ok', 'there', before }
  end
  redis.call('HSET', SPECS, id, spec)
  put(id, there)
  save()
  return { 'ok', 'changed' }
end
