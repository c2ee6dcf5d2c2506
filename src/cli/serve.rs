//! `martello serve`

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::app;
use crate::config::{Config, LogFormat};
use crate::telemetry;

pub(super) async fn serve(config: Config) -> anyhow::Result<()> {
    telemetry::log(&config.log.level, config.log.format == LogFormat::Json).context("set up logs")?;
    let metrics = telemetry::collect().context("set up metrics")?;
    let running = app::start(config, metrics).await.context("start")?;
    until_told().await?;
    running.drain().await;
    Ok(())
}

/// Waits for SIGTERM or Ctrl-C.
pub(super) async fn until_told() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted.context("listen for Ctrl-C"),
    }
}
