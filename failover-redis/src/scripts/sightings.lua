-- The records as they are, and the moment their ages are counted to.
local function main()
  return { 'ok', text(now), redis.call('HGETALL', KEYS[2]) }
end
