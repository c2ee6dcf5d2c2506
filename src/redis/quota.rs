//! Numbers that instances share out among themselves, each of a window of Redis' own time: so many of each, and never more.

use std::sync::LazyLock;

use deadpool_redis::redis::{self, Script};

use super::Redis;

/// For each key, what every instance holds of its window. An instance knows best what it holds itself, and says so each
/// time: whatever Redis has forgotten, or has given in an answer that was lost, is put right by the next one. A request
/// that was overtaken on the way changes nothing.
static DRAW: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local me, sequence = ARGV[1], tonumber(ARGV[2])
local answer = {now}
for place, key in ipairs(KEYS) do
  local at = 3 + (place - 1) * 5
  local length, limit, want = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local window, held = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local current = math.floor(now / length)
  local name = string.format('%.0f', current)
  if redis.call('HGET', key, 'window') ~= name then
    redis.call('DEL', key)
    redis.call('HSET', key, 'window', name)
    redis.call('PEXPIRE', key, string.format('%.0f', length * 2))
  end
  local own, others, last = 0, 0, -1
  local fields = redis.call('HGETALL', key)
  for field = 1, #fields, 2 do
    local holds, since = string.match(fields[field + 1], '^(%d+)/(%d+)$')
    if holds and fields[field] == me then
      own, last = tonumber(holds), tonumber(since)
    elseif holds then
      others = others + tonumber(holds)
    end
  end
  local granted = 0
  if last < sequence then
    if window == current then own = held end
    granted = math.max(0, math.min(want, limit - others - own))
    own = own + granted
    redis.call('HSET', key, me, string.format('%.0f/%.0f', own, sequence))
  end
  table.insert(answer, current)
  table.insert(answer, granted)
  table.insert(answer, own)
  table.insert(answer, others)
end
return answer",
    )
});

/// Who has been there lately.
static BEAT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {now, redis.call('ZCARD', KEYS[1])}",
    )
});

/// What is wanted of one number.
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    /// Which one, beside others of its key.
    pub name: &'static str,
    /// How long its windows are, in milliseconds.
    pub length: u64,
    /// What there is of it in a window, for all instances together.
    pub limit: u64,
    /// So much more is wanted.
    pub want: u64,
    /// The window that the asking instance is in, as windows of that length count from 1970.
    pub window: u64,
    /// What it holds of that window.
    pub held: u64,
}

/// What was given of one number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Drawn {
    /// The window that it is of.
    pub window: u64,
    /// So much more.
    pub granted: u64,
    /// What the instance holds with it.
    pub own: u64,
    /// What the others hold.
    pub others: u64,
}

impl Redis {
    /// Draws numbers of a key for an instance: the answers in the order of the wishes, and Redis' time in milliseconds since
    /// 1970. A later sequence number of the same instance goes before an earlier one. `None` when Redis does not say.
    pub async fn draw(&self, key: &str, instance: &str, sequence: u64, draws: &[Draw]) -> Option<(u64, Vec<Drawn>)> {
        let mut invocation = DRAW.prepare_invoke();
        invocation.arg(instance).arg(sequence);
        let name = self.name(key);
        for draw in draws {
            invocation.key(format!("{name}:{}", draw.name));
            invocation.arg(draw.length).arg(draw.limit).arg(draw.want).arg(draw.window).arg(draw.held);
        }
        let asked = self.ask("draw", async |mut connection| invocation.invoke_async(&mut connection).await);
        let answer: Vec<u64> = asked.await?;
        let (now, drawn) = answer.split_first()?;
        let (drawn, _) = drawn.as_chunks::<4>();
        let drawn = drawn.iter().map(|&[window, granted, own, others]| Drawn { window, granted, own, others });
        Some((*now, drawn.collect()))
    }

    /// Says that an instance is there; returns Redis' time, and how many have said so in the last `ttl` milliseconds. `None`
    /// when Redis does not say.
    pub async fn beat(&self, key: &str, instance: &str, ttl: u64) -> Option<(u64, u64)> {
        let mut invocation = BEAT.key(self.name(key));
        invocation.arg(instance).arg(ttl);
        self.ask("beat", async |mut connection| invocation.invoke_async(&mut connection).await).await
    }

    /// Says that an instance is there no more.
    pub async fn leave(&self, key: &str, instance: &str) {
        let mut command = redis::cmd("ZREM");
        command.arg(self.name(key)).arg(instance);
        let asked = self.ask("leave", async |mut connection| command.query_async(&mut connection).await);
        // One that does not say so is forgotten a little later.
        let _: Option<i64> = asked.await;
    }
}
