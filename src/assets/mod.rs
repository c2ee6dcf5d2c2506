//! The door of files: what there is to fetch, links that end, and the bytes behind them.

mod catalog;
mod origin;
mod range;
mod sign;

use axum::Router;
use axum::extract::Extension;
use axum::http::HeaderValue;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time;

use crate::config;
use crate::http::{Context, Problem};

pub use sign::{Error, Signer};

/// Where files are behind this server's address, or a CDN's.
const PREFIX: &str = "/assets/";

/// What this door knows beside what all doors know.
pub struct Door {
    signer: Signer,
    /// Where readers fetch files; this server where it is empty.
    base: String,
    ttl: Duration,
    origin_key: Option<config::Secret>,
}

impl Door {
    /// The door of the configuration.
    ///
    /// # Errors
    /// When links cannot be signed.
    pub fn open(config: &config::Assets) -> Result<Self, Error> {
        Ok(Self {
            signer: Signer::open(&config.signer)?,
            base: config.public_url.clone().unwrap_or_default(),
            ttl: config.signer.ttl,
            origin_key: config.origin_key.clone(),
        })
    }

    /// Whether what came shows that its sender may have the file: a link of ours that has not ended, or the key of a CDN
    /// that has looked at one.
    fn admits(&self, path: &str, query: &str, key: Option<&HeaderValue>) -> bool {
        let expected = self.origin_key.as_ref().map(|key| key.expose().as_bytes());
        let by_key = expected
            .zip(key)
            .is_some_and(|(expected, key)| constant_time::verify_slices_are_equal(expected, key.as_bytes()).is_ok());
        by_key || self.signer.knows(path, query, crate::clock::unix_millis() / 1000)
    }
}

/// What a caller asks with a token.
pub fn routes(door: Arc<Door>) -> Router<Context> {
    let fetch = get(catalog::fetch).layer(Extension(door));
    Router::new().route("/v1/assets", get(catalog::list)).route("/v1/assets/{id}", fetch)
}

/// What anybody fetches with a link. Any page of any origin may: the link is the permission.
pub fn origin(door: Arc<Door>) -> Router<Context> {
    Router::new().route("/assets/{*path}", any(origin::serve).layer(Extension(door)))
}

/// The answer, or the problem as one.
fn answered(result: Result<Response, Problem>) -> Response {
    result.unwrap_or_else(Problem::into_response)
}
