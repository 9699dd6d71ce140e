-- ARGV[5] since, ARGV[6] the most entries. One page: its cost is that of its entries, not of all jobs.
local MOST_BYTES = 4194304

local function main()
  local since, limit = tonumber(ARGV[5]), tonumber(ARGV[6])
  local own = redis.call('HMGET', META, 'revision', 'feed_floor')
  local head, floor = tonumber(own[1]), tonumber(own[2])
  -- From before the oldest removal still known, or from a future this store has never had.
  local reset = since > head or (since > 0 and since < floor)
  if reset then
    since = 0
  end
  local from = '(' .. text(since)
  local live = redis.call('ZRANGEBYSCORE', FEED, from, '+inf', 'WITHSCORES', 'LIMIT', 0, limit + 1)
  local dead = {}
  if since > 0 then -- removals only to a reader who may know the job
    dead = redis.call('ZRANGEBYSCORE', GRAVES, from, '+inf', 'WITHSCORES', 'LIMIT', 0, limit + 1)
  end
  local page, bytes, l, d, more = {}, 0, 1, 1, false
  while live[l] or dead[d] do
    if #page >= 3 * limit or bytes > MOST_BYTES then
      more = true
      break
    end
    local is_live = live[l] and (not dead[d] or tonumber(live[l + 1]) < tonumber(dead[d + 1]))
    if is_live then
      local id = live[l]
      local record, spec = redis.call('HGET', JOBS, id), redis.call('HGET', SPECS, id)
      if not record or not spec then
        fail('corrupt', 'job ' .. id)
      end
      page[#page + 1], page[#page + 2], page[#page + 3] = id, record, spec
      bytes = bytes + #record + #spec
      l = l + 2
    else
      page[#page + 1], page[#page + 2], page[#page + 3] = dead[d], text(tonumber(dead[d + 1])), ''
      d = d + 2
    end
  end
  return { 'ok', reset and '1' or '0', own[1], more and '1' or '0', page }
end
