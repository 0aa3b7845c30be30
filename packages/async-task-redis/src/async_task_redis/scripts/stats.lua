-- Count one queue.
--
-- KEYS    body, history, leased, cancelled, wake, dead, deaths, due:0..due:9
-- Returns {ready, delayed, leased, dead, ms the oldest ready message has been due}
-- Cost    O(priorities * log m), m waiting messages
-- Atomic  reads only
local leased, dead, FIRST_DUE, PRIORITIES = KEYS[3], KEYS[6], 8, 10
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due_now = string.format('(%.0f', now + 1)
local ready, waiting, oldest = 0, 0, now
for key = FIRST_DUE, FIRST_DUE + PRIORITIES - 1 do
  waiting = waiting + redis.call('ZCARD', KEYS[key])
  ready = ready + redis.call('ZCOUNT', KEYS[key], '-inf', due_now)
  local first = redis.call('ZRANGE', KEYS[key], 0, 0, 'WITHSCORES')
  if first[2] then oldest = math.min(oldest, math.floor(tonumber(first[2]))) end
end
return {ready, waiting - ready, redis.call('ZCARD', leased), redis.call('ZCARD', dead), now - oldest}
