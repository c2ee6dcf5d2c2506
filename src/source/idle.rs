//! Postgres connections at rest, the last used on top.
//!
//! The driver's own pool pings each connection on its way back, which doubles the round trips of a statement. The gate
//! bounds how many are in use, so a stack is all that is left to keep.

use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};

/// A connection at rest for so long is closed, so that a burst leaves nothing behind.
const REST_MAX: Duration = Duration::from_secs(300);

/// Has the server look, while a statement runs, whether its client is still there: one that has gone leaves nothing running.
/// Servers before 14 and some systems cannot, and end the statement when it ends.
///
/// # Errors
/// When the connection is broken.
pub async fn attend(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    const SET: &str = "SELECT pg_catalog.set_config(name, '1s', false) FROM pg_catalog.pg_settings \
         WHERE name = 'client_connection_check_interval' AND max_val::bigint > 0";
    match sqlx::raw_sql(SET).execute(connection).await {
        Err(error) if error.as_database_error().is_none() => Err(error),
        _ => Ok(()),
    }
}

/// Connections at rest, and how to make more.
pub(super) struct Idle {
    options: PgConnectOptions,
    patience: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    resting: Vec<Resting>,
    /// When a connection last broke: older ones are not trusted any more.
    broken: Option<Instant>,
}

struct Resting {
    connection: PgConnection,
    opened: Instant,
    since: Instant,
}

impl Idle {
    pub(super) fn new(options: PgConnectOptions, patience: Duration) -> Arc<Self> {
        Arc::new(Self { options, patience, state: Mutex::default() })
    }

    /// A connection that is trusted: the last used one, or a new one.
    pub(super) async fn lease(self: &Arc<Self>) -> Result<Lease, sqlx::Error> {
        if let Some(Resting { connection, opened, .. }) = self.top() {
            return Ok(Lease { connection: Some(connection), opened, home: Arc::clone(self) });
        }
        let opened = crate::clock::instant();
        let connecting = async {
            let mut connection = PgConnection::connect_with(&self.options).await?;
            attend(&mut connection).await?;
            Ok::<_, sqlx::Error>(connection)
        };
        let connection =
            tokio::time::timeout(self.patience, connecting).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
        Ok(Lease { connection: Some(connection), opened, home: Arc::clone(self) })
    }

    fn top(&self) -> Option<Resting> {
        let mut state = self.state();
        let broken = state.broken;
        // The stack is ordered by last use, not by age, so each is judged by itself.
        while let Some(resting) = state.resting.pop() {
            if broken.is_none_or(|broken| resting.opened > broken) {
                return Some(resting);
            }
        }
        None
    }

    /// Trusts no connection any more that is open now.
    pub(super) fn distrust(&self) {
        self.state().broken = Some(crate::clock::instant());
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, and a stack is whole after every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection in use. Dropped before [`Lease::finish`], its socket closes here and now, which ends its statement.
pub(super) struct Lease {
    connection: Option<PgConnection>,
    opened: Instant,
    home: Arc<Idle>,
}

impl Lease {
    /// The connection, until the lease is finished.
    pub(super) fn connection(&mut self) -> Option<&mut PgConnection> {
        self.connection.as_mut()
    }

    /// Puts the connection back, whole: its last statement has been read to the end.
    pub(super) fn finish(mut self) {
        let Some(connection) = self.connection.take() else { return };
        let now = crate::clock::instant();
        let mut state = self.home.state();
        let fresh = state.resting.partition_point(|resting| now.duration_since(resting.since) > REST_MAX);
        let stale: Vec<Resting> = state.resting.drain(..fresh).collect();
        state.resting.push(Resting { connection, opened: self.opened, since: now });
        drop(state);
        // Closed outside the lock.
        drop(stale);
    }
}
