-- Store messages of one queue and one priority that are not there yet.
--
-- KEYS    body, last, wake, due:<priority>
-- ARGV    n; n times id, value of body; then, of messages that are delayed or expire, triples of
--         position from 1, delay in ms, time to expiry in ms or ""
-- Returns the positions, from 0, of messages that are there already or twice in this call
-- Cost    O(n log m), m waiting messages
-- Atomic  reads first, then writes that no error can stop; a full server refuses the first of them
local body, last, wake, due = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local n = tonumber(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local not_early = time[1] * 1000 + math.ceil(time[2] / 1000)
-- The smallest fraction that a double of today's milliseconds can hold, until the year 2039.
local STEP = 1 / 4096
-- Whoever waits looks again after a second at the latest, and so learns of what is due later.
local SOON = 1000

local ids = {}
for i = 1, n do ids[i] = ARGV[2 * i] end
local known = redis.call('HMGET', body, unpack(ids))

local delays, expiries = {}, {}
for i = 2 * n + 2, #ARGV, 3 do
  delays[ARGV[i]] = tonumber(ARGV[i + 1])
  expiries[ARGV[i]] = tonumber(ARGV[i + 2])
end

-- What arrives within a millisecond keeps its order, also over calls; a clock set back starts anew.
local at = tonumber(redis.call('GET', last) or 0)
at = (at >= now and at < now + 2) and at + STEP or now

local duplicates, seen, values, scores = {}, {}, {}, {}
local soon, direct = false, false
for i = 1, n do
  local id, value, position = ids[i], ARGV[2 * i + 1], tostring(i)
  if known[i] or seen[id] then
    duplicates[#duplicates + 1] = i - 1
  else
    seen[id] = true
    local delay, score = delays[position] or 0, at
    if delay > 0 then
      score = not_early + delay + i * STEP
      soon = soon or delay < SOON
    else
      at = at + STEP
      direct = true
    end
    if expiries[position] then
      local head = string.char(string.byte(value) + 16)
      value = head .. struct.pack('>d', not_early + expiries[position]) .. string.sub(value, 2)
    end
    values[#values + 1] = id
    values[#values + 1] = value
    scores[#scores + 1] = score
    scores[#scores + 1] = id
  end
end

if #values > 0 then
  redis.call('HSET', body, unpack(values))
  redis.call('ZADD', due, unpack(scores))
  if direct then redis.call('SET', last, at) end
  if (direct or soon) and redis.call('EXISTS', wake) == 0 then redis.call('RPUSH', wake, 1) end
end
return duplicates
