//! The real server on a free port over real databases, asked over HTTP. `./scripts/test` brings what is needed.
#![allow(unreachable_pub, reason = "a test binary has no one to reach")]

mod architecture;
mod bodies;
mod browser;
mod caching;
mod clickhouse;
mod commands;
mod conformance;
mod demo;
mod differential;
mod events;
mod examples;
mod faults;
mod formats;
mod frames;
mod hostile;
mod language;
mod limits;
mod load;
mod migrations;
mod openapi;
mod pagination;
mod permissions;
mod plans;
mod postgres;
mod problems;
mod programs;
mod publish;
mod sdk;
mod search;
mod shapes;
mod streams;
mod support;
mod tls;
mod tokens;
mod twins;
