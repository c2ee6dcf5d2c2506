//! The next files of a folder: what leads from what it makes to what is wished.

use serde::Serialize;

use super::super::folder::Folder;
use super::super::schema::{Origin, Rehearsal, Rename, Scope, plan, read};
use super::write::drafts;
use super::{Draft, Error, difference, made, with};

/// What is still to be written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Change {
    /// The files; none where the folder makes what is wished.
    pub files: Vec<Draft>,
    /// What is left alone of either side, in words.
    pub unseen: Vec<String>,
}

/// Finds the files that are missing. They are tried twice: as a plan on a copy of what the folder makes, and as files of
/// the folder.
///
/// # Errors
/// When the folder is not in order, a side is not read, or the files would not lead to the wish.
pub async fn diff(
    folder: &Folder,
    wished: &Origin,
    renames: &[Rename],
    server: &str,
    scope: &Scope,
    name: Option<&str>,
) -> Result<Change, Error> {
    folder.check()?;
    folder.distinct()?;
    let mut wish = read(wished, Some(server), scope).await?;
    wish.renames.extend(renames.iter().cloned());
    let is = made(server, &folder.replayed(), scope).await?;
    let plan = plan(&is, &wish, scope, Some(server), Rehearsal::Done).await?;
    let mut unseen: Vec<String> = is.unseen.iter().chain(&wish.model.unseen).cloned().collect();
    unseen.sort();
    unseen.dedup();
    let newest = folder.files().last().map(|file| file.version().to_owned()).unwrap_or_default();
    let files = drafts(&newest, name, &plan.statements)?;
    if !files.is_empty() {
        let reached = made(server, &with(folder, &files).replayed(), scope).await?;
        if let Some(what) = difference(&reached, &wish.model) {
            return Err(Error::Unproven { what: format!("after them, this is still to be done: {what:?}") });
        }
    }
    Ok(Change { files, unseen })
}
