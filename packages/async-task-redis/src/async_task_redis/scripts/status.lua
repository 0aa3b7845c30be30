-- Say where messages of one queue are.
--
-- KEYS    body, history, leased, cancelled, wake, dead, deaths, due:0..due:9
-- ARGV    ids
-- Returns for each id "ready", "delayed", "leased", "dead" or "" if the queue does not hold it
-- Cost    O(n * priorities)
-- Atomic  reads only
local body, dead, FIRST_DUE, PRIORITIES = KEYS[1], KEYS[6], 8, 10
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local states = {}
for i, id in ipairs(ARGV) do
  local state = ''
  if redis.call('HEXISTS', body, id) == 1 then
    state = redis.call('ZSCORE', dead, id) and 'dead' or 'leased'
    for key = FIRST_DUE, FIRST_DUE + PRIORITIES - 1 do
      local due = redis.call('ZSCORE', KEYS[key], id)
      if due then
        state = tonumber(due) < now + 1 and 'ready' or 'delayed'
        break
      end
    end
  end
  states[i] = state
end
return states
