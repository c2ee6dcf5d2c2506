//! Which files of a folder are new: the latest, or those that a branch does not have.

use std::path::Path;
use std::process::Command;

use super::super::folder::{File, Folder};
use super::Error;

/// Which files are new.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum New {
    /// So many of the last.
    Latest(usize),
    /// Those that a branch, a tag or a commit of git does not have.
    Since(String),
}

/// A folder in two.
#[derive(Debug, Default)]
pub(super) struct Split<'f> {
    pub(super) old: Vec<&'f File>,
    pub(super) new: Vec<&'f File>,
    /// New files that come before an old one, and the newest of those.
    pub(super) behind: Vec<(String, String)>,
    /// Old files that are no longer what they were, and what became of them.
    pub(super) edited: Vec<(String, &'static str)>,
}

pub(super) fn split<'f>(folder: &'f Folder, new: &New) -> Result<Split<'f>, Error> {
    let files = folder.files();
    let base = match new {
        New::Latest(count) => {
            let (old, new) = files.split_at(files.len().saturating_sub(*count));
            return Ok(Split { old: old.iter().collect(), new: new.iter().collect(), ..Split::default() });
        }
        New::Since(base) => base,
    };
    let listed = git(folder.path(), &["ls-tree", "-z", "--name-only", "--end-of-options", base, "./"])?;
    let known: Vec<&str> = listed.split('\0').filter(|name| name.ends_with(".sql")).collect();
    let mut split = Split::default();
    for file in files {
        match known.contains(&file.name.as_str()) {
            true => split.old.push(file),
            false => split.new.push(file),
        }
    }
    if let Some(newest) = known.iter().max() {
        let behind = split.new.iter().filter(|file| file.name.as_str() < *newest);
        split.behind = behind.map(|file| (file.name.clone(), (*newest).to_owned())).collect();
    }
    for name in known {
        match files.iter().find(|file| file.name == name) {
            None => split.edited.push((name.to_owned(), "removed")),
            Some(file) => {
                let was = git(folder.path(), &["show", "--end-of-options", &format!("{base}:./{name}")])?;
                if was != file.text {
                    split.edited.push((name.to_owned(), "edited"));
                }
            }
        }
    }
    Ok(split)
}

fn git(folder: &Path, arguments: &[&str]) -> Result<String, Error> {
    let failed = |why: String| Error::Git { asked: arguments.join(" ").replace('\0', ""), why };
    let ran = Command::new("git").arg("-C").arg(folder).args(arguments).output();
    let ran = ran.map_err(|error| failed(error.to_string()))?;
    if !ran.status.success() {
        return Err(failed(String::from_utf8_lossy(&ran.stderr).trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&ran.stdout).into_owned())
}
