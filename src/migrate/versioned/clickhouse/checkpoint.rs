//! A file that is the sum of all before it, for a ClickHouse.

use super::super::super::clickhouse::{
    Error as Fault, LEFT_OF_REBUILDS, Model, Object, Replay, Wish, difference, filled, plan, tokens, within,
};
use super::super::super::folder::Folder;
use super::super::super::import::later;
use super::super::super::schema::Rehearsal;
use super::super::super::statements::Language;
use super::super::{Draft, Error, with};
use super::{Place, write};

/// The file that holds what the folder makes, with a tag or none.
///
/// # Errors
/// When the folder makes what a file of this kind cannot hold, or the file would make something else.
pub async fn checkpoint(folder: &Folder, tag: Option<&str>, leave_rows: bool, place: &Place) -> Result<Draft, Error> {
    folder.check()?;
    folder.distinct()?;
    let server = place.open().await?;
    let making = place.making(&server);
    let live = [server.database()];
    let (whole, tables) = within(&server, async |scratch| {
        let mut replay = Replay::within(scratch, &live);
        replay.files(&folder.replayed()).await?;
        let mut whole = replay.look().await?;
        whole.ignore(&place.ignore);
        let tables = filled(scratch, &whole).await.map_err(|source| Fault::Inspect { source })?;
        Ok::<_, Error>((whole, tables))
    })
    .await?;
    let mut what: Vec<String> = whole.unseen.iter().filter(|what| !what.ends_with(LEFT_OF_REBUILDS)).cloned().collect();
    let secrets = whole.objects.iter().filter_map(|(name, object)| match object {
        Object::Dictionary(it) if it.written.is_none() && it.is_hidden() => Some(format!("the secret of {name}")),
        _ => None,
    });
    what.extend(secrets);
    if whole.own.as_ref().is_some_and(|own| !own.comment.is_empty()) {
        what.push("the comment of the database itself".to_owned());
    }
    if making.cluster.is_none() {
        what.extend(clustered(folder)?);
    }
    if !what.is_empty() {
        return Err(Error::Unheld { what });
    }
    if !tables.is_empty() && !leave_rows {
        return Err(Error::Rows { tables });
    }
    let wish = Wish { model: whole.clone(), renames: Vec::new() };
    let plan = plan(&Model::default(), &wish, Some(&server), &making, Rehearsal::Done).await?;
    let (body, _) = write::body(&plan.statements);
    let tag = tag.map_or_else(String::new, |tag| format!(" {tag}"));
    let newest = folder.files().last().map(|file| file.version().to_owned()).unwrap_or_default();
    let draft = Draft {
        name: later(&newest, Some("checkpoint"))?,
        sql: format!("-- atlas:checkpoint{tag}\n\n{body}"),
        hazards: Vec::new(),
    };
    let reached = place.made(&server, &with(folder, std::slice::from_ref(&draft)).replayed()).await?;
    match difference(&whole, &reached) {
        Some(what) => Err(Error::Checkpoint { file: draft.name, what }),
        None => Ok(draft),
    }
}

/// A scratch database is on no cluster, and does not tell that its tables should be.
fn clustered(folder: &Folder) -> Result<Option<String>, Error> {
    for file in folder.replayed() {
        for statement in file.statements_in(Language::ClickHouse)? {
            let words = tokens(&statement.text);
            if words.windows(2).any(|pair| pair[0].is("ON") && pair[1].is("CLUSTER")) {
                let line = file.line(statement.at);
                return Ok(Some(format!("ON CLUSTER of {}, line {line}, without --cluster", file.name)));
            }
        }
    }
    Ok(None)
}
