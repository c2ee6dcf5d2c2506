//! Databases that are there for a moment: a folder of SQL becomes one, and plans are tried on one.

use std::path::Path;
use std::str::FromStr as _;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use super::super::folder::{File, Folder, SUM_FILE, Transactions};
use super::super::session::place_of;
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

    /// Its URL: that of the server, with another name.
    #[must_use]
    pub fn url(&self) -> String {
        let Ok(mut url) = url::Url::parse(&self.server) else { return self.server.clone() };
        url.set_path(&self.name);
        url.into()
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
    pub(in crate::migrate) async fn within<T, E: From<Error>>(
        server: &str,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        Self::at(server, async |scratch| {
            let mut connection = scratch.open().await?;
            let done = work(&mut connection).await;
            let _ = connection.close().await;
            done
        })
        .await
    }

    /// The same, for work that opens sessions of its own.
    ///
    /// # Errors
    /// When there is none, or the work fails.
    pub async fn at<T, E: From<Error>>(server: &str, work: impl AsyncFnOnce(&Self) -> Result<T, E>) -> Result<T, E> {
        let scratch = Self::make(server).await?;
        let done = work(&scratch).await;
        let dropped = scratch.drop().await;
        // What went wrong first is what to tell.
        done.and_then(|done| dropped.map(|()| done).map_err(E::from))
    }
}

/// Applies files of a wish one after another, each from the settings of a new session.
pub(in crate::migrate) async fn apply(connection: &mut PgConnection, files: &[&File]) -> Result<(), Error> {
    for file in files {
        statements(connection, file).await?;
        sqlx::raw_sql("RESET ALL").execute(&mut *connection).await.map_err(|source| Error::Inspect { source })?;
    }
    Ok(())
}

/// Applies migrations one after another, in the transactions that they have when they are applied.
pub(in crate::migrate) async fn replay(connection: &mut PgConnection, files: &[&File]) -> Result<(), Error> {
    for file in files {
        let together = file.transactions()? != Some(Transactions::None);
        let order = async |connection: &mut PgConnection, text: &'static str| {
            let done = sqlx::raw_sql(text).execute(connection).await.map(drop);
            done.map_err(|source| Error::Wish { file: file.name.clone(), line: file.text.lines().count(), source })
        };
        if together {
            order(connection, "BEGIN").await?;
        }
        statements(connection, file).await?;
        if together {
            order(connection, "COMMIT").await?;
        }
        order(connection, "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL").await?;
    }
    Ok(())
}

async fn statements(connection: &mut PgConnection, file: &File) -> Result<(), Error> {
    for statement in file.statements()? {
        let ran = sqlx::raw_sql(AssertSqlSafe(statement.text.clone())).execute(&mut *connection).await;
        ran.map_err(|source| {
            let line = file.line(statement.at + place_of(&source, &statement.text));
            Error::Wish { file: file.name.clone(), line, source }
        })?;
    }
    Ok(())
}

/// A folder of SQL; one of migrations has the hashes of its files, and they are right.
pub(super) fn folder(path: &Path) -> Result<(Folder, bool), Error> {
    let folder = Folder::read(path)?;
    let hashed = path.join(SUM_FILE).is_file();
    if hashed {
        folder.check()?;
    }
    Ok((folder, hashed))
}

/// Makes a database what a folder has.
///
/// # Errors
/// When the folder cannot be read, or a statement fails.
pub async fn fill(connection: &mut PgConnection, path: &Path) -> Result<Folder, Error> {
    let (folder, hashed) = folder(path)?;
    match hashed {
        true => replay(connection, &folder.replayed()).await?,
        false => apply(connection, &folder.files().iter().collect::<Vec<_>>()).await?,
    }
    Ok(folder)
}

/// Runs statements where nobody else is.
pub(in crate::migrate) async fn rehearse(connection: &mut PgConnection, statements: &[Statement]) -> Result<(), Error> {
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
