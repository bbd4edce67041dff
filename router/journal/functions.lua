#!lua name=router_journal_2
-- The fence of the journal in Redis. One workspace's keys share one hash tag, so they lie in one
-- slot. Redis runs a function whole and alone, but does not undo it: all checks come first.
-- A changed meaning gets a new number in every name, so that two versions can share a server.
--
-- own: hash of epoch, nonce, seq, at, head, crc (of these), and of beat, node, heir
-- log: stream of frames, ids "<first_seq>-0"            nodes: hash name -> entry
-- live: hash "<kind>\0<id>" -> row                   kinds: set of archive kinds
-- per archive kind: hash id -> row, sorted set of ids by name, sorted set of ids by moment

local ARGUMENTS_MAX = 4000  -- Lua's stack takes about 8,000

local function is_owner(own, epoch, nonce)
  local now = redis.call('HMGET', own, 'epoch', 'nonce')
  return now[1] == epoch and now[2] == nonce
end

local function in_chunks(command, key, argv, first, last)
  for from = first, last, ARGUMENTS_MAX do
    redis.call(command, key, unpack(argv, from, math.min(from + ARGUMENTS_MAX - 1, last)))
  end
end

-- keys: own log live kinds, then rows/ids/ages of each archive kind
-- argv: epoch nonce first last at previous head crc frame, number of row fields and values, of
--       fields deleted, then these; then for each archive kind: its name, number of rows, of
--       ids deleted, then (id, at, row) each, then the ids
local function append(keys, argv)
  local own, log = keys[1], keys[2]
  if not is_owner(own, argv[1], argv[2]) then return {'fenced'} end
  local now = redis.call('HMGET', own, 'seq', 'head')
  local seq, first = tonumber(now[1]), tonumber(argv[3])
  if first > seq + 1 then return {'gap'} end
  if first <= seq then
    local known = redis.call('XRANGE', log, argv[3] .. '-0', argv[3] .. '-0')
    if #known == 0 then return {'fenced'} end
    return {'seen', known[1][2][2], now[2]}
  end
  if now[2] ~= argv[6] then return {'fenced'} end

  redis.call('XADD', log, argv[3] .. '-0', 'f', argv[9])
  redis.call('HSET', own, 'seq', argv[4], 'at', argv[5], 'head', argv[7], 'crc', argv[8])
  local at = 12
  local last = at + tonumber(argv[10]) - 1
  in_chunks('HSET', keys[3], argv, at, last)
  at, last = last + 1, last + tonumber(argv[11])
  in_chunks('HDEL', keys[3], argv, at, last)
  at = last + 1
  for key = 5, #keys, 3 do
    redis.call('SADD', keys[4], argv[at])
    local puts, deletes = tonumber(argv[at + 1]), tonumber(argv[at + 2])
    at = at + 3
    for _ = 1, puts do
      redis.call('HSET', keys[key], argv[at], argv[at + 2])
      redis.call('ZADD', keys[key + 1], 0, argv[at])
      redis.call('ZADD', keys[key + 2], argv[at + 1], argv[at])
      at = at + 3
    end
    in_chunks('HDEL', keys[key], argv, at, at + deletes - 1)
    in_chunks('ZREM', keys[key + 1], argv, at, at + deletes - 1)
    in_chunks('ZREM', keys[key + 2], argv, at, at + deletes - 1)
    at = at + deletes
  end
  return {'ok'}
end

-- Version 1 had no beat, node and heir: what is missing reads as 0 and nobody.
-- keys: own log live; argv: epoch nonce beat seq head as seen, then epoch nonce crc node to set
local function claim(keys, argv)
  if redis.call('EXISTS', keys[1]) == 0 then
    if argv[1] ~= '0' then return 0 end
    if redis.call('EXISTS', keys[2], keys[3]) > 0 then return -1 end
    redis.call('HSET', keys[1], 'seq', 0, 'at', 0, 'head', argv[5])
  else
    local now = redis.call('HMGET', keys[1], 'epoch', 'nonce', 'beat', 'seq', 'head')
    for place = 1, 5 do
      if (now[place] or '0') ~= argv[place] then return 0 end
    end
  end
  redis.call('HSET', keys[1], 'epoch', argv[6], 'nonce', argv[7], 'crc', argv[8],
    'node', argv[9], 'beat', 0, 'heir', '')
  return 1
end

-- A workspace that the store has lost, written anew by its owner.
-- keys: own log live, then the new log and live; argv: epoch nonce seq at head crc node
local function seed(keys, argv)
  local now = redis.call('HMGET', keys[1], 'epoch', 'nonce')
  if now[1] then
    if tonumber(now[1]) > tonumber(argv[1]) then return 0 end
    if now[1] == argv[1] and now[2] ~= argv[2] then return 0 end
  end
  redis.call('UNLINK', keys[1], keys[2], keys[3])
  for place = 2, 3 do
    if redis.call('EXISTS', keys[place + 2]) == 1 then
      redis.call('RENAME', keys[place + 2], keys[place])
      redis.call('PERSIST', keys[place])
    end
  end
  redis.call('HSET', keys[1], 'epoch', argv[1], 'nonce', argv[2], 'seq', argv[3], 'at', argv[4],
    'head', argv[5], 'crc', argv[6], 'node', argv[7], 'beat', 0, 'heir', '')
  return 1
end

-- keys: own; argv: epoch nonce
local function renew(keys, argv)
  if not is_owner(keys[1], argv[1], argv[2]) then return -1 end
  redis.call('HINCRBY', keys[1], 'beat', 1)
  return tonumber(redis.call('HGET', keys[1], 'seq'))
end

-- keys: own log; argv: epoch nonce below
local function trim(keys, argv)
  if not is_owner(keys[1], argv[1], argv[2]) then return -1 end
  if tonumber(argv[3]) > tonumber(redis.call('HGET', keys[1], 'seq')) then
    return redis.call('XTRIM', keys[2], 'MAXLEN', 0)
  end
  local holder = redis.call('XREVRANGE', keys[2], argv[3] .. '-0', '-', 'COUNT', 1)
  if #holder == 0 then return 0 end
  return redis.call('XTRIM', keys[2], 'MINID', holder[1][1])
end

-- keys: own rows ids ages; argv: epoch nonce before limit
local function expire(keys, argv)
  if not is_owner(keys[1], argv[1], argv[2]) then return -1 end
  local old = redis.call('ZRANGEBYSCORE', keys[4], '-inf', '(' .. argv[3], 'LIMIT', 0, argv[4])
  in_chunks('HDEL', keys[2], old, 1, #old)
  in_chunks('ZREM', keys[3], old, 1, #old)
  in_chunks('ZREM', keys[4], old, 1, #old)
  return #old
end

-- keys: own; argv: epoch nonce, seq that the checksum is of, crc, heir
local function hand_over(keys, argv)
  if not is_owner(keys[1], argv[1], argv[2]) then return 0 end
  if redis.call('HGET', keys[1], 'seq') ~= argv[3] then return -1 end
  redis.call('HSET', keys[1], 'nonce', '', 'crc', argv[4], 'heir', argv[5])
  return 1
end

-- keys: nodes; argv: name, beginning of the entry that may be taken out
local function forget(keys, argv)
  local entry = redis.call('HGET', keys[1], argv[1])
  if not entry or string.sub(entry, 1, #argv[2]) ~= argv[2] then return 0 end
  return redis.call('HDEL', keys[1], argv[1])
end

-- keys: pairs of source and target; argv: seconds that the targets last
local function copy(keys, argv)
  for key = 1, #keys, 2 do
    redis.call('DEL', keys[key + 1])
    if redis.call('COPY', keys[key], keys[key + 1]) == 1 then
      redis.call('EXPIRE', keys[key + 1], argv[1])
    end
  end
  return #keys / 2
end

redis.register_function('router_journal_2_append', append)
redis.register_function('router_journal_2_claim', claim)
redis.register_function('router_journal_2_seed', seed)
redis.register_function('router_journal_2_renew', renew)
redis.register_function('router_journal_2_trim', trim)
redis.register_function('router_journal_2_expire', expire)
redis.register_function('router_journal_2_hand_over', hand_over)
redis.register_function('router_journal_2_forget', forget)
redis.register_function('router_journal_2_copy', copy)
