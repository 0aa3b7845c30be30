-- Reclaim expired leases, then hand out what is due.
--
-- KEYS    per queue, most urgent first: body, history, leased, cancelled, wake, paused, due:0..due:9
-- ARGV    lease id, most messages (0: only reclaim), visibility in ms, most leases to reclaim per
--         queue, longest wait after a crash in ms, random seed
-- Returns {now, ms until time alone may bring something (-1: never; 0 if messages are returned),
--         {queue from 0, priority, ids, values of body, values of history or false}...}
-- Cost    O((priorities + taken) log m), m waiting messages; the backlog is never walked
-- Atomic  every message is in exactly one of due and leased, before and after. First a write that
--         frees memory, so that a full server hands out what it holds
local KEYS_OF_QUEUE = 16
local lease_id, limit, visibility = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local most_reclaimed, longest = tonumber(ARGV[4]), tonumber(ARGV[5])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local not_early = time[1] * 1000 + math.ceil(time[2] / 1000)
local due_now = string.format('(%.0f', now + 1)
math.randomseed(tonumber(ARGV[6]))

local function wake_one(wake)
  if redis.call('EXISTS', wake) == 0 then redis.call('RPUSH', wake, 1) end
end

-- The same rule on every driver (async_task.spi.reclaim): at once after a first crash, then after
-- a random time, so that what crashed together does not stay together.
local function delay_after(crashes)
  if crashes <= 1 then return 0 end
  return math.random(0, math.min(1000 * 2 ^ math.min(crashes, 6), longest))
end

local function reclaim(first)
  local body, history, leased, cancelled = KEYS[first], KEYS[first + 1], KEYS[first + 2], KEYS[first + 3]
  local expired = redis.call('ZRANGEBYSCORE', leased, '-inf', string.format('%.0f', now), 'LIMIT', 0, most_reclaimed)
  if #expired == 0 then return end
  redis.call('ZREM', leased, unpack(expired))
  for _, member in ipairs(expired) do
    local id, priority = string.sub(member, 17, 32), string.byte(member, 33)
    if redis.call('SREM', cancelled, id) == 1 then
      redis.call('HDEL', body, id)
      redis.call('HDEL', history, id)
    else
      local record = redis.call('HGET', history, id)
      local ended, crashes, state = 0, 0, ''
      if record then
        ended, crashes = struct.unpack('>I4I4', record)
        state = string.sub(record, 9)
      end
      crashes = crashes + 1
      local delay = delay_after(crashes)
      redis.call('HSET', history, id, struct.pack('>I4I4', ended + 1, crashes) .. state)
      redis.call('ZADD', KEYS[first + 6 + priority], delay == 0 and now or not_early + delay, id)
    end
  end
  wake_one(KEYS[first + 4])
end

local left, groups = limit, {}
local function take(first, priority)
  local due = KEYS[first + 6 + priority]
  local ids = redis.call('ZRANGEBYSCORE', due, '-inf', due_now, 'LIMIT', 0, left)
  if #ids == 0 then return end
  redis.call('ZREMRANGEBYRANK', due, 0, #ids - 1)
  left = left - #ids
  local ends, suffix, members = string.format('%.0f', not_early + visibility), string.char(priority), {}
  for i, id in ipairs(ids) do
    members[2 * i - 1] = ends
    members[2 * i] = lease_id .. id .. suffix
  end
  redis.call('ZADD', KEYS[first + 2], unpack(members))
  local records = redis.call('EXISTS', KEYS[first + 1]) == 1 and redis.call('HMGET', KEYS[first + 1], unpack(ids))
  groups[#groups + 1] = {(first - 1) / KEYS_OF_QUEUE, priority, ids, redis.call('HMGET', KEYS[first], unpack(ids)), records}
end

for first = 1, #KEYS, KEYS_OF_QUEUE do
  reclaim(first)
  if left > 0 and redis.call('EXISTS', KEYS[first + 5]) == 0 then
    for priority = 9, 0, -1 do
      take(first, priority)
      if left == 0 then
        wake_one(KEYS[first + 4]) -- there may be more, for another of those who wait
        break
      end
    end
  end
end
if #groups > 0 or limit == 0 then return {now, 0, unpack(groups)} end

local soonest
local function look(key)
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  if first[2] then soonest = math.min(soonest or math.huge, tonumber(first[2])) end
end
for first = 1, #KEYS, KEYS_OF_QUEUE do
  look(KEYS[first + 2])
  if redis.call('EXISTS', KEYS[first + 5]) == 0 then
    for priority = 0, 9 do look(KEYS[first + 6 + priority]) end
  end
end
return {now, soonest and math.max(0, math.ceil(soonest) - now) or -1}
