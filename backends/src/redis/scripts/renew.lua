-- KEYS: the keys of one or more locks. ARGV: for each lock, the lease and the ttl. Returns a list:
-- first a text with a letter for each lock, 'e' if its lease is extended, 'l' if it is lost and 'a'
-- if it has an answer, and then these answers in order. Commands are called with `pcall`, so that an
-- error is the answer for its own lock only. Writes only where the lease is in force and not told to
-- end.

-- Most leases have the same ttl, so the time is made again only if it differs.
local last_ttl, expires_at

-- Returns a letter or an answer.
local function renew(key, lease, ttl)
  local flat = redis.pcall('HGETALL', key)
  if flat.err then return flat end
  local record, damaged, left = parse(flat)
  if damaged then return { 'damaged', whole(now), flat } end
  if not left or record.lease ~= lease then return 'l' end
  local reason = record.disabled_reason or record.ending
  if reason then return { 'ending', reason, whole(left) } end
  if ttl ~= last_ttl then
    last_ttl, expires_at = ttl, whole(now + ttl)
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
  return 'e'
end

local letters, reply = {}, { '' }
for i = 1, #KEYS do
  local answer = renew(KEYS[i], ARGV[2 * i - 1], ARGV[2 * i])
  if type(answer) == 'table' then
    reply[#reply + 1] = answer
    answer = 'a'
  end
  letters[i] = answer
end
reply[1] = table.concat(letters)
return reply
