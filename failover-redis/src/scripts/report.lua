-- For each report from ARGV[5] on: job, member, epoch, status, text. The rules are those of failover_core::rules::report.
local function judge(there, member, epoch, status, detail)
  if there.owner ~= member or there.epoch ~= epoch then
    return nil
  end
  local running = there.phase == 'draining' and 'draining' or 'running'
  local after
  if status == 'running' then
    after = with(there, { phase = running })
  elseif status == 'progress' then
    after = with(there, { phase = running, detail = detail })
  elseif status == 'stopped' then
    after = with(there, { phase = 'queued', owner = '-', runs = close(there, 'stopped', there.detail) })
  elseif status == 'completed' then
    after = with(there, { phase = 'completed', owner = '-', runs = close(there, 'completed', there.detail) })
  else
    local failures = text(math.min(tonumber(there.failures) + 1, 4294967295))
    local runs = close(there, 'failed', detail)
    after = with(there, { phase = 'failed', owner = '-', detail = detail, failures = failures, runs = runs })
  end
  if after.owner == '-' and after.retiring then
    return { gone = true, epoch = after.epoch }
  end
  return after
end

local function main()
  local ids = {}
  for i = 5, #ARGV, 5 do
    ids[#ids + 1] = ARGV[i]
  end
  local records = jobs(ids) -- one that cannot be read fails the batch before anything of it is written
  local answers, any = {}, false
  -- One by one: a later report of a job is judged by what an earlier one made of it.
  for i = 5, #ARGV, 5 do
    local id = ARGV[i]
    local there = records[id]
    local after = there and judge(there, ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4])
    answers[#answers + 1] = after and '1' or '0'
    if after then
      any = apply(id, after) or any
      after.same = true
      records[id] = not after.gone and after or nil
    end
  end
  if any then
    save()
  end
  return { 'ok', redis.call('HGET', META, 'revision'), answers }
end
