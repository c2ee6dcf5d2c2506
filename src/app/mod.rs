//! Puts the house together: from a configuration to two listeners that serve.

mod patience;
mod router;
mod server;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::assets;
use crate::audit;
use crate::audit::Auditor;
use crate::auth::{self, Access, Keys, MaskKey, Matrix, ReloadError, Reloader, Revocations, Roll, Rotation, Rules};
use crate::catalog::{self, Catalog};
use crate::config::{self, Config};
use crate::engine::{Caches, Engine, Streams};
use crate::graphql::Door;
use crate::http::{Context, Front, Shelf, warm_up};
use crate::limit::Limiter;
use crate::ops;
use crate::plan;
use crate::publish::files::{FileError, Files, Library};
use crate::publish::jobs::Exports;
use crate::query::CursorKey;
use crate::redis::{self, Redis};
use crate::rest;
use crate::source::{self, Mismatch, Sources};
use crate::store::{self, Pointer, Store, Watcher};
use crate::telemetry;

pub use server::Error as ServerError;

/// A start waits so long for a source to be compared with its contracts. One that is out is compared by nobody, and
/// answers 503 until it is back.
const COMPARE_TIMEOUT: Duration = Duration::from_secs(5);
/// Probes and scrapes need few connections.
const ADMIN_CONNECTIONS_MAX: usize = 64;
/// A load balancer reads the readiness probe this often, at least: so long after it turned, requests still arrive.
const DRAIN_NOTICE: Duration = Duration::from_secs(1);

/// Why Martello does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no source, so nothing could be served.
    #[error("find a source in the configuration: expected sources.NAME.url")]
    NoSource,
    /// There is no key, so nobody could be let in.
    #[error("find a key for tokens in the configuration: expected auth.hs256 or auth.jwks")]
    NoKey,
    /// The catalog is at fault.
    #[error("load the catalog")]
    Catalog(#[source] catalog::Error),
    /// The access matrix cannot be served as it is.
    #[error("serve the access matrix")]
    Access(#[source] ReloadError),
    /// A contract names a source that is not configured.
    #[error("find source {source_name:?} of dataset {dataset} in the configuration")]
    UnknownSource {
        /// The dataset.
        dataset: String,
        /// The source.
        source_name: String,
    },
    /// A source cannot be opened.
    #[error("open the sources")]
    Source(#[source] source::Error),
    /// Live relations do not keep their contracts.
    #[error("serve relations that do not keep their contracts:\n{}", .0.iter().map(|mismatch| format!("  {mismatch}")).collect::<Vec<_>>().join("\n"))]
    Mismatches(Vec<Mismatch>),
    /// The control store does not tell what is published.
    #[error("read what is published")]
    Store(#[source] store::Error),
    /// Redis cannot be used at all.
    #[error("use the shared cache")]
    Redis(#[source] redis::Error),
    /// The store of files cannot be used at all.
    #[error("open the store of files")]
    Files(#[source] FileError),
    /// Links to files cannot be signed.
    #[error("open the door of files")]
    Links(#[source] assets::Error),
    /// Events of the audit cannot be written.
    #[error("begin the audit")]
    Audit(#[source] audit::Error),
    /// The key set cannot be read.
    #[error("read the key set")]
    Jwks(#[source] auth::JwksError),
    /// A listener cannot serve.
    #[error("start the listener")]
    Server(#[source] server::Error),
}

/// What is served and to whom, without a listener.
pub struct House {
    /// Datasets.
    pub catalog: Arc<Catalog>,
    /// Roles.
    pub matrix: Matrix,
}

impl House {
    /// Loads contracts and access matrix.
    ///
    /// # Errors
    /// With every fault of the files.
    pub fn load(config: &Config) -> Result<Self, Error> {
        let catalog = Arc::new(catalog::load(&config.catalog).map_err(Error::Catalog)?);
        let matrix = Matrix::load(&config.catalog, &catalog, plan::reads).map_err(Error::Catalog)?;
        Ok(Self { catalog, matrix })
    }
}

/// A server that runs.
pub struct Running {
    /// Where the public listener is.
    pub public: SocketAddr,
    /// Where the admin listener is.
    pub admin: SocketAddr,
    reloader: Arc<Reloader>,
    draining: Arc<AtomicBool>,
    limiter: Arc<Limiter>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    /// What writes the audit: it ends behind all that it is told of.
    audit: Option<audit::Writing>,
    drain_timeout: Duration,
    /// What goes on beside the listeners, and may end anywhere.
    beside: Vec<JoinHandle<()>>,
}

/// Starts everything; returns when both listeners accept.
///
/// # Errors
/// Whatever keeps Martello from serving what it promises.
pub async fn start(config: Config, metrics: PrometheusHandle) -> Result<Running, Error> {
    let House { catalog, matrix } = House::load(&config)?;
    if config.sources.is_empty() {
        return Err(Error::NoSource);
    }
    for dataset in catalog.iter() {
        if !config.sources.contains_key(dataset.source.as_str()) {
            let (dataset, source_name) = (dataset.name.to_string(), dataset.source.to_string());
            return Err(Error::UnknownSource { dataset, source_name });
        }
    }
    let sources = Sources::open(&config.sources).map_err(Error::Source)?;
    let watcher = match &config.control {
        None => None,
        Some(control) => Some(watcher(control).await.map_err(Error::Store)?),
    };
    let pointer = watcher.as_ref().map_or_else(Pointer::live, Watcher::pointer);
    let mismatches = compare(&catalog, &sources, &pointer).await;
    if !mismatches.is_empty() {
        return Err(Error::Mismatches(mismatches));
    }
    let (keys, rotation) = keys(&config.auth).await?;
    let cursors = cursor_key(&config.paging);

    let redis = match &config.redis {
        None => None,
        Some(redis) => Some(Arc::new(Redis::open(redis).map_err(Error::Redis)?)),
    };
    let store = control_store(&config)?;
    let mut revocations =
        redis.clone().map(|redis| Revocations::new(redis, Arc::clone(&keys), config.auth.revocation_poll));
    if let Some(revocations) = &mut revocations {
        revocations.turn().await;
    }
    let mut roll = store.clone().map(|store| Roll::new(store, pointer.clone(), Arc::clone(&keys)));
    if let Some(roll) = &mut roll {
        roll.turn().await;
    }
    let hints = redis.clone().map(|redis| hinted(redis, pointer.clone()));
    let caches = Caches::new(&config, redis.clone(), &catalog);
    let mask_key = config.access.mask_key.as_ref().map(|secret| MaskKey::new(secret.expose().as_bytes()));
    if matrix.hashes() && mask_key.is_none() {
        return Err(Error::Access(ReloadError::NoMaskKey));
    }
    let door = Door::open(&config.catalog, &catalog, &matrix, &config.graphql).await.map_err(Error::Catalog)?;
    let access = Access::new(matrix);
    let (folder, has_key) = (config.catalog.clone(), mask_key.is_some());
    let audit_store = control_store(&config)?;
    let (auditor, audit) = Auditor::begin(&config.audit, audit_store.clone()).await.map_err(Error::Audit)?;
    let told = auditor.clone();
    let swapped = Box::new(move |before: [u8; 16], now: [u8; 16]| {
        told.record(audit::Event::policy_change("matrix", Some(&before), &now));
    });
    let (contracts, matrices) = (Arc::clone(&catalog), access.clone());
    let reloader = Arc::new(Reloader::new(folder, contracts, matrices, plan::reads, has_key, swapped));
    let engine = Arc::new(Engine {
        caches,
        catalog,
        access,
        masks: mask_key.unwrap_or_else(MaskKey::random),
        sources: sources.clone(),
        pointer,
        cursors,
        count_budget: config.paging.count_budget,
        streams: Streams::new(&config.streams),
    });
    let (stop, stopped) = watch::channel(false);
    let limiter = Limiter::new(redis.clone(), config.limits);
    let shelf = shelf(&config, &engine, &limiter, &auditor)?;
    let files = Arc::new(assets::Door::open(&config.assets).map_err(Error::Links)?);
    let exports = shelf.exports.clone();
    let context = Context::new(engine, keys, Arc::clone(&limiter), auditor, shelf, &config, stopped.clone());

    let http = &config.http;
    let bind = server::Bound::bind;
    let public = bind(http.listen, http.tls.as_ref(), http.connections_max, http).await;
    let public = public.map_err(Error::Server)?;
    let admin = bind(config.admin.listen, config.admin.tls.as_ref(), ADMIN_CONNECTIONS_MAX, http).await;
    let admin = admin.map_err(Error::Server)?;
    let (public_address, admin_address) = (public.address, admin.address);
    // Nothing works for a server that cannot be reached: it would go on when this has failed.
    let making = exports.map(|exports| tokio::spawn(exports.run(stopped.clone())));

    let draining = Arc::new(AtomicBool::new(false));
    let policy = ops::Policy { context: context.clone(), reloader: Arc::clone(&reloader) };
    let publishing = store.map(|store| ops::Publishing { context: context.clone(), store, redis: redis.clone() });
    // Only a table has an order to be asked for.
    let table = audit_store.filter(|_| config.audit.to == config::AuditTo::Table);
    let auditing = ops::Auditing { context: context.clone(), table };
    let draining_too = Arc::clone(&draining);
    let admin_routes =
        ops::routes(ops::Admin { metrics, sources, draining: draining_too, publishing, policy, auditing });
    let mut tasks = vec![
        tokio::spawn(public.serve(
            Front::new(context.clone(), router::public(&context, door, files)),
            stopped.clone(),
            http.drain_timeout,
        )),
        tokio::spawn(admin.serve(admin_routes, stopped, http.drain_timeout)),
    ];
    // What is being made is given back before the process goes.
    tasks.extend(making);
    let beside = (rotation.map(|rotation| tokio::spawn(rotation.run())).into_iter())
        .chain(watcher.map(|watcher| tokio::spawn(watcher.run())))
        .chain(hints.map(tokio::spawn))
        .chain([tokio::spawn(Arc::clone(&reloader).watch(config.access.watch))])
        .chain(revocations.map(|revocations| tokio::spawn(revocations.run())))
        .chain(roll.map(|roll| tokio::spawn(roll.run())))
        .chain([tokio::spawn(Arc::clone(&limiter).run())])
        .chain((config.cache.warm_up > 0).then(|| tokio::spawn(warm_up(context.clone(), config.cache.warm_up))))
        .collect();
    tracing::info!(public = %public_address, admin = %admin_address, "serving");
    let (public, admin, drain_timeout) = (public_address, admin_address, http.drain_timeout);
    Ok(Running { public, admin, reloader, limiter, draining, stop, tasks, audit, drain_timeout, beside })
}

impl Running {
    /// Keeps the access matrix at what its file says.
    #[must_use]
    pub fn reloader(&self) -> Arc<Reloader> {
        Arc::clone(&self.reloader)
    }

    /// Tells the probes first, then stops accepting, then lets requests finish.
    pub async fn drain(self) {
        self.draining.store(true, Ordering::Relaxed);
        tokio::time::sleep(DRAIN_NOTICE).await;
        self.stop().await;
    }

    /// Stops accepting and lets requests finish.
    pub async fn stop(self) {
        // No receiver left means that both listeners have ended by themselves.
        let _ = self.stop.send(true);
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a listener ended in a panic");
            }
        }
        if let Some(audit) = self.audit {
            audit.end(self.drain_timeout).await;
        }
        self.beside.iter().for_each(JoinHandle::abort);
        self.limiter.leave().await;
    }
}

/// Compares contracts with live relations, as far as sources answer.
async fn compare(catalog: &Catalog, sources: &Sources, pointer: &Pointer) -> Vec<Mismatch> {
    let (mut all, versions) = (Vec::new(), pointer.load());
    for dataset in catalog.iter() {
        let published = versions.of(dataset.name.as_str()).map(|version| dataset.over(version.relation.clone()));
        let dataset = published.as_ref().unwrap_or(dataset);
        let Ok(source) = sources.get(&dataset.source) else { continue };
        match tokio::time::timeout(COMPARE_TIMEOUT, source.mismatches(dataset)).await {
            Ok(Ok(mut mismatches)) => all.append(&mut mismatches),
            Ok(Err(error)) => {
                let error = telemetry::chain(&error);
                tracing::warn!(dataset = %dataset.name, error, "a contract could not be compared with its relation");
            }
            Err(_) => {
                tracing::warn!(dataset = %dataset.name, "a contract could not be compared with its relation in time");
            }
        }
    }
    all
}

/// Where a store announces nothing by itself, whoever publishes tells the others by Redis.
async fn hinted(shared: Arc<Redis>, pointer: Pointer) {
    let mut hints = std::pin::pin!(shared.subscribe(redis::PUBLISHED));
    while hints.next().await.is_some() {
        pointer.hint();
    }
}

fn control_store(config: &Config) -> Result<Option<Arc<Store>>, Error> {
    let store = config.control.as_ref().map(|control| Store::open(control.url.expose()).map(Arc::new));
    store.transpose().map_err(Error::Store)
}

/// Files, and who makes more of them where there is a control store.
fn shelf(config: &Config, engine: &Engine, limiter: &Arc<Limiter>, auditor: &Auditor) -> Result<Shelf, Error> {
    let library = Library::new(Files::open(&config.assets.store).map_err(Error::Files)?);
    let exports = control_store(config)?.map(|store| {
        Arc::new(Exports {
            store,
            library: library.clone(),
            catalog: Arc::clone(&engine.catalog),
            access: engine.access.clone(),
            masks: engine.masks.clone(),
            sources: engine.sources.clone(),
            pointer: engine.pointer.clone(),
            limiter: Arc::clone(limiter),
            auditor: auditor.clone(),
            config: config.assets.clone(),
            read: rest::asked_again,
            hinted: Notify::new(),
        })
    });
    Ok(Shelf { library, exports })
}

async fn watcher(control: &config::Control) -> Result<Watcher, store::Error> {
    Watcher::begin(Store::open(control.url.expose())?).await
}

async fn keys(config: &config::Auth) -> Result<(Arc<Keys>, Option<Rotation>), Error> {
    let rules = Rules {
        issuer: config.issuer.clone(),
        audience: config.audience.clone(),
        token_types: config.token_types.clone(),
        leeway: config.leeway,
    };
    if config.hs256.is_none() && config.jwks.is_none() {
        return Err(Error::NoKey);
    }
    let mut keys = Keys::new(rules);
    if let Some(secret) = &config.hs256 {
        keys = keys.with_hs256(secret.expose().as_bytes());
    }
    if let Some(jwks) = &config.jwks {
        keys = keys.remembering_unknown_ids(jwks.unknown_for);
    }
    let keys = Arc::new(keys);
    let Some(jwks) = &config.jwks else { return Ok((keys, None)) };
    let rotation = Rotation::new(Arc::clone(&keys), jwks).map_err(Error::Jwks)?;
    match rotation.turn().await {
        Ok(()) => {}
        // A provider that is out now may be back soon: until then its tokens are refused. A file is ours to mend.
        Err(error @ auth::JwksError::Fetch { .. }) => {
            tracing::warn!(error = %telemetry::chain(&error), "no key set yet");
        }
        Err(error) => return Err(Error::Jwks(error)),
    }
    Ok((keys, Some(rotation)))
}

fn cursor_key(config: &config::Paging) -> CursorKey {
    match &config.cursor_key {
        Some(secret) => CursorKey::new(secret.expose().as_bytes()),
        None => {
            tracing::warn!(
                "paging.cursor_key is not set: cursors end with this process, and serve at no other instance"
            );
            CursorKey::random()
        }
    }
}
