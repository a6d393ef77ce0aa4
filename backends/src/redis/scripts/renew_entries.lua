-- ARGV: for each entry to renew, its lease and the ttl. Returns the record after that. Writes only
-- if an entry is extended.
if damaged then return { 'damaged', whole(now), flat } end
if not has_queue then return { 'none' } end
if record.disabled_reason or record.ending then return { 'record', whole(now), flat } end
local ttls = {}
for i = 1, #ARGV, 2 do
  ttls[ARGV[i]] = ARGV[i + 1]
end
local is_extended = false
for _, entry in ipairs(live) do
  local ttl = ttls[entry.lease]
  if ttl and not is_ending(entry) then
    entry.expires_at, is_extended = now + ttl, true
  end
end
if not is_extended then return { 'record', whole(now), flat } end
rewrite(live)
return { 'record', whole(now), redis.call('HGETALL', key) }
