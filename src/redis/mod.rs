//! Redis, as far as Martello leans on it: values that come and go, leases, shares, and hints between instances.
//!
//! Nothing here fails: whatever Redis does not do in time it has not done, and the caller goes on without it. This room
//! knows keys and bytes, and nothing of what they are.

mod breaker;
mod quota;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{self, AsyncConnectionConfig, RedisError, Script};
use deadpool_redis::{Connection, Manager, Pool, PoolError, Runtime, Timeouts};
use futures_util::{Stream, StreamExt as _};

use crate::config;
use crate::telemetry;

use breaker::Breaker;

pub use quota::{Draw, Drawn};

/// The channel on which a publish is told.
pub const PUBLISHED: &str = "published";
/// The channel on which it is told that a [`Ledger`] has changed.
pub const REVOKED: &str = "revoked";

/// Connections at most: one serves all requests at once, and a broken one may still be on its way out.
const CONNECTIONS_MAX: usize = 2;
/// A lost subscription is made anew after so long.
const SUBSCRIBE_PAUSE: Duration = Duration::from_millis(500);
/// A subscription that hears nothing is asked whether it still is one this often.
const SUBSCRIBE_PING: Duration = Duration::from_secs(5);

/// Why Redis cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL cannot be read.
    #[error("read redis.url")]
    Url(#[source] RedisError),
    /// The pool cannot be built.
    #[error("build the pool of Redis connections")]
    Pool(#[source] deadpool_redis::BuildError),
}

/// Why Redis has not done something.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("get a connection to Redis")]
    Connection(#[source] PoolError),
    #[error("ask Redis")]
    Redis(#[source] RedisError),
    #[error("hear from Redis in time")]
    Timeout,
}

/// A shared Redis.
pub struct Redis {
    client: redis::Client,
    pool: Pool,
    /// The one connection that all share: it takes requests while others are under way, and the pool's own check of each
    /// connection that it lends would be a second round trip for every request.
    shared: ArcSwapOption<Connection>,
    breaker: Breaker,
    timeout: Duration,
    prefix: String,
    release: Script,
}

/// What a key has, and who may make it anew.
#[derive(Debug, PartialEq, Eq)]
pub struct Leased {
    /// The value that it has.
    pub value: Option<Vec<u8>>,
    /// Whether the caller holds the lease now; somebody else does otherwise.
    pub granted: bool,
}

/// Entries that each end at a second of their own, and a mark that is another one after each change.
#[derive(Debug, PartialEq, Eq)]
pub struct Ledger {
    /// The mark; none where nothing was ever entered, or all was lost.
    pub mark: Option<String>,
    /// The entries with their ends in seconds since 1970, those that last longest first.
    pub entries: Vec<(String, u64)>,
}

impl Redis {
    /// A Redis as it is configured. Nothing is connected yet.
    ///
    /// # Errors
    /// When its URL cannot be read.
    pub fn open(config: &config::Redis) -> Result<Self, Error> {
        let url = config.url.expose();
        let client = redis::Client::open(url).map_err(Error::Url)?;
        let timeout = Some(config.timeout);
        let connection = AsyncConnectionConfig::new().set_connection_timeout(timeout).set_response_timeout(timeout);
        let manager = Manager::new_with_config(url, connection).map_err(Error::Url)?;
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS_MAX)
            .timeouts(Timeouts { wait: timeout, create: timeout, recycle: timeout })
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(Error::Pool)?;
        let release =
            Script::new("if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end");
        let (shared, breaker, prefix) = (ArcSwapOption::empty(), Breaker::default(), config.prefix.clone());
        Ok(Self { client, pool, shared, breaker, timeout: config.timeout, prefix, release })
    }

    /// The value of a key.
    pub async fn get(&self, key: &str) -> Option<Vec<u8>> {
        let mut command = redis::cmd("GET");
        command.arg(self.name(key));
        self.ask("get", async |mut connection| command.query_async(&mut connection).await).await.flatten()
    }

    /// Gives values to keys, each for a while.
    pub async fn set(&self, values: &[(&str, &[u8])], ttl: Duration) {
        let mut pipeline = redis::pipe();
        for (key, value) in values {
            pipeline.cmd("SET").arg(self.name(key)).arg(*value).arg("PX").arg(millis(ttl)).ignore();
        }
        let set = self.ask("set", async |mut connection| pipeline.query_async::<()>(&mut connection).await);
        // Whether it was set shows when it is asked for.
        let _: Option<()> = set.await;
    }

    /// A key's value, and the lease to make it anew unless somebody else holds it: `token` names who does. `None` when
    /// Redis does not say.
    pub async fn lease(&self, key: &str, token: &str, ttl: Duration) -> Option<Leased> {
        let mut pipeline = redis::pipe();
        // The value is read behind the lease: whoever held it before has set the value first, and let go then.
        pipeline.cmd("SET").arg(self.lease_name(key)).arg(token).arg("NX").arg("PX").arg(millis(ttl));
        pipeline.cmd("GET").arg(self.name(key));
        let asked = self.ask("lease", async |mut connection| pipeline.query_async(&mut connection).await);
        let (lease, value): (Option<String>, Option<Vec<u8>>) = asked.await?;
        Some(Leased { value, granted: lease.is_some() })
    }

    /// Lets go of a lease, where the token still holds it.
    pub async fn release(&self, key: &str, token: &str) {
        let mut invocation = self.release.key(self.lease_name(key));
        invocation.arg(token);
        let asked = self.ask("release", async |mut connection| invocation.invoke_async(&mut connection).await);
        // A lease that is not let go of ends by itself.
        let _: Option<Option<i64>> = asked.await;
    }

    /// Enters something into a ledger until that second, leaves out what had ended by another, and gives it a new mark.
    /// `None` when Redis has not said that it did.
    pub async fn enter(&self, ledger: &str, entry: &str, until: u64, ended: u64, mark: &str) -> Option<()> {
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        pipeline.cmd("ZREMRANGEBYSCORE").arg(self.name(ledger)).arg("-inf").arg(ended).ignore();
        pipeline.cmd("ZADD").arg(self.name(ledger)).arg(until).arg(entry).ignore();
        pipeline.cmd("SET").arg(self.mark_name(ledger)).arg(mark).ignore();
        self.ask("enter", async |mut connection| pipeline.query_async::<()>(&mut connection).await).await
    }

    /// The mark of a ledger. The outer `None` when Redis does not say.
    pub async fn mark(&self, ledger: &str) -> Option<Option<String>> {
        let mut command = redis::cmd("GET");
        command.arg(self.mark_name(ledger));
        self.ask("mark", async |mut connection| command.query_async(&mut connection).await).await
    }

    /// So many entries of a ledger, without those that had ended by that second. `None` when Redis does not say.
    pub async fn ledger(&self, ledger: &str, ended: u64, entries_max: usize) -> Option<Ledger> {
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        pipeline.cmd("GET").arg(self.mark_name(ledger));
        pipeline.cmd("ZREVRANGEBYSCORE").arg(self.name(ledger)).arg("+inf").arg(format!("({ended}")).arg("WITHSCORES");
        pipeline.arg("LIMIT").arg(0).arg(entries_max);
        let asked = self.ask("ledger", async |mut connection| pipeline.query_async(&mut connection).await);
        let (mark, entries) = asked.await?;
        Some(Ledger { mark, entries })
    }

    /// Tells all who listen on a channel.
    pub async fn publish(&self, channel: &str, message: &str) {
        let mut command = redis::cmd("PUBLISH");
        command.arg(self.name(channel)).arg(message);
        // How many heard it does not matter: a hint may be lost.
        let _: Option<i64> =
            self.ask("publish", async |mut connection| command.query_async(&mut connection).await).await;
    }

    /// What is told on a channel from now on, and `None` whenever listening begins anew, since something may have been
    /// missed. Never ends.
    pub fn subscribe(self: Arc<Self>, channel: &str) -> impl Stream<Item = Option<String>> + Send + 'static {
        let channel = self.name(channel);
        async_stream::stream! {
            loop {
                if let Ok(Ok(subscription)) = tokio::time::timeout(SUBSCRIBE_PING, self.listen(&channel)).await {
                    yield None;
                    let (mut sink, mut messages) = subscription.split();
                    loop {
                        match tokio::time::timeout(SUBSCRIBE_PING, messages.next()).await {
                            Ok(Some(message)) => yield Some(message.get_payload().unwrap_or_default()),
                            Ok(None) => break,
                            Err(_) => {
                                let ping = tokio::time::timeout(SUBSCRIBE_PING, sink.ping::<redis::Value>());
                                if !matches!(ping.await, Ok(Ok(_))) {
                                    break;
                                }
                            }
                        }
                    }
                }
                tokio::time::sleep(SUBSCRIBE_PAUSE).await;
            }
        }
    }

    async fn listen(&self, channel: &str) -> Result<redis::aio::PubSub, RedisError> {
        let mut subscription = self.client.get_async_pubsub().await?;
        subscription.subscribe(channel).await?;
        Ok(subscription)
    }

    /// Braces keep a key and its lease in one slot of a cluster.
    fn name(&self, key: &str) -> String {
        format!("{}:{{{key}}}", self.prefix)
    }

    fn mark_name(&self, ledger: &str) -> String {
        format!("{}:{{{ledger}}}:mark", self.prefix)
    }

    fn lease_name(&self, key: &str) -> String {
        format!("{}:{{{key}}}:lease", self.prefix)
    }

    /// Asks, where asking is worth it, and not for long.
    async fn ask<T>(
        &self,
        what: &'static str,
        ask: impl AsyncFnOnce(MultiplexedConnection) -> Result<T, RedisError>,
    ) -> Option<T> {
        if !self.breaker.admits(crate::clock::instant()) {
            return None;
        }
        let asked = tokio::time::timeout(self.timeout, async {
            let connection = self.connection().await.map_err(Failure::Connection)?;
            ask(connection).await.map_err(Failure::Redis)
        });
        let asked = asked.await.unwrap_or(Err(Failure::Timeout));
        if asked.is_err() {
            // Whatever is still under way on it, nobody waits for.
            self.shared.store(None);
            metrics::counter!("martello_redis_errors_total", "what" => what).increment(1);
        }
        if self.breaker.note(asked.is_ok(), crate::clock::instant()) {
            match &asked {
                Ok(_) => tracing::info!("Redis is back"),
                Err(error) => tracing::warn!(error = telemetry::chain(error), "Redis is left alone for a while"),
            }
        }
        asked.ok()
    }

    async fn connection(&self) -> Result<MultiplexedConnection, PoolError> {
        if let Some(connection) = &*self.shared.load() {
            return Ok(MultiplexedConnection::clone(connection));
        }
        let connection = self.pool.get().await?;
        let shared = MultiplexedConnection::clone(&connection);
        self.shared.store(Some(Arc::new(connection)));
        Ok(shared)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}
