//! Relations beside a dataset's own: a version is filled in one, and given up by dropping it.

use std::str::FromStr as _;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use super::{LoadError, Loader, create_table, quoted};
use crate::catalog::{Dataset, Relation};
use crate::source::clickhouse::client;
use crate::source::scheme;
use crate::source::sql::SEARCH_TABLE;

impl Loader<'_> {
    /// Makes an empty relation that is like the dataset's own: its columns, key, indexes and comments.
    ///
    /// # Errors
    /// When the database refuses, or there is a relation of that name.
    pub async fn make_beside(&self, dataset: &Dataset, beside: &Relation) -> Result<(), LoadError> {
        let (own, side) = (quoted(&dataset.relation), quoted(beside));
        let statement = match scheme(self.config) {
            "clickhouse" => format!("CREATE TABLE {side} AS {own}"),
            "sqlite" => create_table(&dataset.over(beside.clone()))?.replacen("IF NOT EXISTS ", "", 1),
            _ => format!("CREATE TABLE {side} (LIKE {own} INCLUDING ALL)"),
        };
        self.execute("make a relation beside the dataset's own", &[statement]).await
    }

    /// Drops a relation, whatever kind of one it is; one that is not there is none to drop.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn drop(&self, relation: &Relation) -> Result<(), LoadError> {
        let side = quoted(relation);
        let what = "drop a relation";
        match scheme(self.config) {
            // Views, too.
            "clickhouse" => self.execute(what, &[format!("DROP TABLE IF EXISTS {side} SYNC")]).await,
            "sqlite" => {
                let words = format!("DROP TABLE IF EXISTS \"{}{SEARCH_TABLE}\"", relation.table);
                let kind = self.kind_in_sqlite(relation).await?;
                self.execute(what, &[format!("DROP {kind} IF EXISTS {side}"), words]).await
            }
            _ => {
                let kind = self.kind_in_postgres(relation).await?;
                self.execute(what, &[format!("DROP {kind} IF EXISTS {side}")]).await
            }
        }
    }

    async fn execute(&self, what: &'static str, statements: &[String]) -> Result<(), LoadError> {
        let failed = |error: sqlx::Error| LoadError::Database(what, error.into());
        let url = self.config.url.expose();
        match scheme(self.config) {
            "clickhouse" => {
                let client = client(self.config).map_err(|error| LoadError::Database(what, error.into()))?;
                for statement in statements {
                    let done = client.query_raw(statement).execute().await;
                    done.map_err(|error| LoadError::Database(what, error.into()))?;
                }
            }
            "sqlite" => {
                let options = SqliteConnectOptions::from_str(url).map_err(failed)?.create_if_missing(true);
                let mut connection = SqliteConnection::connect_with(&options).await.map_err(failed)?;
                for statement in statements {
                    connection.execute(AssertSqlSafe(statement.clone())).await.map_err(failed)?;
                }
                connection.close().await.map_err(failed)?;
            }
            _ => {
                let mut connection = self.postgres().await.map_err(failed)?;
                for statement in statements {
                    connection.execute(AssertSqlSafe(statement.clone())).await.map_err(failed)?;
                }
                connection.close().await.map_err(failed)?;
            }
        }
        Ok(())
    }

    async fn postgres(&self) -> Result<PgConnection, sqlx::Error> {
        let options = PgConnectOptions::from_str(self.config.url.expose())?.application_name("martello publish");
        PgConnection::connect_with(&options).await
    }

    async fn kind_in_postgres(&self, relation: &Relation) -> Result<&'static str, LoadError> {
        const KIND: &str = "SELECT relkind::text FROM pg_class WHERE oid = to_regclass($1)";
        let failed = |error: sqlx::Error| LoadError::Database("look at the relation", error.into());
        let mut connection = self.postgres().await.map_err(failed)?;
        let kind: Option<String> =
            sqlx::query_scalar(KIND).bind(quoted(relation)).fetch_optional(&mut connection).await.map_err(failed)?;
        connection.close().await.map_err(failed)?;
        Ok(match kind.as_deref() {
            Some("v") => "VIEW",
            Some("m") => "MATERIALIZED VIEW",
            Some("f") => "FOREIGN TABLE",
            _ => "TABLE",
        })
    }

    async fn kind_in_sqlite(&self, relation: &Relation) -> Result<&'static str, LoadError> {
        let failed = |error: sqlx::Error| LoadError::Database("look at the relation", error.into());
        let options = SqliteConnectOptions::from_str(self.config.url.expose()).map_err(failed)?;
        let mut connection = SqliteConnection::connect_with(&options).await.map_err(failed)?;
        let kind: Option<String> = sqlx::query_scalar("SELECT type FROM sqlite_schema WHERE name = ?1")
            .bind(relation.table.as_str())
            .fetch_optional(&mut connection)
            .await
            .map_err(failed)?;
        connection.close().await.map_err(failed)?;
        Ok(if kind.as_deref() == Some("view") { "VIEW" } else { "TABLE" })
    }
}
