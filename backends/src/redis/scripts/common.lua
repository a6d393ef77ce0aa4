-- Put before every operation: reads the record at KEYS[1], and the server's clock in microseconds.
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
local KNOWN = {
  token = true, lease = true, holder = true, granted_at = true, expires_at = true, ending = true,
  disabled_reason = true, disabled_by = true, disabled_at = true,
}

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local key = KEYS[1]
local flat = redis.call('HGETALL', key)
local record = {}
local exists = #flat > 0
local damaged = false

for i = 1, #flat, 2 do
  record[flat[i]] = flat[i + 1]
  damaged = damaged or not KNOWN[flat[i]]
end
if exists then
  local parts = 0
  for _, part in ipairs(LEASE) do
    if record[part] then parts = parts + 1 end
  end
  damaged = damaged
    or not number(record.token)
    or number(record.token) == 9007199254740991
    or not (parts == 0 or parts == #LEASE)
    or (record.expires_at and not number(record.expires_at))
    or (record.ending and not record.lease)
    or (record.disabled_reason == nil) ~= (record.disabled_at == nil)
    or (record.disabled_by and not record.disabled_reason)
end

-- What is left of the lease in force; nil where none is.
local left = nil
if not damaged and record.lease and number(record.expires_at) > now then
  left = number(record.expires_at) - now
end

local function answer(word)
  return { word, whole(now), flat }
end

local function tell()
  redis.call('PUBLISH', ARGV[1], ARGV[2])
end
