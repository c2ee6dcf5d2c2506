//! One change of what is published: alone on its dataset, and whole or not at all.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;

use super::version::{Version, VersionId, Versions};
use super::{Error, postgres, sqlite};
use crate::name::{Name, Relation};

/// A version before it has a name and a number.
#[derive(Clone, PartialEq, Debug)]
pub struct Draft {
    /// Where it stands in the dataset's source.
    pub relation: Relation,
    /// The day up to which its data reaches.
    pub data_through: Option<Date>,
    /// How many rows it has.
    pub rows: u64,
    /// What was found out about the relation, as a JSON object.
    pub statistics: String,
    /// The checks that it passed, as a JSON list.
    pub checks: String,
    /// The SHA-256 of its contract.
    pub contract: String,
    /// Who publishes it.
    pub operator: String,
    /// The version whose relation it serves again.
    pub rollback_of: Option<u64>,
}

/// The turn to change one dataset. Dropped, it has changed nothing.
pub struct Change {
    pub(super) dataset: Name,
    pub(super) connection: Connection,
    pub(super) versions: Versions,
}

/// A transaction that ends with its connection.
pub(super) enum Connection {
    Postgres(Box<PgConnection>),
    Sqlite(Box<SqliteConnection>),
}

impl Change {
    /// What is published of the dataset, newest first. Nobody changes it meanwhile.
    #[must_use]
    pub fn history(&self) -> &[Arc<Version>] {
        self.versions.history(self.dataset.as_str())
    }

    /// The version that is current.
    #[must_use]
    pub fn current(&self) -> Option<&Arc<Version>> {
        self.versions.of(self.dataset.as_str())
    }

    /// Makes the draft the current version, and announces it.
    ///
    /// # Errors
    /// When the store does not take it; nothing has changed then.
    pub async fn publish(mut self, draft: Draft) -> Result<Version, Error> {
        let newest = self.history().first();
        let number = newest.map_or(0, |version| version.number) + 1;
        // Time does not run back from one version to the next, whatever the clocks of two machines say.
        let published_at = newest.map_or(Timestamp::MIN, |version| version.published_at).max(crate::clock::now());
        let version = Version {
            id: VersionId::random(),
            dataset: self.dataset.clone(),
            number,
            relation: draft.relation,
            published_at,
            data_through: draft.data_through,
            rows: draft.rows,
            statistics: draft.statistics,
            checks: draft.checks,
            contract: draft.contract,
            operator: draft.operator,
            rollback_of: draft.rollback_of,
            retired_at: None,
            dropped_at: None,
        };
        match &mut self.connection {
            Connection::Postgres(connection) => postgres::publish(connection, &version).await?,
            Connection::Sqlite(connection) => sqlite::publish(connection, &version).await?,
        }
        Ok(version)
    }

    /// Gives up the relations of those versions: from now on nobody begins to read them.
    ///
    /// # Errors
    /// When the store does not take it; nothing has changed then.
    pub async fn give_up(mut self, versions: &[VersionId]) -> Result<(), Error> {
        let now = crate::clock::now();
        match &mut self.connection {
            Connection::Postgres(connection) => postgres::give_up(connection, versions, now).await,
            Connection::Sqlite(connection) => sqlite::give_up(connection, versions, now).await,
        }
    }
}
