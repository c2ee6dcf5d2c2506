//! The real server on a free port over real databases, asked over HTTP. `./scripts/test` brings what is needed.
#![allow(unreachable_pub, reason = "a test binary has no one to reach")]

mod architecture;
mod conformance;
mod faults;
mod pagination;
mod permissions;
mod plans;
mod postgres;
mod support;
