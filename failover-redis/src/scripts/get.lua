-- ARGV[5] the key.
local function main()
  return { 'ok', redis.call('HGET', KEYS[2], ARGV[5]) or '' }
end
