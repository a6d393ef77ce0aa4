-- Precedes every operation: reads the server's clock in microseconds, and defines how a record is
-- parsed. Numbers are exact below 2^53; `whole` writes them without an exponent. In a calculation,
-- Lua itself converts a text to a number.
--
-- A server that is out of memory refuses commands that may need more, but not after the same script
-- has run a command that needs none. This keeps heartbeats and the operator's disable working. Such
-- a command is the removal of the field '', which no record has.

local function whole(number)
  return string.format('%.0f', number)
end

local function number(text)
  if text and #text <= 16 and string.find(text, '^%d+$') then
    local value = text + 0
    if value < 9007199254740992 then
      return value
    end
  end
  return nil
end

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- Returns the fields of a record, whether they contradict each other, and the remaining time of the
-- lease in force; nil if no lease is in force. Takes a list of fields and values.
local function parse(flat)
  local record = {}
  if #flat >= 10 then
    -- The table has room for the fields of a lease at once: letting it grow takes longer than all
    -- else here.
    record = { token = nil, lease = nil, holder = nil, granted_at = nil, expires_at = nil }
  end
  -- Unknown fields are ignored and kept, since a later version may have added them.
  for i = 1, #flat, 2 do
    record[flat[i]] = flat[i + 1]
  end
  if #flat == 0 then return record end
  local token = number(record.token)
  local expires_at = number(record.expires_at)
  local no_lease = record.lease == nil
  if not token
    or token == 9007199254740991
    or no_lease ~= (record.holder == nil)
    or no_lease ~= (record.granted_at == nil)
    or no_lease ~= (expires_at == nil)
    or no_lease ~= (record.expires_at == nil)
    or (record.ending and no_lease)
    or (record.disabled_reason == nil) ~= (record.disabled_at == nil)
    or (record.disabled_by and not record.disabled_reason)
    -- The version of the record: a record without one has version 1, and later ones are not
    -- supported here.
    or (record.v and record.v ~= '1')
  then
    return record, true
  end
  if expires_at and expires_at > now then return record, false, expires_at - now end
  return record, false
end
