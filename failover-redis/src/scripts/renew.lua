-- From ARGV[5] on, of each lease: its name, the highest term of it that the caller has seen, the member, the term, the ttl in
-- microseconds. A lapsed lease is never renewed. Answered is whether any was extended, and a
-- letter for each: e for extended, l for lost.

-- What a record of a lease that lasts so long from now on ends with.
local endings = {}
local function ending(ttl)
  if not endings[ttl] then
    endings[ttl] = text(now + tonumber(ttl)) .. ' ' .. ttl
  end
  return endings[ttl]
end

local function main()
  local names, find, match = {}, string.find, string.match
  for at = 5, #ARGV, 5 do
    names[#names + 1] = ARGV[at]
  end
  local records = redis.call('HMGET', LEASES, unpack(names))
  local any, each, writes, count = 'lost', {}, {}, 0
  local function write(name, record)
    writes[count + 1], writes[count + 2] = name, record
    count = count + 2
  end
  for n = 1, #names do
    local name, record = names[n], records[n]
    local seen, member, term, ttl = unpack(ARGV, 5 * n + 1, 5 * n + 4)
    -- Taking a record apart costs more than all else, so first it is compared with what it is expected to be.
    local held = '1 ' .. term .. ' held ' .. member .. ' '
    local ends = record and find(record, held, 1, true) == 1 and match(record, '^(%d+) %d+$', #held + 1)
    if ends and tonumber(ends) > now and not less(term, seen) then
      write(name, held .. ending(ttl))
      any, each[n] = 'extended', 'e'
    else
      local lease, lapsed = read(name, seen, record)
      if lapsed then
        write(name, record_of(lease.term, 'free', '-', 0))
      end
      each[n] = 'l'
    end
  end
  if count > 0 then
    redis.call('HSET', LEASES, unpack(writes))
  end
  return { 'ok', any, table.concat(each) }
end
