//! The limits of GraphQL documents.

use serde::{Deserialize, Serialize};

/// What one GraphQL document may be at most, and who may send one that nobody has registered.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Graphql {
    /// Whether roles of clients ask by documents of the catalog alone. `true`.
    pub client_documents_only: bool,
    /// Tokens of a document. 5000.
    pub tokens_max: usize,
    /// Fields inside each other. 10.
    pub depth_max: usize,
    /// Fields, with every fragment in its places. 1000.
    pub fields_max: usize,
    /// Fields of the operation itself. 10.
    pub root_fields_max: usize,
    /// Aliases. 30.
    pub aliases_max: usize,
    /// Directives. 20.
    pub directives_max: usize,
    /// Fragments with names. 20.
    pub fragments_max: usize,
    /// Errors that are told of one document. 10.
    pub errors_max: usize,
    /// Documents that callers of the house have sent by their hash are kept up to so much. `4MiB`.
    #[serde(with = "crate::config::size::text")]
    pub automatic_bytes_max: u64,
    /// Schemas of roles that are kept. 64.
    pub schemas_max: u64,
}

impl Default for Graphql {
    fn default() -> Self {
        Self {
            client_documents_only: true,
            tokens_max: 5000,
            depth_max: 10,
            fields_max: 1000,
            root_fields_max: 10,
            aliases_max: 30,
            directives_max: 20,
            fragments_max: 20,
            errors_max: 10,
            automatic_bytes_max: 4 * 1024 * 1024,
            schemas_max: 64,
        }
    }
}
