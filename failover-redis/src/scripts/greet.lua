-- Said once on each new connection, before anything else. ARGV: store ('' when the cluster is being opened), run, revision,
-- version, a new store id ('' to make nothing), the term floor.
local LEASES, BEATS = KEYS[2], KEYS[3]

-- How many terms are left out when another run of a server takes over. It may have forgotten the last grants (a crash
-- between two flushes, a replica that was promoted without the last writes); their terms must not be granted again.
local LOST_TERMS = 1048576

-- Another run of a server has another clock, and may have forgotten the last renewals and heartbeats. So the store's time has stood still
-- since the last it knows: every lease that nobody saw lapse gets its whole time again, and every heartbeat is new.
local function take_over(run)
  local highest = tonumber(redis.call('HGET', META, 'term_floor'))
  local leases, beats = {}, {}
  local all = redis.call('HGETALL', LEASES)
  for i = 1, #all, 2 do
    local lease = parse(all[i + 1], '(%d+) (%l+) (%S+) (%d+) (%d+)', 'lease ' .. all[i])
    leases[all[i]] = lease
    highest = math.max(highest, tonumber(lease[1]))
  end
  all = redis.call('HGETALL', BEATS)
  for i = 1, #all, 2 do
    beats[all[i]] = parse(all[i + 1], '(%S+) (%d+) (%d+) (%d+) (.*)', 'heartbeat of ' .. all[i])
  end
  redis.call('HSET', META, 'run', run, 'term_floor', text(highest + LOST_TERMS))
  for name, lease in pairs(leases) do
    local term, state, who, _, lasts = unpack(lease)
    if state ~= 'free' then
      redis.call('HSET', LEASES, name, table.concat({ '1', term, state, who, text(now + lasts), lasts }, ' '))
    end
  end
  for node, beat in pairs(beats) do
    redis.call('HSET', BEATS, node, table.concat({ '1', beat[1], beat[2], beat[3], text(now), beat[5] }, ' '))
  end
end

local function main()
  local store, run, revision, version, fresh, floor = unpack(ARGV)
  local own = redis.call('HMGET', META, 'format', 'store', 'run', 'revision', 'version', 'term_floor', 'epoch_floor')
  if not own[1] then
    if store ~= '' then
      fail('gone')
    end
    if fresh == '' then
      fail('absent')
    end
    redis.call('HSET', META, 'format', '1', 'store', fresh, 'run', run, 'revision', '0', 'version', '0',
      'term_floor', floor, 'epoch_floor', floor, 'feed_floor', '0')
    return { 'ok', fresh, '0', '0' }
  end
  if tonumber(own[1]) > FORMAT then
    fail('newer', 'the cluster', own[1])
  end
  if store ~= '' and own[2] ~= store then
    fail('other')
  end
  if less(own[4], revision) then
    fail('back', 'the revision of the jobs', own[4], revision)
  end
  if less(own[5], version) then
    fail('back', 'the version of the documents', own[5], version)
  end
  if own[3] ~= run then
    take_over(run)
    own[6] = redis.call('HGET', META, 'term_floor')
  end
  if less(own[6], floor) then
    redis.call('HSET', META, 'term_floor', floor)
  end
  if less(own[7], floor) then
    redis.call('HSET', META, 'epoch_floor', floor)
  end
  return { 'ok', own[2], own[4], own[5] }
end

-- It judges the identity itself.
local function check_identity()
end
