//! Martello serves curated tables as a governed public data API: one contract a dataset, one access matrix, one binary.
//!
//! A request goes one way: a door writes a [`query::Query`], [`plan`] joins it with the caller's grant, a [`source`]
//! yields record batches, [`encode`] writes them. ARCHITECTURE.md walks one request through every floor.

pub mod app;
pub mod assets;
pub mod audit;
pub mod auth;
pub mod bounded;
pub mod cache;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod config;
pub mod encode;
pub mod engine;
pub mod graphql;
pub mod http;
pub mod limit;
pub mod migrate;
pub mod name;
pub mod ops;
pub mod plan;
pub mod publish;
pub mod query;
pub mod random;
pub mod redis;
pub mod rest;
pub mod source;
pub mod store;
pub mod telemetry;
