//! Callers and their windows at one instance.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use super::window::{Window, share};
use super::{CONCURRENT, Key, Left, Policy, Quotas, Refused, Source};
use crate::bounded::Bounded;
use crate::config::{self, Fallback};
use crate::redis::{Draw, Redis};

/// Callers that are counted at once; whoever was not seen for longest is forgotten first.
const SUBJECTS_MAX: u64 = 100_000;
/// One request draws so often at most before it is refused: windows pass, and others may take what was drawn.
const DRAWS_MAX: usize = 6;
/// After Redis has not answered, nothing is drawn for a caller for so long, in milliseconds.
const AWAY: u64 = 1000;
/// How often an instance says that it is there.
const BEAT: Duration = Duration::from_secs(2);
/// An instance that has not said so for three beats is not, in milliseconds.
const BEATS_TTL: u64 = 6000;
/// What a caller who was not seen for so long has left is given back, in milliseconds.
const IDLE: u64 = 10_000;
/// One beat in so many looks for such callers.
const IDLE_BEATS: u32 = 5;
/// Giving back at the end may take so long.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);
/// Where all instances say that they are there.
const INSTANCES: &str = "limit-instances";

/// Counts what callers use up.
pub struct Limiter {
    redis: Option<Arc<Redis>>,
    fallback: Fallback,
    subjects: Bounded<Key, Arc<Subject>>,
    /// Who this instance is among the others.
    instance: String,
    sequence: AtomicU64,
    /// How many instances there were when Redis last said.
    instances: AtomicU64,
    /// By how many milliseconds Redis' clock is ahead of ours.
    ahead: AtomicI64,
}

/// One caller at this instance.
struct Subject {
    key: Key,
    state: Mutex<State>,
    /// Whoever draws for the caller; others wait for what comes.
    turn: tokio::sync::Mutex<()>,
    /// Whether somebody draws in advance.
    drawing: AtomicBool,
    under_way: AtomicU32,
}

#[derive(Clone, Copy, Default)]
struct State {
    windows: [Window; 3],
    /// Redis is not asked before.
    away_until: u64,
    seen_at: u64,
    quotas: Quotas,
}

/// One of the requests that a caller may have under way.
pub struct Permit(Arc<Subject>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What must be left of each policy.
#[derive(Clone, Copy)]
struct Need {
    amounts: [u64; 3],
    /// Whether it is used up as well.
    counted: bool,
}

impl Need {
    fn of(self, policy: Policy) -> u64 {
        self.amounts[policy as usize]
    }
}

const fn counted(amounts: [u64; 3]) -> Need {
    Need { amounts, counted: true }
}

impl Subject {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes all that is needed, or nothing: then it says what is lacking.
    fn take(&mut self, quotas: &Quotas, need: Need, source: Source, now: u64) -> Result<(), Vec<Policy>> {
        self.quotas = *quotas;
        self.seen_at = now;
        let mut lacking = Vec::new();
        for (policy, limit) in quotas.windows() {
            let window = &mut self.windows[policy as usize];
            window.roll(now / policy.millis());
            if window.left(limit, source) < need.of(policy) {
                lacking.push(policy);
            }
        }
        if !lacking.is_empty() {
            return Err(lacking);
        }
        if need.counted {
            quotas.windows().for_each(|(policy, _)| self.windows[policy as usize].take(need.of(policy)));
        }
        Ok(())
    }
}

impl Limiter {
    /// Counts for this instance alone, or with all that share a Redis.
    #[must_use]
    pub fn new(redis: Option<Arc<Redis>>, config: config::Limits) -> Arc<Self> {
        Arc::new(Self {
            redis,
            fallback: config.fallback,
            subjects: Bounded::new(SUBJECTS_MAX, |_, _| 1),
            instance: Uuid::new_v4().simple().to_string(),
            sequence: AtomicU64::new(0),
            instances: AtomicU64::new(u64::from(config.instances)),
            ahead: AtomicI64::new(0),
        })
    }

    /// Counts a request, and those rows that it delivers, if that can be done without asking anybody.
    #[must_use]
    pub fn take(self: &Arc<Self>, key: Key, quotas: &Quotas, rows: u64) -> Option<Option<Permit>> {
        let subject = self.subject(key);
        let permit = self.permit(&subject, quotas).ok()?;
        let taken = self.try_take(&subject, quotas, counted([1, 1, rows]));
        taken.is_ok().then_some(permit)
    }

    /// Counts a request.
    ///
    /// # Errors
    /// When it is one too many: then nothing is counted.
    pub async fn admit(self: &Arc<Self>, key: Key, quotas: &Quotas) -> Result<Option<Permit>, Refused> {
        let subject = self.subject(key);
        let permit = self.permit(&subject, quotas).inspect_err(told)?;
        self.obtain(&subject, quotas, counted([1, 1, 0])).await.inspect_err(told)?;
        Ok(permit)
    }

    /// Counts rows of an answer that is about to be delivered.
    ///
    /// # Errors
    /// When they are more than are left: then none is counted.
    pub async fn deliver(self: &Arc<Self>, key: Key, quotas: &Quotas, rows: u64) -> Result<(), Refused> {
        if rows == 0 || quotas.of(Policy::Rows).is_none() {
            return Ok(());
        }
        self.obtain(&self.subject(key), quotas, counted([0, 0, rows])).await.inspect_err(told)
    }

    /// Whether any row may still be delivered.
    ///
    /// # Errors
    /// When all are used up.
    pub async fn may_deliver(self: &Arc<Self>, key: Key, quotas: &Quotas) -> Result<(), Refused> {
        if quotas.of(Policy::Rows).is_none() {
            return Ok(());
        }
        let need = Need { amounts: [0, 0, 1], counted: false };
        self.obtain(&self.subject(key), quotas, need).await.inspect_err(told)
    }

    /// Counts rows that were delivered, whatever is left: of an answer whose rows are known only as they go.
    pub fn delivered(self: &Arc<Self>, key: Key, quotas: &Quotas, rows: u64) {
        if quotas.of(Policy::Rows).is_none() {
            return;
        }
        let subject = self.subject(key);
        let now = self.now();
        let low = {
            let mut state = subject.lock();
            let window = &mut state.windows[Policy::Rows as usize];
            window.roll(now / Policy::Rows.millis());
            window.take(rows);
            let low = quotas.of(Policy::Rows).is_some_and(|limit| window.is_low(limit)) || window.is_overdrawn();
            low && self.redis.is_some() && now >= state.away_until
        };
        if low {
            self.draw_in_advance(&subject, quotas);
        }
    }

    /// What is left of each policy that bounds the caller.
    #[must_use]
    pub fn left(&self, key: Key, quotas: &Quotas) -> [Option<Left>; 3] {
        let subject = self.subject(key);
        let now = self.now();
        let mut state = subject.lock();
        let source = self.source(&state, now);
        Policy::ALL.map(|policy| {
            let quota = quotas.of(policy)?;
            let window = &mut state.windows[policy as usize];
            window.roll(now / policy.millis());
            let resets_at = (now / policy.millis() + 1) * policy.seconds();
            let resets_in = (resets_at * 1000).saturating_sub(now).div_ceil(1000);
            Some(Left { policy, quota, remaining: window.remaining(quota, source), resets_at, resets_in })
        })
    }

    /// Hears what the other instances hold now.
    pub async fn refresh(self: &Arc<Self>, key: Key, quotas: &Quotas) {
        let subject = self.subject(key);
        if self.redis.is_none() || self.now() < subject.lock().away_until {
            return;
        }
        let _turn = subject.turn.lock().await;
        self.draw(&subject, quotas, |_, _| Some(0), None).await;
    }

    /// Says that this instance is there, hears how many are, and gives back what callers who went away have left. Never
    /// ends where there is a Redis.
    pub async fn run(self: Arc<Self>) {
        let Some(redis) = self.redis.clone() else { return };
        let mut beats: u32 = 0;
        loop {
            let sent = crate::clock::unix_millis();
            if let Some((time, instances)) = redis.beat(INSTANCES, &self.instance, BEATS_TTL).await {
                self.instances.store(instances.max(1), Ordering::Relaxed);
                #[expect(clippy::cast_precision_loss, reason = "instances are few")]
                metrics::gauge!("martello_limit_instances").set(instances as f64);
                self.set(sent, time);
            }
            beats = beats.wrapping_add(1);
            if beats.is_multiple_of(IDLE_BEATS) {
                let before = self.now().saturating_sub(IDLE);
                self.give_back(|state| state.seen_at < before).await;
            }
            tokio::time::sleep(BEAT).await;
        }
    }

    /// Gives back what callers have left, and goes.
    pub async fn leave(&self) {
        let Some(redis) = &self.redis else { return };
        let leaving = async {
            self.give_back(|_| true).await;
            redis.leave(INSTANCES, &self.instance).await;
        };
        // What is not given back ends with its day.
        let _ = tokio::time::timeout(LEAVE_TIMEOUT, leaving).await;
    }

    async fn give_back(&self, which: impl Fn(&State) -> bool) {
        let subjects: Vec<Arc<Subject>> = self.subjects.values().collect();
        for subject in subjects {
            let _turn = subject.turn.lock().await;
            let now = self.now();
            let quotas = {
                let mut state = subject.lock();
                if !which(&state) || now < state.away_until {
                    continue;
                }
                let mut given = false;
                for policy in [Policy::Day, Policy::Rows] {
                    let window = &mut state.windows[policy as usize];
                    given |= window.number == now / policy.millis() && window.give_back();
                }
                if !given {
                    continue;
                }
                state.quotas
            };
            self.draw(&subject, &quotas, |policy, _| (policy != Policy::Second).then_some(0), None).await;
        }
    }

    fn subject(&self, key: Key) -> Arc<Subject> {
        let subject = || {
            Arc::new(Subject {
                key,
                state: Mutex::default(),
                turn: tokio::sync::Mutex::default(),
                drawing: AtomicBool::new(false),
                under_way: AtomicU32::new(0),
            })
        };
        match self.subjects.get(&key) {
            Some(known) => known,
            None => self.subjects.get_or_insert(key, subject),
        }
    }

    /// Now, as Redis has it.
    fn now(&self) -> u64 {
        crate::clock::unix_millis().saturating_add_signed(self.ahead.load(Ordering::Relaxed))
    }

    /// Takes the time of an answer to what was sent then: about the middle between the two.
    fn set(&self, sent: u64, time: u64) {
        let here = sent.midpoint(crate::clock::unix_millis());
        self.ahead.store(time.cast_signed().saturating_sub(here.cast_signed()), Ordering::Relaxed);
    }

    fn source(&self, state: &State, now: u64) -> Source {
        let alone = self.redis.is_none() || (now < state.away_until && self.fallback == Fallback::Share);
        if alone { Source::Share(self.instances.load(Ordering::Relaxed)) } else { Source::Lent }
    }

    fn permit(&self, subject: &Arc<Subject>, quotas: &Quotas) -> Result<Option<Permit>, Refused> {
        let Some(limit) = quotas.concurrent() else { return Ok(None) };
        let room = share(u64::from(limit), self.instances.load(Ordering::Relaxed));
        let one_more = |under_way: u32| (u64::from(under_way) < room).then_some(under_way + 1);
        let taken = subject.under_way.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        match taken {
            Ok(_) => Ok(Some(Permit(Arc::clone(subject)))),
            Err(_) => Err(Refused::Spent { policies: vec![CONCURRENT], retry_after: 1 }),
        }
    }

    /// Takes what is at hand, and sees that more comes before it has run out.
    fn try_take(self: &Arc<Self>, subject: &Arc<Subject>, quotas: &Quotas, need: Need) -> Result<(), Vec<Policy>> {
        let now = self.now();
        let low = {
            let mut state = subject.lock();
            let source = self.source(&state, now);
            state.take(quotas, need, source, now)?;
            let low = |(policy, limit): (Policy, u64)| state.windows[policy as usize].is_low(limit);
            self.redis.is_some() && now >= state.away_until && quotas.windows().any(low)
        };
        if low {
            self.draw_in_advance(subject, quotas);
        }
        Ok(())
    }

    /// Takes what is needed, and draws it where it is not at hand.
    async fn obtain(self: &Arc<Self>, subject: &Arc<Subject>, quotas: &Quotas, need: Need) -> Result<(), Refused> {
        let mut turn = None;
        for _ in 0..DRAWS_MAX {
            let Err(lacking) = self.try_take(subject, quotas, need) else { return Ok(()) };
            if let Some(refused) = self.refusal(subject, &lacking) {
                return Err(refused);
            }
            if turn.is_none() {
                // Whoever drew before may have drawn enough.
                turn = Some(subject.turn.lock().await);
                continue;
            }
            // What this window has not been asked for yet comes with what is needed.
            let want = |policy: Policy, window: &Window| {
                (lacking.contains(&policy) || !window.is_known()).then_some(need.of(policy).max(1))
            };
            if self.draw(subject, quotas, want, Some(need)).await {
                return Ok(());
            }
        }
        let needed = quotas.windows().map(|(policy, _)| policy).filter(|policy| need.of(*policy) > 0);
        Err(self.spent(&needed.collect::<Vec<_>>()))
    }

    /// The refusal of a caller for whom there is nothing to be drawn now.
    fn refusal(&self, subject: &Subject, lacking: &[Policy]) -> Option<Refused> {
        let now = self.now();
        let state = subject.lock();
        let away = self.redis.is_some() && now < state.away_until;
        if away && self.fallback == Fallback::Deny {
            return Some(Refused::Unknown);
        }
        let dry = |policy: &&Policy| state.windows[**policy as usize].is_dry(now);
        let spent: Vec<Policy> = match &self.redis {
            Some(_) if !away => lacking.iter().filter(dry).copied().collect(),
            _ => lacking.to_vec(),
        };
        (!spent.is_empty()).then(|| self.spent(&spent))
    }

    fn spent(&self, policies: &[Policy]) -> Refused {
        let now = self.now();
        let left = |policy: &Policy| (policy.millis() - now % policy.millis()).div_ceil(1000);
        let retry_after = policies.iter().map(left).max().unwrap_or(1);
        Refused::Spent { policies: policies.iter().map(|policy| policy.name()).collect(), retry_after }
    }

    fn draw_in_advance(self: &Arc<Self>, subject: &Arc<Subject>, quotas: &Quotas) {
        if subject.drawing.swap(true, Ordering::Relaxed) {
            return;
        }
        let (limiter, subject, quotas) = (Arc::clone(self), Arc::clone(subject), *quotas);
        tokio::spawn(async move {
            {
                let _turn = subject.turn.lock().await;
                let low = {
                    let state = subject.lock();
                    Policy::ALL.map(|policy| {
                        let window = &state.windows[policy as usize];
                        quotas.of(policy).is_some_and(|limit| window.is_low(limit) || window.is_overdrawn())
                    })
                };
                if low.contains(&true) {
                    limiter.draw(&subject, &quotas, |policy, _| low[policy as usize].then_some(1), None).await;
                }
            }
            subject.drawing.store(false, Ordering::Relaxed);
        });
    }

    /// Draws so much at least of each policy, where it is more than nothing; with nothing, only says what is held and hears
    /// what others do. Then takes what is needed, before anybody else can, and says whether it was there. Whoever calls has
    /// the turn: a later answer must not be followed by an earlier one.
    async fn draw(
        &self,
        subject: &Subject,
        quotas: &Quotas,
        needed: impl Fn(Policy, &Window) -> Option<u64>,
        take: Option<Need>,
    ) -> bool {
        let Some(redis) = &self.redis else { return false };
        let now = self.now();
        let mut draws: Vec<(Policy, Draw)> = Vec::with_capacity(3);
        {
            let mut state = subject.lock();
            for (policy, limit) in quotas.windows() {
                let window = &mut state.windows[policy as usize];
                window.roll(now / policy.millis());
                let Some(needed) = needed(policy, window) else { continue };
                let instances = self.instances.load(Ordering::Relaxed);
                let want = if needed == 0 { 0 } else { window.want(limit, needed, instances, now) };
                let (name, length, held) = (policy.name(), policy.millis(), window.held());
                draws.push((policy, Draw { name, length, limit, want, window: window.number, held }));
            }
        }
        if draws.is_empty() {
            return false;
        }
        let sent = crate::clock::unix_millis();
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        let wishes: Vec<Draw> = draws.iter().map(|(_, draw)| *draw).collect();
        let drawn = redis.draw(&subject.key.name(), &self.instance, sequence, &wishes).await;
        let mut state = subject.lock();
        let Some((time, drawn)) = drawn else {
            state.away_until = self.now() + AWAY;
            lease("failed");
            return false;
        };
        self.set(sent, time);
        let mut enough = true;
        for ((policy, draw), drawn) in draws.iter().zip(&drawn) {
            state.windows[*policy as usize].lend(drawn, draw.want, time);
            enough &= drawn.granted >= draw.want;
        }
        lease(if enough { "granted" } else { "short" });
        take.is_some_and(|need| state.take(quotas, need, Source::Lent, self.now()).is_ok())
    }
}

/// Counts an answer of Redis.
fn lease(outcome: &'static str) {
    metrics::counter!("martello_limit_leases_total", "outcome" => outcome).increment(1);
}

/// Counts a refusal.
fn told(refused: &Refused) {
    let policies = match refused {
        Refused::Spent { policies, .. } => policies.as_slice(),
        Refused::Unknown => &["unknown"],
    };
    for policy in policies {
        metrics::counter!("martello_limit_refused_total", "policy" => *policy).increment(1);
    }
}
