//! Whether a folder can be applied at all, from its first file to its last.

use super::super::folder::{File, Folder};
use super::super::schema::{Scope, Scratch, replay, scoped};
use super::{Error, difference, made};

/// Replays all files on a scratch database; each checkpoint must be what the files before it make. How many files, and how
/// many of them are checkpoints.
///
/// # Errors
/// When a statement fails: which file and line; or a checkpoint is something else.
pub async fn validate(folder: &Folder, server: &str, scope: &Scope) -> Result<(usize, usize), Error> {
    folder.check()?;
    folder.distinct()?;
    let mut checkpoints = 0;
    Scratch::within(server, async |connection| {
        for file in folder.files() {
            if !file.is_checkpoint() {
                replay(connection, &[file]).await?;
                continue;
            }
            checkpoints += 1;
            let before = scoped(connection, scope).await?;
            let alone = made(server, &[file], scope).await?;
            // Files that a checkpoint was made of may have been removed since: it is then where the folder begins.
            if folder.files().iter().take_while(|other| *other != file).all(File::is_checkpoint) {
                replay(connection, &[file]).await?;
            } else if let Some(what) = difference(&before, &alone) {
                return Err(Error::Checkpoint { file: file.name.clone(), what });
            }
        }
        Ok((folder.files().len(), checkpoints))
    })
    .await
}
