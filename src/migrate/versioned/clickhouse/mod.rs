//! The same for a ClickHouse: replays in scratch databases of its server, plans whose statements stand by themselves.

mod checkpoint;
mod down;
mod write;

use super::super::clickhouse::{
    Connection, LEFT_OF_REBUILDS, Making, Model, Replay, connect, difference, made, plan, read, within,
};
use super::super::folder::{File, Folder};
use super::super::import::later;
use super::super::schema::{Origin, Rehearsal, Rename};
use super::{Change, Draft, Error, with};

pub use checkpoint::checkpoint;
pub use down::down;

/// A server for scratch databases, and the database that is meant.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// The URL of any database of the server.
    pub server: String,
    /// What the database is called that is meant, where it is another one.
    pub database: Option<String>,
    /// The cluster that is changed as a whole, where the URL names none.
    pub cluster: Option<String>,
    /// Names that are left alone.
    pub ignore: Vec<String>,
    /// Databases of a wish besides those that files make.
    pub databases: Vec<String>,
}

impl Place {
    /// A server, and the URL of the database that is meant, where that is another one.
    #[must_use]
    pub fn of(server: &str, meant: Option<&str>) -> Self {
        let mut place = Self { server: server.to_owned(), ..Self::default() };
        if let Some(url) = meant.and_then(|meant| url::Url::parse(meant).ok()) {
            let name = percent_encoding::percent_decode_str(url.path().trim_start_matches('/')).decode_utf8_lossy();
            place.database = Some(name.into_owned()).filter(|name| !name.is_empty());
            let cluster = url.query_pairs().find(|(name, _)| name == "cluster");
            place.cluster = cluster.map(|(_, cluster)| cluster.into_owned());
        }
        place
    }

    /// A connection to the server, under the name of the database that is meant.
    async fn open(&self) -> Result<Connection, Error> {
        let server = connect(&self.server).await?;
        Ok(match &self.database {
            Some(name) => server.within_name(name),
            None => server,
        })
    }

    fn making(&self, server: &Connection) -> Making {
        let cluster = self.cluster.clone().or_else(|| server.cluster().map(str::to_owned));
        Making { ignore: self.ignore.clone(), cluster, drop_old: false }
    }

    /// What files make there of an empty database.
    async fn made(&self, server: &Connection, files: &[&File]) -> Result<Model, Error> {
        let mut model = made(server, files, &[server.database()]).await?;
        model.ignore(&self.ignore);
        Ok(model)
    }
}

/// Replays all files on a scratch database; each checkpoint must be what the files before it make. How many files, and how
/// many of them are checkpoints.
///
/// # Errors
/// When a statement fails: which file and line; or a checkpoint is something else.
pub async fn validate(folder: &Folder, place: &Place) -> Result<(usize, usize), Error> {
    folder.check()?;
    folder.distinct()?;
    let server = place.open().await?;
    let live = [server.database()];
    let mut checkpoints = 0;
    within(&server, async |scratch| {
        let mut replay = Replay::within(scratch, &live);
        for file in folder.files() {
            if !file.is_checkpoint() {
                replay.files(&[file]).await?;
                continue;
            }
            checkpoints += 1;
            // Files that a checkpoint was made of may have been removed since: it is then where the folder begins.
            if folder.files().iter().take_while(|other| *other != file).all(File::is_checkpoint) {
                replay.files(&[file]).await?;
            } else if let Some(what) = difference(&replay.look().await?, &place.made(&server, &[file]).await?) {
                return Err(Error::Checkpoint { file: file.name.clone(), what });
            }
        }
        Ok((folder.files().len(), checkpoints))
    })
    .await
}

/// Finds the file that is missing, if any. It is tried twice: as a plan on a copy of what the folder makes, and as a file of
/// the folder.
///
/// # Errors
/// When the folder is not in order, a side is not read, or the file would not lead to the wish.
pub async fn diff(
    folder: &Folder,
    wished: &Origin,
    renames: &[Rename],
    place: &Place,
    name: Option<&str>,
) -> Result<Change, Error> {
    folder.check()?;
    folder.distinct()?;
    let server = place.open().await?;
    let is = place.made(&server, &folder.replayed()).await?;
    let others: Vec<String> = is.databases.keys().chain(&place.databases).cloned().collect();
    let mut wish = read(wished, Some(&server), &[server.database()], &others, &place.ignore).await?;
    wish.renames.extend(renames.iter().cloned());
    let plan = plan(&is, &wish, Some(&server), &place.making(&server), Rehearsal::Done).await?;
    let mut unseen: Vec<String> = is.unseen.iter().chain(&wish.model.unseen).cloned().collect();
    unseen.retain(|what| !what.ends_with(LEFT_OF_REBUILDS));
    unseen.sort();
    unseen.dedup();
    if plan.statements.is_empty() {
        return Ok(Change { files: Vec::new(), unseen });
    }
    let newest = folder.files().last().map(|file| file.version().to_owned()).unwrap_or_default();
    let (sql, hazards) = write::body(&plan.statements);
    let files = vec![Draft { name: later(&newest, name)?, sql, hazards }];
    let reached = place.made(&server, &with(folder, &files).replayed()).await?;
    match difference(&reached, &wish.model) {
        Some(what) => Err(Error::Unproven { what: format!("after them, this is still to be done: {what:?}") }),
        None => Ok(Change { files, unseen }),
    }
}
