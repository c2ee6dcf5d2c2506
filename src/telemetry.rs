//! Logs and metrics: how they are written, not what.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// Upper bounds of duration buckets in seconds: a cached answer takes microseconds, the longest statement seconds.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Why telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The level is no filter.
    #[error("accept log.level {level:?}: expected a level or a filter such as info,sqlx=warn")]
    Level {
        /// The level.
        level: String,
        /// Why not.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// The metrics recorder cannot be built.
    #[error("build the metrics recorder")]
    Metrics(#[source] metrics_exporter_prometheus::BuildError),
}

/// Writes logs to standard error from now on, as JSON objects or for people. A second call in one process changes
/// nothing.
///
/// # Errors
/// When the level is no filter.
pub fn log(level: &str, json: bool) -> Result<(), Error> {
    let filter = EnvFilter::try_new(level).map_err(|source| Error::Level { level: level.to_owned(), source })?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Only a process that already logs refuses, and then its own choice stays.
    let _ = if json {
        subscriber.json().flatten_event(true).with_current_span(true).try_init()
    } else {
        subscriber.compact().try_init()
    };
    Ok(())
}

/// Collects metrics from now on; the handle renders them in Prometheus' text format.
///
/// # Errors
/// When the recorder cannot be built.
pub fn collect() -> Result<PrometheusHandle, Error> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)
        .map_err(Error::Metrics)?;
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    // Only a process that already collects refuses: its first recorder goes on.
    let _ = metrics::set_global_recorder(recorder);
    metrics::describe_counter!("martello_http_requests_total", "Requests by method, route template and status.");
    metrics::describe_histogram!("martello_http_request_seconds", "Time to the head of the answer, by route template.");
    metrics::describe_counter!(
        "martello_http_replayed_total",
        "Answers that were given again whole, with nothing looked up, by route template."
    );
    metrics::describe_counter!("martello_panics_total", "Requests that ended in a panic: each one is a bug.");
    metrics::describe_counter!(
        "martello_jwks_errors_total",
        "Key sets that could not be read; the last good one stays."
    );
    metrics::describe_counter!(
        "martello_revocation_errors_total",
        "Looks for revoked tokens that failed; the last list stays."
    );
    metrics::describe_gauge!(
        "martello_revocation_age_seconds",
        "How long ago the list of revoked tokens was last heard."
    );
    metrics::describe_gauge!("martello_revoked", "Entries of the list of revoked tokens.");
    metrics::describe_counter!(
        "martello_api_keys_errors_total",
        "Looks for API keys that failed; those that were known stay."
    );
    metrics::describe_gauge!("martello_api_keys", "API keys that may be used.");
    metrics::describe_counter!("martello_source_errors_total", "Statements that failed, by source and kind.");
    metrics::describe_histogram!("martello_source_seconds", "Time of a statement to its last row, by source.");
    metrics::describe_counter!("martello_audit_events_total", "Events of the audit that were written.");
    metrics::describe_counter!("martello_audit_lost_total", "Events of the audit that found no room in the queue.");
    metrics::describe_counter!(
        "martello_audit_errors_total",
        "Failures to write events of the audit, or to forget old ones."
    );
    metrics::describe_counter!("martello_store_errors_total", "Looks into the control store that failed.");
    metrics::describe_gauge!("martello_store_age_seconds", "How long ago the control store was last heard of.");
    metrics::describe_gauge!("martello_dataset_version", "The number of the version that is served, by dataset.");
    metrics::describe_gauge!(
        "martello_dataset_version_age_seconds",
        "How long ago the version that is served was published, by dataset."
    );
    Ok(handle)
}

/// An error and its causes, on one line, for a log.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
