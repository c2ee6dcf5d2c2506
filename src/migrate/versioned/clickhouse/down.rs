//! The way back of a ClickHouse. Each statement stands by itself, so that a way back that was cut off is planned anew from
//! what is there; the ledger is only added to, and gets rows that take others away once all of it has been done.

use std::collections::BTreeSet;

use tokio::sync::watch;

use super::super::super::clickhouse::{
    Connection, Done, Model, Replay, Session, Step, Wish, connect, difference, inspect, plan, spare, unreplicated,
    within,
};
use super::super::super::folder::{File, Folder};
use super::super::super::schema::{Rehearsal, Statement};
use super::super::super::target::Target;
use super::super::down::{applied, kept};
use super::super::{Down, Error, Options};
use super::Place;

/// Leads a database down, telling what becomes of each statement.
///
/// # Errors
/// When the database is not what its ledger says, the plan has hazards that are not accepted, or a statement fails.
pub async fn down(
    folder: &Folder,
    target: &Target,
    options: &Options,
    cluster: Option<&str>,
    stop: &mut watch::Receiver<bool>,
    tell: &mut (dyn FnMut(Done<'_>) + Send),
) -> Result<Down, Error> {
    let mut session = Box::new(Session::open(target, options.revisions_schema.as_deref()).await?);
    if !options.dry_run {
        session.lock(options.lock_timeout, stop).await?;
    }
    let mut watched = Watched { stop, tell };
    let done = led(&mut session, folder, options, cluster, &mut watched).await;
    // Others are let in, however it ends.
    session.close().await;
    done
}

/// Who is told of a way back, and may end it.
struct Watched<'w> {
    stop: &'w watch::Receiver<bool>,
    tell: &'w mut (dyn FnMut(Done<'_>) + Send),
}

async fn led(
    session: &mut Session,
    folder: &Folder,
    options: &Options,
    cluster: Option<&str>,
    watched: &mut Watched<'_>,
) -> Result<Down, Error> {
    let rows = session.rows().await?;
    let kept = kept(&rows, &options.until)?;
    let gone = &rows[kept..];
    let (current, older) = (applied(folder, &rows)?, applied(folder, &rows[..kept])?);
    let database = session.target().clone();
    let database = database.of_cluster(cluster.or(database.cluster()));
    let place = Place {
        server: options.dev_url.clone().unwrap_or_default(),
        database: Some(database.database().to_owned()),
        cluster: database.cluster().map(str::to_owned),
        ignore: options.scope.ignore.clone(),
        databases: Vec::new(),
    };
    let server = match &options.dev_url {
        Some(url) => connect(url).await?.within_name(database.database()),
        None => database.clone(),
    };
    let was = place.made(&server, &current).await?;
    let wish = Wish { model: place.made(&server, &older).await?, renames: Vec::new() };
    let others: BTreeSet<&String> = was.databases.keys().chain(wish.model.databases.keys()).collect();
    let others: Vec<String> = others.into_iter().cloned().collect();
    let mut is = inspect(&database, &[], &others).await?;
    is.ignore(&place.ignore);
    let from = rows.last().map(|row| row.version.clone()).unwrap_or_default();
    if let Some(what) = apart(&was, &is)
        && !is_on_the_way(&server, &place, &current, &was, &wish, &is).await?
    {
        return Err(Error::Drift { version: from, what });
    }
    let planned = plan(&is, &wish, Some(&server), &place.making(&server), Rehearsal::Done).await?;
    let mut steps = planned.statements;
    for step in &mut steps {
        spare(&database, &is, &wish.model, step).await;
    }
    let done = Down {
        from,
        to: kept.checked_sub(1).map(|last| rows[last].version.clone()),
        versions: gone.iter().rev().map(|row| row.version.clone()).collect(),
        statements: steps.iter().map(told).collect(),
    };
    if options.dry_run {
        return Ok(done);
    }
    let risks = steps.iter().flat_map(|step| step.hazards.iter().map(|risk| (risk.hazard, step.sql.clone())));
    let refused: Vec<_> = risks.filter(|(hazard, _)| !options.allowed.contains(hazard)).collect();
    if !refused.is_empty() {
        return Err(Error::Hazards { refused });
    }
    session.lead(&steps, watched.stop, watched.tell).await?;
    // Newest first: one that is cut off here leaves what an apply would go on from.
    for version in &done.versions {
        session.delete(version).await?;
    }
    Ok(done)
}

fn told(step: &Step) -> Statement {
    Statement { hazards: step.hazards.clone(), ..Statement::new(step.sql.clone()).alone() }
}

/// What differs, but for what one server cannot tell of others.
fn apart(one: &Model, other: &Model) -> Option<String> {
    difference(&unreplicated(one), &unreplicated(other))
}

/// Whether a database is where a way back from those files was cut off.
async fn is_on_the_way(
    server: &Connection,
    place: &Place,
    files: &[&File],
    was: &Model,
    wish: &Wish,
    is: &Model,
) -> Result<bool, Error> {
    let planned = plan(was, wish, Some(server), &place.making(server), Rehearsal::Done).await?;
    let live = [server.database()];
    within(server, async |scratch| {
        let mut replay = Replay::within(scratch, &live);
        replay.files(files).await?;
        for step in &planned.statements {
            replay.step(step).await?;
            let mut now = replay.look().await?;
            now.ignore(&place.ignore);
            if apart(&now, is).is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    })
    .await
}
