-- KEYS: the keys of one or more locks. ARGV: for each lock, the lease and the ttl. Returns an
-- answer for each lock. Commands are called with `pcall`, so that an error is the answer for its
-- own lock only. Writes only where the lease is in force and not told to end.

local function extend(key, expires_at)
  local refused = redis.pcall('HSET', key, 'expires_at', expires_at)
  if type(refused) ~= 'table' then return nil end
  -- The server may be out of memory. Any other error is returned by one of these.
  refused = redis.pcall('HDEL', key, '')
  if type(refused) == 'table' then return refused end
  refused = redis.pcall('HSET', key, 'expires_at', expires_at)
  return type(refused) == 'table' and refused or nil
end

-- Most leases have the same ttl, so the time and the answer are made again only if it differs.
local ttl, expires_at, extended

local function renew(key, lease, lease_ttl)
  local flat = redis.pcall('HGETALL', key)
  if flat.err then return flat end
  local record, damaged, left = parse(flat)
  if damaged then return { 'damaged', whole(now), flat } end
  if not left or record.lease ~= lease then return { 'lost' } end
  local reason = record.disabled_reason or record.ending
  if reason then return { 'ending', reason, whole(left) } end
  if lease_ttl ~= ttl then
    ttl, expires_at, extended = lease_ttl, whole(now + lease_ttl), { 'extended', lease_ttl }
  end
  return extend(key, expires_at) or extended
end

local answers = {}
for i = 1, #KEYS do
  answers[i] = renew(KEYS[i], ARGV[2 * i - 1], ARGV[2 * i])
end
return answers
