//! `martello serve`

use anyhow::Context as _;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app;
use crate::auth::Reloader;
use crate::config::{Config, LogFormat};
use crate::telemetry;

pub(super) async fn serve(config: Config) -> anyhow::Result<()> {
    telemetry::log(&config.log.level, config.log.format == LogFormat::Json).context("set up logs")?;
    let metrics = telemetry::collect().context("set up metrics")?;
    let running = Box::pin(app::start(config, metrics)).await.context("start")?;
    let hangups = signal(SignalKind::hangup()).context("listen for SIGHUP")?;
    let reloading = tokio::spawn(reload(hangups, running.reloader()));
    until_told().await?;
    reloading.abort();
    running.drain().await;
    Ok(())
}

/// Takes the access matrix anew on every SIGHUP, as daemons do with what they are configured by.
async fn reload(mut hangups: Signal, reloader: Arc<Reloader>) {
    while hangups.recv().await.is_some() {
        // What is wrong with it was told where it was found.
        let _ = reloader.turn();
    }
}

/// Waits for SIGTERM or Ctrl-C.
pub(super) async fn until_told() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted.context("listen for Ctrl-C"),
    }
}
