-- Precedes every operation: reads the record at KEYS[1], and the server's clock in microseconds.
-- Numbers are exact below 2^53; `whole` writes them without an exponent.

local function whole(number)
  return string.format('%.0f', number)
end

local function number(text)
  if text and #text <= 16 and string.find(text, '^%d+$') then
    local value = tonumber(text)
    if value < 9007199254740992 then
      return value
    end
  end
  return nil
end

local LEASE = { 'lease', 'holder', 'granted_at', 'expires_at' }

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local key = KEYS[1]
local flat = redis.call('HGETALL', key)
local record = {}
local exists = #flat > 0
local damaged = false

-- Unknown fields are ignored and kept, since a later version may have added them.
for i = 1, #flat, 2 do
  record[flat[i]] = flat[i + 1]
end
if exists then
  local parts = 0
  for _, part in ipairs(LEASE) do
    if record[part] then parts = parts + 1 end
  end
  damaged = not number(record.token)
    or number(record.token) == 9007199254740991
    or not (parts == 0 or parts == #LEASE)
    or (record.expires_at and not number(record.expires_at))
    or (record.ending and not record.lease)
    or (record.disabled_reason == nil) ~= (record.disabled_at == nil)
    or (record.disabled_by and not record.disabled_reason)
    -- The version of the record: a record without one has version 1, and later ones are not
    -- supported here.
    or (record.v and record.v ~= '1')
end

-- The remaining time of the lease in force; nil if no lease is in force.
local left = nil
if not damaged and record.lease and number(record.expires_at) > now then
  left = number(record.expires_at) - now
end

local function answer(word)
  return { word, whole(now), flat }
end

-- Correctness does not depend on the hint: if the user may not publish, only the hint is lost.
local function tell()
  redis.pcall('PUBLISH', ARGV[1], ARGV[2])
end

-- A server that is out of memory refuses commands that may need more, but not after the same script
-- has run a command that needs none. This keeps heartbeats and the operator's disable working.
local function need_no_memory()
  redis.call('HDEL', key, '')
end

-- Removes all fields, and with them the key.
local function remove()
  local fields = {}
  for i = 1, #flat, 2 do
    fields[#fields + 1] = flat[i]
  end
  redis.call('HDEL', key, unpack(fields))
end

-- Writes the record again without these fields, which are removed already. A hash that has
-- contained a long value, such as a holder, takes more than twice the memory until it is written
-- again.
local function compact(without)
  -- Lua limits how many values a call can take.
  if #flat > 1000 then return end
  local refused = redis.pcall('HSET', key, 'token', record.token)
  if type(refused) == 'table' then return end
  local kept = {}
  for i = 1, #flat, 2 do
    if not without[flat[i]] then
      kept[#kept + 1] = flat[i]
      kept[#kept + 1] = flat[i + 1]
    end
  end
  remove()
  redis.call('HSET', key, unpack(kept))
end
