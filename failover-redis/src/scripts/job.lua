-- A job's record: its revision, epoch, phase, owner or '-', whether it is retiring, its failures, its detail. Its spec, which never
-- changes, is apart. `feed` orders the jobs by revision, `graves` those that were removed, whose last epochs are kept.
local JOBS, SPECS, FEED, GRAVES, EPOCHS, FENCES = unpack(KEYS, 2)

-- How many removals the feed remembers at most; half of them are dropped when it has more.
local MAX_GRAVES = 1000

local function job(id)
  local record = redis.call('HGET', JOBS, id)
  if not record then
    return nil
  end
  local fields = parse(record, '(%d+) (%d+) (%l+) (%S+) ([01]) (%d+) (.*)', 'job ' .. id)
  return {
    epoch = fields[2], phase = fields[3], owner = fields[4], retiring = fields[5] == '1', failures = fields[6],
    detail = fields[7], same = true,
  }
end

-- Copies a record with changes, which make it worth a revision if it differs by them.
local function with(record, changes)
  local copy = {}
  for name, value in pairs(record) do
    copy[name] = value
  end
  for name, value in pairs(changes) do
    copy.same = copy.same and copy[name] == value
    copy[name] = value
  end
  return copy
end

local function next_revision()
  return text(redis.call('HINCRBY', META, 'revision', 1))
end

local function put(id, record)
  local revision = next_revision()
  local retiring = record.retiring and '1' or '0'
  local fields = { '1', revision, record.epoch, record.phase, record.owner, retiring, record.failures, record.detail }
  redis.call('HSET', JOBS, id, table.concat(fields, ' '))
  redis.call('ZADD', FEED, revision, id)
end

-- Drops the older half of the removals. What was known of them goes into two floors: no new job starts at an epoch below any
-- dropped one, and a reader from before the last dropped one starts over. Every job that last changed below the new floor is told
-- again: a full read in pages would otherwise come to a position below the floor, and never end.
local function drop_graves()
  local own = redis.call('HMGET', META, 'epoch_floor', 'feed_floor')
  local epoch_floor, feed_floor = tonumber(own[1]), own[2]
  local oldest = redis.call('ZRANGE', GRAVES, 0, MAX_GRAVES / 2 - 1, 'WITHSCORES')
  for i = 1, #oldest, 2 do
    epoch_floor = math.max(epoch_floor, tonumber(redis.call('HGET', EPOCHS, oldest[i])))
    feed_floor = oldest[i + 1]
    redis.call('HDEL', EPOCHS, oldest[i])
  end
  redis.call('ZREMRANGEBYSCORE', GRAVES, '-inf', feed_floor)
  redis.call('HSET', META, 'epoch_floor', text(epoch_floor), 'feed_floor', text(tonumber(feed_floor)))
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', FEED, '-inf', feed_floor)) do
    put(id, job(id))
  end
end

-- Deletes a job. Its name's last epoch is kept, so that it never comes again.
local function bury(id, epoch)
  local revision = next_revision()
  redis.call('HDEL', JOBS, id)
  redis.call('HDEL', SPECS, id)
  redis.call('ZREM', FEED, id)
  redis.call('ZADD', GRAVES, revision, id)
  redis.call('HSET', EPOCHS, id, epoch)
  if redis.call('ZCARD', GRAVES) > MAX_GRAVES then
    drop_graves()
  end
end

-- Writes what became of a job, if it did. Whether it did.
local function apply(id, record)
  if record.gone then
    bury(id, record.epoch)
  elseif not record.same then
    put(id, record)
  end
  return record.gone or not record.same
end
