-- Move dead letters of one queue back to it, due now, with new states, as if never handed out.
--
-- KEYS    body, history, leased, cancelled, wake, dead, deaths, due:0..due:9
-- ARGV    pairs of id, state
-- Returns how many were among the dead letters
-- Cost    O(n log m), m waiting messages, and the bodies of messages that had an expiry are copied
-- Atomic  each move begins with taking the message from the dead, which no full server refuses
local body, history, wake, dead, deaths, FIRST_DUE = KEYS[1], KEYS[2], KEYS[5], KEYS[6], KEYS[7], 8
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local moved = 0
for i = 1, #ARGV, 2 do
  local id, state = ARGV[i], ARGV[i + 1]
  if redis.call('ZREM', dead, id) == 1 then
    redis.call('HDEL', deaths, id)
    local value = redis.call('HGET', body, id)
    if value then
      local head = string.byte(value)
      if head >= 16 then
        head = head - 16
        redis.call('HSET', body, id, string.char(head) .. string.sub(value, 10))
      end
      if state ~= '' then redis.call('HSET', history, id, struct.pack('>I4I4', 0, 0) .. state) end
      redis.call('ZADD', KEYS[FIRST_DUE + head], now, id)
      moved = moved + 1
    end
  end
end
if moved > 0 and redis.call('EXISTS', wake) == 0 then redis.call('RPUSH', wake, 1) end
return moved
