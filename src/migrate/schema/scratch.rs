//! Databases that are there for a moment: a folder of SQL becomes one, and plans are tried on one.

use std::path::Path;
use std::str::FromStr as _;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use super::super::folder::{Folder, SUM_FILE};
use super::statement::{SESSION, Statement};
use super::{Error, connect, open};

/// What a scratch database is called, with random letters behind it.
const PREFIX: &str = "martello_scratch_";

/// An empty database like that of a URL, on its server.
pub struct Scratch {
    server: String,
    name: String,
    options: PgConnectOptions,
}

impl Scratch {
    /// Makes one.
    ///
    /// # Errors
    /// When the server is not reached or does not let the role.
    pub async fn make(server: &str) -> Result<Self, Error> {
        let failed = |source| Error::Scratch { source };
        let options = PgConnectOptions::from_str(server).map_err(|source| Error::Connect { source })?;
        let mut connection = open(&options).await?;
        let id = uuid::Uuid::new_v4().simple().to_string();
        let name = format!("{PREFIX}{}", &id[..12]);
        let like = sqlx::query(
            "SELECT format('CREATE DATABASE %I TEMPLATE template0 ENCODING %L LC_COLLATE %L LC_CTYPE %L', $1::text, \
             pg_encoding_to_char(encoding), datcollate, datctype) FROM pg_database WHERE datname = current_database()",
        );
        let row = like.bind(&name).fetch_one(&mut connection).await.map_err(failed)?;
        let sql: String = row.try_get(0).map_err(failed)?;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.map_err(failed)?;
        // A farewell that does not arrive changes nothing.
        let _ = connection.close().await;
        Ok(Self { server: server.to_owned(), options: options.database(&name), name })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A session in it.
    ///
    /// # Errors
    /// When it is not reached.
    pub async fn open(&self) -> Result<PgConnection, Error> {
        open(&self.options).await
    }

    /// Drops it, whoever is in it.
    ///
    /// # Errors
    /// When the server is not reached or refuses.
    pub async fn drop(self) -> Result<(), Error> {
        let mut connection = connect(&self.server).await?;
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        let dropped = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await;
        dropped.map(drop).map_err(|source| Error::Scratch { source })
    }

    /// Does something in one that is gone afterwards, however that ends.
    pub(super) async fn within<T>(
        server: &str,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let scratch = Self::make(server).await?;
        let done = match scratch.open().await {
            Ok(mut connection) => {
                let done = work(&mut connection).await;
                let _ = connection.close().await;
                done
            }
            Err(error) => Err(error),
        };
        let dropped = scratch.drop().await;
        // What went wrong first is what to tell.
        done.and_then(|done| dropped.map(|()| done))
    }
}

/// Applies a folder, file by file, each from the settings of a new session.
pub(super) async fn apply(connection: &mut PgConnection, folder: &Folder) -> Result<(), Error> {
    for file in folder.files() {
        for statement in file.statements()? {
            let sql = AssertSqlSafe(statement.text);
            sqlx::raw_sql(sql).execute(&mut *connection).await.map_err(|source| Error::Wish {
                file: file.name.clone(),
                line: 1 + file.text[..statement.at].matches('\n').count(),
                source,
            })?;
        }
        sqlx::raw_sql("RESET ALL").execute(&mut *connection).await.map_err(|source| Error::Inspect { source })?;
    }
    Ok(())
}

/// A folder of SQL; one of migrations has the hashes of its files, and they are right.
pub(super) fn folder(path: &Path) -> Result<Folder, Error> {
    let folder = Folder::read(path)?;
    if path.join(SUM_FILE).is_file() {
        folder.check()?;
    }
    Ok(folder)
}

/// Runs statements where nobody else is.
pub(super) async fn rehearse(connection: &mut PgConnection, statements: &[Statement]) -> Result<(), Error> {
    let all = SESSION.iter().copied().chain(statements.iter().map(|statement| statement.sql.as_str()));
    for (place, sql) in all.enumerate() {
        let ran = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut *connection).await;
        ran.map_err(|source| Error::Statement {
            sql: sql.to_owned(),
            done: place.saturating_sub(SESSION.len()),
            source,
        })?;
    }
    Ok(())
}
