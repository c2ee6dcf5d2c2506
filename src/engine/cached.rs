//! Answers that were given before: from memory, from Redis, or from the source, once for all who ask at the same time.
//!
//! A key says everything that its bytes depend on: the versions and contracts of all datasets that are read, the plan with
//! the policy in it, and how it is written. So nothing is ever invalidated; of a dataset that is written in place, time
//! takes the version's part.

use std::sync::Arc;

use bytes::Bytes;

use crate::cache::{Entry, Flights, Key, Memory, Shared, Tallies, Tally, Tier, Turn};
use crate::catalog::{Catalog, Type};
use crate::config;
use crate::encode::{Coding, Codings, MediaType};
use crate::plan::{Output, Plan};
use crate::query::Count;
use crate::redis::Redis;
use crate::source;

use super::{Engine, Error, Representation, Writing};

/// A store that was heard of so lately is up.
const HEARD_MIN: std::time::Duration = std::time::Duration::from_secs(5);
/// Raised when equal rows are written in other bytes.
const REVISION: &[u8] = b"1";
/// Below, packing saves less than it costs.
const PACKED_BYTES_MIN: usize = 1024;
/// Above, it takes longer than other requests should wait.
const PACKED_AT_ONCE_MAX: usize = 256 * 1024;

/// Where answers are kept.
pub struct Caches {
    memory: Memory,
    shared: Option<Shared>,
    flights: Flights<Result<Fetched, Arc<Error>>>,
    packings: Flights<Option<Bytes>>,
    tallies: Tallies,
}

/// What a flight brings.
#[derive(Clone)]
struct Fetched {
    entry: Arc<Entry>,
    origin: Origin,
    stored: bool,
}

/// Where an answer is from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Memory.
    Memory,
    /// Redis.
    Shared,
    /// The source.
    Source,
}

/// An answer, and how it was come by.
pub struct Served {
    /// The answer.
    pub entry: Arc<Entry>,
    /// Where from.
    pub origin: Origin,
    /// Whether it is kept now.
    pub stored: bool,
    /// Whether another request had asked for it already.
    pub coalesced: bool,
    /// Why it is older than it should be.
    pub stale: Option<Stale>,
    /// Its key; nothing when answers to such questions are not kept.
    key: Option<Key>,
}

/// Why an answer is older than it should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stale {
    /// A newer one is being made.
    WhileRevalidate,
    /// The source is out.
    IfError,
}

/// What an ETag is made of, but for the coding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tag {
    /// Equal ones of one URL mean equal answers.
    pub bytes: [u8; 16],
    /// Whether only the meaning is equal: sums of doubles may differ in their last bit.
    pub weak: bool,
}

impl Caches {
    /// Empty ones.
    #[must_use]
    pub fn new(config: &config::Config, redis: Option<Arc<Redis>>, catalog: &Catalog) -> Self {
        let shared = redis.zip(config.redis.as_ref());
        let shared = shared.map(|(redis, redis_config)| Shared::new(redis, redis_config, &config.cache));
        let tallies = Tallies::new(catalog.iter().map(|dataset| dataset.name.as_str()));
        let (flights, packings) = (Flights::default(), Flights::default());
        Self { memory: Memory::new(&config.cache), shared, flights, packings, tallies }
    }
}

impl Served {
    /// Milliseconds since it was made.
    #[must_use]
    pub fn age(&self) -> u64 {
        millis().saturating_sub(self.entry.made_at)
    }

    /// Whether answers to such questions are kept at all.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.key.is_some()
    }

    /// What its ETag is made of; nothing where answers to such questions are never told apart.
    #[must_use]
    pub fn tag(&self, plan: &Plan) -> Option<Tag> {
        self.key.map(|_| Tag { bytes: self.entry.tag, weak: is_near(plan) })
    }
}

impl Engine {
    /// What the ETag of an answer will be made of, known before anything runs; nothing while a dataset is live.
    #[must_use]
    pub fn tag(&self, plan: &Plan, writing: impl Into<Writing>) -> Option<Tag> {
        let published = plan.count() == Count::None && plan.published_at().is_some() && self.is_heard(plan);
        published.then(|| Tag { bytes: key(self, plan, &writing.into(), true).0, weak: is_near(plan) })
    }

    /// Where the figures of a plan's dataset are kept.
    #[must_use]
    pub fn tally(&self, plan: &Plan) -> Arc<Tally> {
        self.caches.tallies.of(plan.dataset().name.as_str())
    }

    /// Notes that a client had the answer already.
    pub fn unmodified(&self, plan: &Plan) {
        self.caches.tallies.of(plan.dataset().name.as_str()).hit(Tier::Memory);
    }

    /// Where an answer to a plan is kept now, in the word of `Cache-Status`.
    pub(super) async fn kept_in(&self, plan: &Arc<Plan>, representation: Representation) -> Option<&'static str> {
        let flown = Flown::of(self, plan, representation.into());
        if plan.count() != Count::None {
            return None;
        }
        if self.caches.memory.get(flown.key, Coding::Identity).is_some_and(|entry| flown.is_fresh(&entry)) {
            return Some("l1");
        }
        let shared = self.caches.shared.as_ref()?.get(flown.key, &flown.tally).await?;
        flown.is_fresh(&shared).then_some("l2")
    }

    /// Whether the control store was heard of lately enough to know what is current.
    fn is_heard(&self, plan: &Plan) -> bool {
        plan.versions_read().iter().all(Option::is_none)
            || self.pointer.age() <= plan.dataset().cache.stale_if_error.max(HEARD_MIN)
    }

    /// Answers a plan, from wherever that is quickest.
    ///
    /// # Errors
    /// When neither the source nor what is kept has an answer.
    pub async fn serve(self: &Arc<Self>, plan: &Arc<Plan>, writing: impl Into<Writing>) -> Result<Served, Arc<Error>> {
        let writing = writing.into();
        if !self.is_heard(plan) {
            return Err(Arc::new(Error::Unheard));
        }
        // What was counted within a budget may be counted better the next time.
        if plan.count() != Count::None {
            let answered = self.written(plan, &writing).await.map_err(Arc::new)?;
            let tally = self.caches.tallies.of(plan.dataset().name.as_str());
            let entry = Arc::new(entry(answered, [0; 16], &tally));
            return Ok(Served {
                entry,
                origin: Origin::Source,
                stored: false,
                coalesced: false,
                stale: None,
                key: None,
            });
        }
        let flown = Flown::of(self, plan, writing);
        if let Some(served) = self.remembered(&flown) {
            return Ok(served);
        }
        flown.tally.miss(Tier::Memory);
        let landed = self.fly(&flown).await;
        if landed.coalesced {
            flown.tally.coalesced();
        }
        match landed.value.unwrap_or_else(|| Err(Arc::new(Error::Lost))) {
            Ok(Fetched { entry, origin, stored }) => {
                let coalesced = landed.coalesced;
                Ok(Served { entry, origin, stored, coalesced, stale: None, key: Some(flown.key) })
            }
            Err(error) if is_outage(&error) => self.outlived(&flown).await.ok_or(error),
            Err(error) => Err(error),
        }
    }

    /// What memory has, as far as it is good enough.
    fn remembered(self: &Arc<Self>, flown: &Flown) -> Option<Served> {
        let entry = self.caches.memory.get(flown.key, Coding::Identity)?;
        let cache = &flown.plan.dataset().cache;
        let age = millis().saturating_sub(entry.made_at);
        let stale = if flown.published || age <= as_millis(cache.max_age) {
            flown.tally.hit(Tier::Memory);
            None
        } else if age <= as_millis(cache.max_age + cache.stale_while_revalidate) {
            flown.tally.stale(Tier::Memory);
            // Whoever comes meanwhile waits for nothing either.
            let (engine, again) = (Arc::clone(self), flown.clone());
            tokio::spawn(async move { engine.fly(&again).await });
            Some(Stale::WhileRevalidate)
        } else {
            return None;
        };
        Some(Served { entry, origin: Origin::Memory, stored: true, coalesced: false, stale, key: Some(flown.key) })
    }

    async fn fly(self: &Arc<Self>, flown: &Flown) -> crate::cache::Landed<Result<Fetched, Arc<Error>>> {
        let start = || {
            let (engine, flown) = (Arc::clone(self), flown.clone());
            async move { engine.fetch(&flown).await }
        };
        self.caches.flights.join(flown.key, start).await
    }

    /// Asks Redis, then the source, and keeps what that says.
    async fn fetch(&self, flown: &Flown) -> Result<Fetched, Arc<Error>> {
        let cache = &flown.plan.dataset().cache;
        // Whoever looked before the flight before this one had landed finds what that brought.
        if let Some(entry) = self.caches.memory.get(flown.key, Coding::Identity)
            && flown.is_fresh(&entry)
        {
            return Ok(Fetched { entry, origin: Origin::Memory, stored: true });
        }
        let keep = (!flown.published).then(|| cache.max_age + cache.stale_while_revalidate.max(cache.stale_if_error));
        let mut lease = None;
        if let Some(shared) = &self.caches.shared {
            match shared.turn(flown.key, &flown.tally, |entry| flown.is_fresh(entry)).await {
                Turn::Found(entry) => {
                    flown.tally.hit(Tier::Shared);
                    let entry = Arc::new(entry);
                    let stored = self.keep(flown, &entry, keep);
                    return Ok(Fetched { entry, origin: Origin::Shared, stored });
                }
                Turn::Ours(ours) => lease = Some(ours),
                Turn::Alone => {}
            }
            flown.tally.miss(Tier::Shared);
        }
        let answered = self.written(&flown.plan, &flown.writing).await.map_err(Arc::new)?;
        let tag = if flown.published { flown.key } else { Key::of([&flown.key.0, answered.body.as_ref()]) };
        let entry = Arc::new(entry(answered, tag.0, &flown.tally));
        let stored = self.keep(flown, &entry, keep);
        if let Some(shared) = self.caches.shared.clone() {
            // Nobody waits for Redis to take it; whoever waits for the lease finds it there.
            let (key, question, kept) = (flown.key, flown.question, Arc::clone(&entry));
            tokio::spawn(async move { shared.put(key, question, &kept, keep, lease).await });
        }
        Ok(Fetched { entry, origin: Origin::Source, stored })
    }

    async fn written(&self, plan: &Plan, writing: &Writing) -> Result<super::Entry, Error> {
        match writing {
            Writing::Rows(representation) => self.answer(plan, *representation).await,
            Writing::Tree(tree) => self.grown(plan, tree).await,
        }
    }

    fn keep(&self, flown: &Flown, entry: &Arc<Entry>, keep: Option<std::time::Duration>) -> bool {
        let stored = self.caches.memory.put(flown.key, Coding::Identity, Arc::clone(entry), keep);
        if stored {
            self.caches.memory.note(flown.question, flown.key);
        }
        stored
    }

    /// An answer that has outlived its freshness, where the source is out: of the version before, or of some time ago.
    async fn outlived(&self, flown: &Flown) -> Option<Served> {
        let caches = &self.caches;
        let mut origin = Origin::Memory;
        let mut found = caches.memory.latest(flown.question);
        if let (None, Some(shared)) = (&found, &caches.shared) {
            found = shared.latest(flown.question, &flown.tally).await.map(Arc::new);
            origin = Origin::Shared;
        }
        let entry = found?;
        let cache = &flown.plan.dataset().cache;
        let since = match flown.overtaken_at {
            // The version before was right until this one was published.
            Some(published_at) => published_at,
            None => entry.made_at + as_millis(cache.max_age),
        };
        if millis().saturating_sub(since) > as_millis(cache.stale_if_error) {
            return None;
        }
        flown.tally.stale(if origin == Origin::Memory { Tier::Memory } else { Tier::Shared });
        let key = Some(flown.key);
        Some(Served { entry, origin, stored: true, coalesced: false, stale: Some(Stale::IfError), key })
    }

    /// The body as the client likes it best, and how it is packed. What was packed once is not packed again.
    pub async fn packed(&self, served: &Served, media_type: MediaType, codings: Codings) -> (Coding, Bytes) {
        // Parquet is packed inside.
        if media_type == MediaType::Parquet {
            return (Coding::Identity, served.entry.body.clone());
        }
        // A stale answer is another version's, and the key is this one's.
        let key = served.key.filter(|_| served.stale.is_none());
        self.pack(&served.entry, key, codings.best).await
    }

    /// The same of a document that answers were put together in: equal tags have equal bytes.
    pub async fn packed_whole(
        &self,
        body: Bytes,
        tag: Option<[u8; 16]>,
        codings: Codings,
        parts: &[Served],
    ) -> (Coding, Bytes) {
        let Some(first) = parts.first() else { return (Coding::Identity, body) };
        let tally = Arc::clone(&first.entry.tally);
        let (tag, key) = (tag.unwrap_or_default(), tag.map(|tag| Key::of([b"whole".as_slice(), &tag])));
        let entry = Entry { body, rows: 0, related: Vec::new(), next: None, tag, made_at: millis(), tally };
        self.pack(&Arc::new(entry), key, codings.best).await
    }

    /// Packs an answer, which is remembered under its key, where it has one.
    async fn pack(&self, entry: &Arc<Entry>, key: Option<Key>, coding: Coding) -> (Coding, Bytes) {
        let plain = || (Coding::Identity, entry.body.clone());
        if coding == Coding::Identity || entry.body.len() < PACKED_BYTES_MIN {
            return plain();
        }
        if let Some(packed) = key.and_then(|key| self.caches.memory.get(key, coding))
            && packed.tag == entry.tag
        {
            return (coding, packed.body.clone());
        }
        let start = || {
            let (memory, entry) = (self.caches.memory.clone(), Arc::clone(entry));
            async move {
                let body = entry.body.clone();
                let packed = if body.len() <= PACKED_AT_ONCE_MAX {
                    coding.pack(&body)
                } else {
                    tokio::task::spawn_blocking(move || coding.pack(&body)).await.ok().flatten()
                }?;
                if let Some(key) = key {
                    let entry = Entry { body: packed.clone(), ..Entry::clone(&entry) };
                    memory.put(key, coding, Arc::new(entry), None);
                }
                Some(packed)
            }
        };
        // Whoever asks for the same meanwhile waits for that.
        let packed = match key {
            Some(_) => {
                let packing = Key::of([&entry.tag, coding.name().as_bytes()]);
                self.caches.packings.join(packing, start).await.value.flatten()
            }
            None => start().await,
        };
        packed.map_or_else(plain, |packed| (coding, packed))
    }
}

/// A question on its way through the caches.
#[derive(Clone)]
struct Flown {
    plan: Arc<Plan>,
    writing: Writing,
    key: Key,
    /// The key without versions: under it the last answer is found, whatever its version.
    question: Key,
    published: bool,
    /// When the newest of the versions was published, in milliseconds since 1970.
    overtaken_at: Option<u64>,
    tally: Arc<Tally>,
}

impl Flown {
    fn of(engine: &Engine, plan: &Arc<Plan>, writing: Writing) -> Self {
        let published_at = plan.published_at();
        Self {
            plan: Arc::clone(plan),
            key: key(engine, plan, &writing, true),
            question: key(engine, plan, &writing, false),
            writing,
            published: published_at.is_some(),
            overtaken_at: published_at.and_then(|at| u64::try_from(at.as_millisecond()).ok()),
            tally: engine.caches.tallies.of(plan.dataset().name.as_str()),
        }
    }

    /// Of what is published an answer is for good; of what is live, for as long as the contract says.
    fn is_fresh(&self, entry: &Entry) -> bool {
        self.published || millis().saturating_sub(entry.made_at) <= as_millis(self.plan.dataset().cache.max_age)
    }
}

fn key(engine: &Engine, plan: &Plan, writing: &Writing, with_versions: bool) -> Key {
    let fingerprint = plan.fingerprint();
    let written = match writing {
        Writing::Rows(representation) => vec![
            representation.media_type as u8,
            representation.numbers as u8,
            representation.shape as u8,
            u8::from(representation.guarded),
        ],
        Writing::Tree(tree) => tree.id().0.to_vec(),
    };
    let versions = if with_versions { plan.versions_read() } else { Vec::new() };
    // Cursors stand in the bytes.
    let cursors = engine.cursors.id();
    let kind: &[u8] = if with_versions { b"answer" } else { b"question" };
    let mut parts: Vec<&[u8]> = vec![kind, REVISION, &cursors, fingerprint.as_bytes(), &written];
    let contracts = plan.contracts();
    parts.extend(contracts.iter().map(|contract| contract.as_bytes()));
    parts.push(b"versions");
    parts.extend(
        versions.iter().map(|version| version.as_ref().map_or(&[][..], |version| version.0.as_bytes().as_slice())),
    );
    Key::of(parts)
}

fn entry(answered: super::Entry, tag: [u8; 16], tally: &Arc<Tally>) -> Entry {
    let super::Entry { body, rows, related, next } = answered;
    Entry { body, rows, related, next: next.map(|next| next.0), tag, made_at: millis(), tally: Arc::clone(tally) }
}

/// Whether an answer has sums of doubles, whose last bit depends on the order in which rows come.
fn is_near(plan: &Plan) -> bool {
    plan.fields().iter().any(|field| matches!(field.output, Output::Measure(..)) && field.data_type == Type::Float64)
}

/// Whether trying again later would help.
fn is_outage(error: &Error) -> bool {
    use source::Error::{Busy, Timeout, Unavailable};
    matches!(error, Error::Source { source: Busy | Timeout | Unavailable(_), .. })
}

fn millis() -> u64 {
    u64::try_from(crate::clock::now().as_millisecond()).unwrap_or_default()
}

fn as_millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
