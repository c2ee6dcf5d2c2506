//! `martello export`

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::{ArgAction, ValueEnum};
use serde_json::json;

use super::load::progress;
use super::publish::{Operator, source_of, store};
use super::{record_all, say};
use crate::app::House;
use crate::audit::{Access, Delivery, Door, Event};
use crate::auth::{Claims, Instants, MaskKey, Matrix, Principal, Role};
use crate::catalog::{Catalog, Dataset};
use crate::config::{Config, FileStore};
use crate::encode::{MediaType, Numbers, Style};
use crate::plan::{self, Plan, Scope};
use crate::publish::files::{Edition, Exporter, Files, Manifest, Partition, Progress, Work, snapshot_question};
use crate::query::CursorKey;
use crate::source::Sources;
use crate::store::Versions;

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  martello export price_daily --format parquet\n  \
                        martello export price_daily --format csv --role client_pro --partition-by year --out files")]
pub(super) struct Arguments {
    /// A dataset of the catalog.
    dataset: String,
    /// What the files are written as.
    #[arg(long, value_enum)]
    format: Format,
    /// This role only; may be given again [default: every role that may export the dataset in the format].
    #[arg(long, action = ArgAction::Append)]
    role: Vec<String>,
    /// Files of one interval of the contract's time each.
    #[arg(long, value_enum, value_name = "INTERVAL")]
    partition_by: Option<Interval>,
    /// What has changed since that version: rows that have come, that are others now and that are gone, as `/changes` has
    /// them.
    #[arg(long, value_name = "NUMBER")]
    since_version: Option<u64>,
    /// A folder instead of the store of files. A live dataset, too, can be written into one.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// As JSON: what was written, and for whom.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    by: Operator,
}

/// What files are written as.
#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Parquet,
    Csv,
    Ndjson,
    Arrow,
}

impl Format {
    fn media_type(self) -> MediaType {
        match self {
            Self::Parquet => MediaType::Parquet,
            Self::Csv => MediaType::Csv,
            Self::Ndjson => MediaType::Ndjson,
            Self::Arrow => MediaType::Arrow,
        }
    }
}

/// An interval of time.
#[derive(Clone, Copy, ValueEnum)]
enum Interval {
    Year,
    Month,
}

impl Interval {
    fn partition(self) -> Partition {
        match self {
            Self::Year => Partition::Year,
            Self::Month => Partition::Month,
        }
    }
}

/// Roles that get the same files, and the plan of those.
struct Snapshot {
    plan: Plan,
    roles: Vec<Principal>,
}

pub(super) async fn export(arguments: &Arguments, config: &Config) -> anyhow::Result<()> {
    if arguments.since_version.is_some() && arguments.partition_by.is_some() {
        bail!("part what has changed by time: changes come in no order (leave out --partition-by or --since-version)");
    }
    let House { catalog, matrix } = House::load(config)?;
    let dataset = catalog.get(&arguments.dataset).with_context(|| {
        let names: Vec<&str> = catalog.iter().map(|dataset| dataset.name.as_str()).collect();
        format!("find dataset {:?}: expected one of {}", arguments.dataset, names.join(", "))
    })?;
    source_of(config, dataset)?;
    let versions = match &config.control {
        Some(_) => store(config)?.versions().await?,
        None => Versions::default(),
    };
    let version = versions.of(dataset.name.as_str());
    if version.is_none() && arguments.out.is_none() {
        bail!("export {}, of which nothing was published: a live dataset goes into a folder (--out)", dataset.name);
    }
    let edition = version.map_or_else(Edition::live, |version| Edition::of(version));
    let partition_by = arguments.partition_by.map(Interval::partition);
    let media_type = arguments.format.media_type();
    let (roles, skipped) = roles(&matrix, dataset, media_type, &arguments.role)?;
    if !arguments.json {
        for reason in &skipped {
            say(&format!("skipped {reason}\n"))?;
        }
    }
    let masks = config.access.mask_key.as_ref().map(|secret| MaskKey::new(secret.expose().as_bytes()));
    if masks.is_none() && matrix.hashes() {
        bail!("export behind masks that hash: expected access.mask_key in the configuration");
    }
    let scope = Planning {
        catalog: &catalog,
        matrix: &matrix,
        versions: &versions,
        masks: masks.unwrap_or_else(MaskKey::random),
        moment: Instants::kept(crate::clock::now(), config.assets.snapshots_for),
        operator: &arguments.by.operator,
    };
    let mut snapshots: Vec<Snapshot> = Vec::new();
    for role in roles {
        let (principal, plan) = scope.plan(dataset, &role, partition_by, arguments.since_version)?;
        match snapshots.iter_mut().find(|snapshot| snapshot.plan.shape() == plan.shape()) {
            Some(snapshot) => snapshot.roles.push(principal),
            None => snapshots.push(Snapshot { plan, roles: vec![principal] }),
        }
    }
    if snapshots.is_empty() {
        bail!("export {} as {}: no role may have all of it so", dataset.name, media_type.format());
    }
    let place = match &arguments.out {
        Some(folder) => FileStore { url: Some(folder.display().to_string()), ..FileStore::default() },
        None => config.assets.store.clone(),
    };
    let files = Files::open(&place).context("open the store of files")?;
    let exporter = Exporter { files: &files, part_rows: config.assets.part_rows, part_bytes: config.assets.part_bytes };
    let sources = Sources::open(&config.sources).context("open the sources")?;
    let source = sources.get(&dataset.source)?;
    let (mut written, mut events) = (Vec::new(), Vec::new());
    for Snapshot { plan, roles } in &snapshots {
        let names: Vec<&str> = roles.iter().map(|principal| principal.role().name.as_str()).collect();
        let bar = progress(version.map_or(0, |version| version.rows));
        let watch = |progress: Progress| {
            bar.set_position(progress.rows);
            let size = indicatif::HumanBytes(progress.bytes);
            bar.set_message(format!("{}: {} parts, {size}", dataset.name, progress.parts));
            Ok(())
        };
        let work = Work {
            plan,
            media_type,
            style: Style { numbers: Numbers::default(), zone: None, guarded: false },
            partition_by,
            edition: edition.clone(),
            since: arguments.since_version,
            rows_max: None,
            export: None,
        };
        let manifest = exporter.export(source.as_ref(), work, watch).await?;
        bar.finish_and_clear();
        events.extend(roles.iter().map(|principal| event(principal, plan, &manifest)));
        if !arguments.json {
            say(&told(&manifest, &names))?;
        }
        written.push(json!({ "roles": names, "manifest": manifest }));
    }
    record_all(config, events).await?;
    if arguments.json {
        let all = json!({ "written": written, "skipped": skipped });
        say(&(serde_json::to_string_pretty(&all).context("write what was exported")? + "\n"))?;
    }
    Ok(())
}

/// The roles that may have files of the dataset, and why others have none.
fn roles(
    matrix: &Matrix,
    dataset: &Dataset,
    media_type: MediaType,
    named: &[String],
) -> anyhow::Result<(Vec<Arc<Role>>, Vec<String>)> {
    for name in named {
        matrix.role(name).with_context(|| {
            let names: Vec<&str> = matrix.roles().map(|role| role.name.as_str()).collect();
            format!("find role {name:?}: expected one of {}", names.join(", "))
        })?;
    }
    let (mut fitting, mut skipped) = (Vec::new(), Vec::new());
    for role in matrix.roles().filter(|role| named.is_empty() || named.contains(&role.name)) {
        let grant = role.grant(dataset.name.as_str());
        let claims = grant.and_then(|grant| grant.rows.as_ref()).map(|rule| rule.claims()).unwrap_or_default();
        let reason = match grant {
            None => "it has nothing of the dataset".to_owned(),
            Some(grant) if !grant.exports => "it may not have all rows at once".to_owned(),
            Some(grant) if !grant.media_types.has(media_type) => format!("it may not have {}", media_type.format()),
            Some(_) if !claims.is_empty() => {
                let claims: Vec<&str> = claims.into_iter().collect();
                format!("its rows depend on the caller's {}: an export job serves each caller", claims.join(", "))
            }
            Some(_) => {
                fitting.push(Arc::clone(role));
                continue;
            }
        };
        skipped.push(format!("{}: {reason}", role.name));
    }
    Ok((fitting, skipped))
}

/// What every plan of one command has in common.
struct Planning<'p> {
    catalog: &'p Catalog,
    matrix: &'p Matrix,
    versions: &'p Versions,
    masks: MaskKey,
    moment: Instants,
    operator: &'p str,
}

impl Planning<'_> {
    fn plan(
        &self,
        dataset: &Dataset,
        role: &Arc<Role>,
        partition_by: Option<Partition>,
        since: Option<u64>,
    ) -> anyhow::Result<(Principal, Plan)> {
        let claims = Claims::from_iter([("sub".to_owned(), json!(self.operator))]);
        let principal = Principal::supposed(role, claims, self.matrix);
        // All rows have no pages.
        let cursors = CursorKey::random();
        let scope = Scope {
            catalog: self.catalog,
            versions: self.versions,
            principal: &principal,
            cursors: &cursors,
            masks: &self.masks,
            moment: self.moment,
        };
        let question = snapshot_question(dataset, partition_by);
        let plan = match since {
            Some(since) => plan::changes(&question, &scope, since, None),
            None => plan::plan(&question, &scope),
        };
        let plan = plan.with_context(|| format!("plan the files of {}", role.name))?;
        Ok((principal, plan))
    }
}

fn event(principal: &Principal, plan: &Plan, manifest: &Manifest) -> Event {
    let dataset = plan.dataset();
    let columns = plan.fields().iter().take(plan.shown()).map(|field| &field.name);
    let decision = principal.decision(dataset.name.as_str()).0;
    let access = Access::by(principal.subject(), &principal.role().name, Door::Assets, 201)
        .to(&dataset.name, manifest.version, decision, columns)
        .delivering(Delivery {
            rows: Some(manifest.rows),
            bytes: Some(manifest.bytes),
            format: manifest.media_type().map(MediaType::format),
            ..Delivery::default()
        });
    Event::access(&manifest.id, Arc::new(access))
}

fn told(manifest: &Manifest, roles: &[&str]) -> String {
    let mut state = manifest.version.map_or_else(|| "live".to_owned(), |number| format!("version {number}"));
    state.extend(manifest.since.map(|since| format!(" since version {since}")));
    let until = manifest.valid_until.map(|until| format!(", until {until}")).unwrap_or_default();
    format!(
        "{} {state} as {} for {}: {} rows in {} files, {}{until} ({})\n",
        manifest.dataset,
        manifest.format,
        roles.join(", "),
        manifest.rows,
        manifest.files.len(),
        indicatif::HumanBytes(manifest.bytes),
        manifest.id,
    )
}
