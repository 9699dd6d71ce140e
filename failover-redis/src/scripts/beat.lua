-- ARGV[5] to ARGV[9]: node, incarnation, term, seq, news. A record holds what the node last told, and when.
local BEATS = KEYS[2]

local function main()
  local node, incarnation, term, seq, news = unpack(ARGV, 5)
  local record = redis.call('HGET', BEATS, node)
  local differs = true
  if record then
    local last = parse(record, '(%S+) (%d+) (%d+) (%d+) (.*)', 'heartbeat of ' .. node)
    if less(term, last[2]) or (term == last[2] and not less(last[3], seq)) then
      return { 'ok' }
    end
    differs = last[1] ~= incarnation or last[5] ~= news
  end
  redis.call('HSET', BEATS, node, table.concat({ '1', incarnation, term, seq, text(now), news }, ' '))
  if differs then -- a plain beat is no news: it must not make every watcher read
    changed('beats')
  end
  return { 'ok' }
end
