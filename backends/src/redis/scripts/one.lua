-- Precedes the operations on one lock: reads the record at KEYS[1].

local key = KEYS[1]
local flat = redis.call('HGETALL', key)
local record, damaged, left = parse(flat)
