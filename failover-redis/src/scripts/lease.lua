-- A lease: its highest term, its state (free, held, reserved), by or for whom, when that ends and how long it lasts, in microseconds.
-- A name is never deleted: its term must not begin again.
local LEASES = KEYS[2]

local function record_of(term, state, who, lasts)
  return table.concat({ '1', term, state, who, text(now + lasts), text(lasts) }, ' ')
end

-- What a record says of a lease by now, of which the caller has seen this term; and whether it has lapsed since that was written.
local function read(name, seen, record)
  local lease = { term = '0', state = 'free', who = '-', ends = 0, lasts = 0 }
  if record then
    local fields = parse(record, '(%d+) (%l+) (%S+) (%d+) (%d+)', 'lease ' .. name)
    lease = { term = fields[1], state = fields[2], who = fields[3], ends = tonumber(fields[4]), lasts = tonumber(fields[5]) }
  end
  if less(lease.term, seen) then
    fail('back', 'the term of lease ' .. name, lease.term, seen)
  end
  local lapsed = lease.state ~= 'free' and lease.ends <= now
  if lapsed then
    lease.state = 'free'
  end
  return lease, lapsed
end

-- ARGV[5] is its name, ARGV[6] the highest term of that name that the caller has seen.
local function keep(term, state, who, lasts)
  redis.call('HSET', LEASES, ARGV[5], record_of(term, state, who, lasts))
end

local function lease_now()
  local lease, lapsed = read(ARGV[5], ARGV[6], redis.call('HGET', LEASES, ARGV[5]))
  if lapsed then
    -- Written down by who sees it first, so that it stays lapsed when another run of a server gives leases their time again.
    keep(lease.term, 'free', '-', 0)
  end
  return lease
end

local function view(answer, lease)
  return { 'ok', answer, lease.term, lease.state, lease.who, text(math.max(lease.ends - now, 0)) }
end

-- Whether the lease is held by this member under this term.
local function is_current(lease, member, term)
  return lease.state == 'held' and lease.who == member and lease.term == term
end
