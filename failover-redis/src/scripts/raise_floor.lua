-- ARGV[5] the floor of all terms.
local function main()
  if less(redis.call('HGET', META, 'term_floor'), ARGV[5]) then
    redis.call('HSET', META, 'term_floor', ARGV[5])
  end
  return { 'ok' }
end
