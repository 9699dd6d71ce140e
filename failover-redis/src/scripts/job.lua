-- A job's record: its revision, epoch, phase, owner or '-', whether it is retiring, its failures, the revision of its submission,
-- its course (a word that only the active node reads), the length of its detail, its detail and its runs. Its spec, which only `revise`
-- changes, is apart. `feed` orders the jobs by revision, `graves` those that were removed, whose last epochs are kept.
local JOBS, SPECS, FEED, GRAVES, EPOCHS, FENCES = unpack(KEYS, 2)

-- How many removals the feed remembers at most; half of them are dropped when it has more.
local MAX_GRAVES = 1000
-- As failover_core::job has them.
local MAX_RUNS, MAX_RUN_DETAIL = 8, 256

-- Takes a record's runs apart, each as its text: epoch, member, when it was placed, how it ended or '-', when, the length of its
-- detail, its detail. Times are milliseconds, for people to read.
local function parse_runs(id, texts)
  local runs, at = {}, 1
  while at <= #texts do
    local length, from = string.match(texts, '^%d+ %S+ %d+ %S+ %d+ (%d+) ()', at)
    if not from or from + length - 1 > #texts then
      fail('corrupt', 'job ' .. id)
    end
    runs[#runs + 1] = string.sub(texts, at, from + length - 1)
    at = from + length
  end
  return runs
end

-- Takes a job's record apart; nil if there is none.
local function read(id, record)
  if not record then
    return nil
  end
  local fields = parse(record, '(%d+) (%d+) (%l+) (%S+) ([01]) (%d+) (%d+) (%S+) (%d+) (.*)', 'job ' .. id)
  local length, texts = fields[9], fields[10]
  return {
    epoch = fields[2], phase = fields[3], owner = fields[4], retiring = fields[5] == '1', failures = fields[6],
    submitted = fields[7], course = fields[8], detail = string.sub(texts, 1, length),
    runs = parse_runs(id, string.sub(texts, length + 1)), same = true,
  }
end

local function job(id)
  return read(id, redis.call('HGET', JOBS, id))
end

-- Many jobs by name, read by one command.
local function jobs(ids)
  local there = {}
  if #ids > 0 then
    local records = redis.call('HMGET', JOBS, unpack(ids))
    for i, id in ipairs(ids) do
      there[id] = read(id, records[i])
    end
  end
  return there
end

local MOMENT = text(math.floor(now / 1000))

-- The latest runs of a record and one more.
local function begin(record, epoch, member)
  local runs = { unpack(record.runs, math.max(1, #record.runs - MAX_RUNS + 2)) }
  runs[#runs + 1] = table.concat({ epoch, member, MOMENT, '-', '0', '0', '' }, ' ')
  return runs
end

-- The runs of a record, with the present one closed. Its detail is cut between two characters.
local function close(record, outcome, detail)
  local runs = { unpack(record.runs) }
  local run = string.match(runs[#runs] or '', '^(' .. record.epoch .. ' %S+ %d+ )%- ')
  if run then
    local upto = MAX_RUN_DETAIL
    while string.find(detail, '^[\128-\191]', upto + 1) do
      upto = upto - 1
    end
    local kept = string.sub(detail, 1, upto)
    runs[#runs] = run .. table.concat({ outcome, MOMENT, #kept, kept }, ' ')
  end
  return runs
end

-- Changes a record, which makes it worth a revision if it differs by that.
local function with(record, changes)
  for name, value in pairs(changes) do
    record.same = record.same and record[name] == value
    record[name] = value
  end
  return record
end

-- What was put and not yet written: two commands write many jobs.
local REVISION
local put_jobs, put_feed = {}, {}
local MOST_PUT = 1000 -- of either; far below what unpack() can take

local function next_revision()
  REVISION = (REVISION or tonumber(redis.call('HGET', META, 'revision'))) + 1
  return text(REVISION)
end

-- Writes what was put, and the revision it has come to.
local function write()
  if #put_jobs > 0 then
    redis.call('HSET', JOBS, unpack(put_jobs))
    redis.call('ZADD', FEED, unpack(put_feed))
    put_jobs, put_feed = {}, {}
  end
  if REVISION then
    redis.call('HSET', META, 'revision', text(REVISION))
  end
end

local function put(id, record)
  local revision = next_revision()
  local retiring = record.retiring and '1' or '0'
  local fields = {
    '1', revision, record.epoch, record.phase, record.owner, retiring, record.failures, record.submitted or revision,
    record.course, #record.detail, record.detail .. table.concat(record.runs),
  }
  put_jobs[#put_jobs + 1], put_jobs[#put_jobs + 2] = id, table.concat(fields, ' ')
  put_feed[#put_feed + 1], put_feed[#put_feed + 2] = revision, id
  if #put_jobs >= MOST_PUT then
    write()
  end
end

-- Writes everything, and lets the waiting know.
local function save()
  write()
  changed('jobs')
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
  write() -- it may have been put before
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
