-- ARGV[5] to ARGV[7]: from and to as ZRANGEBYLEX has them, the most documents. Less than asked for, if they are large: then the
-- caller goes on after the last.
local MOST_BYTES = 4194304

local function main()
  local keys = redis.call('ZRANGEBYLEX', KEYS[3], ARGV[5], ARGV[6], 'LIMIT', 0, ARGV[7])
  local page, bytes, more = {}, 0, '0'
  for _, key in ipairs(keys) do
    if bytes > MOST_BYTES then
      more = '1'
      break
    end
    local record = redis.call('HGET', KEYS[2], key)
    if not record then
      fail('corrupt', 'document ' .. key)
    end
    page[#page + 1], page[#page + 2] = key, record
    bytes = bytes + #record
  end
  return { 'ok', more, page }
end
