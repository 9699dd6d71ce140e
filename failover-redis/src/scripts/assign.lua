-- ARGV[5] the fencing lease, ARGV[6] its term; then for each move: job, expected epoch, step, from or '-', to or '-', course.
-- The rules are those of failover_core::rules::step.
local function step(there, expect, what, from, to, course)
  if there.epoch ~= expect then
    return nil
  end
  local owned = there.owner ~= '-'
  if what == 'drain' then
    return owned and with(there, { phase = 'draining', course = course }) or nil
  end
  local epoch = text(tonumber(there.epoch) + 1)
  if what == 'place' then
    if owned or there.phase == 'completed' or there.retiring then
      return nil
    end
    return with(there, { epoch = epoch, phase = 'assigned', owner = to, detail = '', course = course, runs = begin(there, epoch, to) })
  end
  if there.owner ~= from then
    return nil
  end
  if there.retiring then
    return { gone = true, epoch = epoch }
  end
  local lost = with(there, { phase = 'lost', owner = '-', course = course, runs = close(there, 'lost', there.detail) })
  if to == '-' then
    return with(lost, { epoch = epoch })
  end
  return with(lost, { epoch = epoch, phase = 'assigned', owner = to, detail = '', runs = begin(lost, epoch, to) })
end

local function main()
  local ids, steps, stale = {}, {}, {}
  for i = 7, #ARGV, 6 do
    ids[#ids + 1] = ARGV[i]
  end
  local records = jobs(ids)
  for i = 7, #ARGV, 6 do
    local id, there = ARGV[i], records[ARGV[i]]
    local after = there and step(there, ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5])
    if after then
      steps[#steps + 1] = { id, after }
    else
      stale[#stale + 1] = id
    end
  end
  local highest = fenced(FENCES, 'jobs', ARGV[5], ARGV[6])
  if highest then
    return { 'ok', 'fenced', highest }
  end
  if #stale > 0 then
    return { 'ok', 'stale', stale }
  end
  local any = false
  for _, move in ipairs(steps) do
    any = apply(move[1], move[2]) or any
  end
  if any then
    save()
  end
  return { 'ok', 'applied', redis.call('HGET', META, 'revision') }
end
