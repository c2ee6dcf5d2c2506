//! What every door has in common: who calls, what a failure looks like, and the limits of a request.

pub mod conditional;
pub mod extract;
mod middleware;
pub mod problem;
mod remembered;

use std::sync::Arc;

use crate::auth::Keys;
use crate::config;
use crate::engine::Engine;

pub use extract::Caller;
pub use middleware::{guard, no_such_method, no_such_path, panicked};
pub use problem::Problem;
pub use remembered::{Questions, Tokens};

/// What handlers share.
#[derive(Clone)]
pub struct Context {
    /// Answers questions.
    pub engine: Arc<Engine>,
    /// Believes tokens.
    pub keys: Arc<Keys>,
    /// Callers who were believed a moment ago.
    pub tokens: Arc<Tokens>,
    /// Questions that were asked a moment ago.
    pub questions: Arc<Questions>,
    /// The listener's limits.
    pub limits: Arc<config::Http>,
}
