-- The host's own script is host(), defined before everything else so that it sees none of this. It runs under a token that is
-- current, with its own keys and arguments.
local function check_identity()
  local own = redis.call('HMGET', META, 'format', 'store')
  if not own[1] then
    fail('gone')
  end
  if tonumber(own[1]) > FORMAT then
    fail('newer', 'the cluster', own[1])
  end
  if own[2] ~= ARGV[1] then
    fail('other')
  end
end

local function main()
  if not is_current() then
    return { 'fenced' }
  end
  return { 'ok', host({ unpack(KEYS, 3) }, { unpack(ARGV, 5) }) }
end
