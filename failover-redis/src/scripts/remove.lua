-- ARGV[5] the job.
local function main()
  local id = ARGV[5]
  local there = job(id)
  if not there then
    return { 'ok', 'absent' }
  end
  if there.owner == '-' then
    bury(id, there.epoch)
    save()
    return { 'ok', 'gone' }
  end
  if apply(id, with(there, { retiring = true })) then
    save()
  end
  return { 'ok', 'retiring' }
end
