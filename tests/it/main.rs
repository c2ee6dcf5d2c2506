//! The real server on a free port over real databases, asked over HTTP. `./scripts/test` brings what is needed.

mod pagination;
mod support;
