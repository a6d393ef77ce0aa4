-- KEYS: the keys of one or more locks. ARGV: for each lock, the lease and the ttl. Returns an
-- answer for each lock. Commands are called with `pcall`, so that an error is the answer for its
-- own lock only. Writes only where the lease is in force and not told to end.

-- Most leases have the same ttl, so the time and the answer are made again only if it differs.
local last_ttl, expires_at, extended

local function renew(key, lease, ttl)
  local flat = redis.pcall('HGETALL', key)
  if flat.err then return flat end
  local record, damaged, left = parse(flat)
  if damaged then return { 'damaged', whole(now), flat } end
  if not left or record.lease ~= lease then return { 'lost' } end
  local reason = record.disabled_reason or record.ending
  if reason then return { 'ending', reason, whole(left) } end
  if ttl ~= last_ttl then
    last_ttl, expires_at, extended = ttl, whole(now + ttl), { 'extended', ttl }
  end
  local refused = redis.pcall('HSET', key, 'expires_at', expires_at)
  if type(refused) == 'table' then
    -- The server may be out of memory. Any other error is returned by one of these.
    refused = redis.pcall('HDEL', key, '')
    if type(refused) ~= 'table' then
      refused = redis.pcall('HSET', key, 'expires_at', expires_at)
    end
    if type(refused) == 'table' then return refused end
  end
  return extended
end

local answers = {}
for i = 1, #KEYS do
  answers[i] = renew(KEYS[i], ARGV[2 * i - 1], ARGV[2 * i])
end
return answers
