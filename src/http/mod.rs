//! What every door has in common: who calls, what a failure looks like, the limits of a request, and what is told of it.

mod account;
mod announcements;
mod audited;
pub mod conditional;
pub mod extract;
mod front;
mod limits;
mod middleware;
pub mod problem;
mod remembered;
pub mod sets;
mod shelf;

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

use crate::audit::Auditor;
use crate::auth::Keys;
use crate::config;
use crate::engine::Engine;
use crate::limit::Limiter;

pub use account::{Access, Accesses, Account};
pub use announcements::announced;
pub use audited::Handed;
pub use extract::Caller;
pub use front::{Front, Replay, warm_up};
pub use limits::{Admission, left};
pub use middleware::{Guard, guard, no_such_method, no_such_path, panicked};
pub use problem::{Problem, Worded};
pub use remembered::{Callers, Questions};
pub use shelf::Shelf;

use front::Answers;

/// What handlers share. Every request holds it several times over, so that one count of references is all it takes.
#[derive(Clone)]
pub struct Context(Arc<Shared>);

/// What is behind a [`Context`].
pub struct Shared {
    /// Answers questions.
    pub engine: Arc<Engine>,
    /// Believes tokens.
    pub keys: Arc<Keys>,
    /// Callers who were believed a moment ago.
    pub callers: Callers,
    /// Questions that were asked a moment ago.
    pub questions: Questions,
    /// The listener's limits.
    pub limits: config::Http,
    /// Counts what callers use up.
    pub limiter: Arc<Limiter>,
    /// Room for those who wait for publishes.
    pub(super) listeners: Arc<Semaphore>,
    /// Whether the process is on its way out: what has no end of its own ends then.
    pub stopped: watch::Receiver<bool>,
    /// Told of every access.
    pub auditor: Auditor,
    /// Files of datasets.
    pub shelf: Shelf,
    /// Whole answers that were given a moment ago.
    answers: Answers,
}

impl Context {
    /// What handlers share at the beginning: nothing is remembered.
    #[must_use]
    pub fn new(
        engine: Arc<Engine>,
        keys: Arc<Keys>,
        limiter: Arc<Limiter>,
        auditor: Auditor,
        shelf: Shelf,
        config: &config::Config,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        Self(Arc::new(Shared {
            engine,
            keys,
            callers: Callers::default(),
            questions: Questions::default(),
            limits: config.http.clone(),
            limiter,
            listeners: Arc::new(Semaphore::new(config.http.listeners_max.min(Semaphore::MAX_PERMITS))),
            stopped,
            auditor,
            shelf,
            answers: Answers::new(config.cache.answers()),
        }))
    }
}

impl std::ops::Deref for Context {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
