-- Precedes the operations on the queue of a lock, after the common part and the read of the record.
--
-- The field `queue` has a line of JSON for each entry, in the order of tokens:
--   {"l":LEASE,"p":TOKEN,"w":WEIGHT,"t":ENTERED_AT,"x":EXPIRES_AT,"e":REASON,"h":HOLDER}
-- Its parts are in this order, and only "e" may be missing, so that a pattern takes a line apart.
-- A line is not parsed as JSON here, since cjson writes numbers with 14 digits. What a later
-- version adds before "h" is kept. A line contains no line break, because JSON escapes it.

local MARKER = '00000000-0000-0000-0000-000000000000'
local LINE = '^{"l":"([%x%-]+)","p":([1-9]%d*),"w":([1-9]%d*),"t":([1-9]%d*),"x":([1-9]%d*),'
  .. '(.-)"h":({.*})}$'

-- Returns the capacity of that kind of lock; nil if it is not valid.
local function capacity_of(kind)
  if kind == 'fair' then return 1 end
  if kind == 'reader-writer' then return 1073741824 end
  local word, count = string.match(kind or '', '^(%a+):([1-9]%d*)$')
  count = number(count)
  if (word == 'semaphore' or word == 'leaders') and count and count <= 1073741824 then
    return count
  end
  return nil
end

-- Returns the live entries and the capacity; nil if Leasehold did not write the queue.
local function parse_queue()
  local capacity, text = capacity_of(record.kind), record.queue
  if not capacity or not text then return nil end
  -- A line is empty.
  if string.find('\n' .. text .. '\n', '\n\n', 1, true) then return nil end
  local live, known, last_token, latest = {}, {}, 0, 0
  for line in string.gmatch(text, '[^\n]+') do
    local lease, token, weight, entered_at, expires_at, more, holder = string.match(line, LINE)
    if not lease or #lease ~= 36 or lease == MARKER or known[lease] then return nil end
    local parsed_token, parsed_weight = number(token), number(weight)
    local parsed_expiry = number(expires_at)
    if not parsed_token or parsed_token <= last_token
      or not parsed_weight or parsed_weight > capacity
      or not number(entered_at) or not parsed_expiry
    then
      return nil
    end
    known[lease], last_token, latest = true, parsed_token, math.max(latest, parsed_expiry)
    if parsed_expiry > now then
      live[#live + 1] = {
        lease = lease, token = token, weight = parsed_weight, entered_at = entered_at,
        expires_at = parsed_expiry, more = more, holder = holder,
      }
    end
  end
  if last_token > number(record.token) or latest ~= number(record.expires_at) then return nil end
  return live, capacity
end

-- Without a queue in force, whatever is left of an earlier one is ignored.
local has_queue = left and record.lease == MARKER
local live, capacity = {}, 0
if has_queue then
  live, capacity = parse_queue()
  damaged = live == nil
end

local function is_ending(entry)
  return string.find(entry.more, '"e":', 1, true) == 1
end

-- Tells the entry to leave for that reason. A quote is escaped by its number, so that the next
-- quote ends the reason.
local function tell_to_leave(entry, reason)
  local escaped = string.gsub(reason, '[%c"\\]', function(char)
    return string.format('\\u%04x', string.byte(char))
  end)
  local others = string.match(entry.more, '^"e":"[^"]*",(.*)$') or entry.more
  entry.more = '"e":"' .. escaped .. '",' .. others
end

-- Returns the fields of a record with these entries, each followed by its value.
local function fields_of(entries)
  local lines, latest = {}, 0
  for i, entry in ipairs(entries) do
    lines[i] = '{"l":"' .. entry.lease .. '","p":' .. entry.token .. ',"w":' .. whole(entry.weight)
      .. ',"t":' .. entry.entered_at .. ',"x":' .. whole(entry.expires_at) .. ',' .. entry.more
      .. '"h":' .. entry.holder .. '}'
    latest = math.max(latest, entry.expires_at)
  end
  return 'holder', entries[1].holder, 'expires_at', whole(latest),
    'queue', table.concat(lines, '\n')
end

-- Writes these entries, also if the server is out of memory.
local function rewrite(entries)
  local refused = redis.pcall('HSET', key, fields_of(entries))
  if type(refused) ~= 'table' then return end
  -- Any other error is returned by one of these.
  redis.call('HDEL', key, '')
  redis.call('HSET', key, fields_of(entries))
end
