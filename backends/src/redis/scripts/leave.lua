-- ARGV: channel, name, lease.
if damaged then return { 'damaged', whole(now), flat } end
-- The weights so far, and that of the entry that leaves once it is among them.
local used, own = 0, nil
local others, granted = {}, {}
for _, entry in ipairs(live) do
  used = used + entry.weight
  if entry.lease == ARGV[3] then
    own = entry.weight
  else
    others[#others + 1] = entry
    -- It holds the lock now, and did not before.
    if own and used > capacity and used - own <= capacity then
      granted[#granted + 1] = entry.lease
    end
  end
end
if not own then return { 'not_held' } end
if #others == 0 then
  redis.call('HDEL', key, 'lease', 'holder', 'granted_at', 'expires_at', 'ending', 'kind', 'queue')
  compact({
    lease = true, holder = true, granted_at = true, expires_at = true, ending = true, kind = true,
    queue = true,
  })
  tell()
  return { 'released' }
end
rewrite(others)
if #granted > 200 then
  -- The message would be too long.
  tell()
elseif #granted > 0 then
  -- The text of a hint about entries is longer than any name.
  local text = table.concat(granted, ',') .. '\n' .. ARGV[2]
  redis.pcall('PUBLISH', ARGV[1], string.rep(' ', 256 - #text) .. text)
end
return { 'released' }
