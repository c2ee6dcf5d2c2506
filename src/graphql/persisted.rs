//! Documents that are known by their hash: those of the catalog, which roles of clients ask by, and those that callers of
//! the house have sent along with it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use async_graphql::Request;
use async_graphql::parser::parse_query;
use async_graphql::parser::types::{ExecutableDocument, OperationType};
use aws_lc_rs::digest;

use super::bounds;
use super::refusal::Refusal;
use super::request::Asked;
use super::schema::Shape;
use crate::auth::{Matrix, Role, Tier};
use crate::bounded::Bounded;
use crate::catalog::yaml::Fault;
use crate::catalog::{self, Catalog};
use crate::config;
use crate::http::Problem;
use crate::http::problem;

/// The folder of documents, in the catalog's.
const FOLDER: &str = "documents";
/// What stands around a document in memory, about.
const AROUND: usize = 160;

/// Documents by their hash.
pub(super) struct Documents {
    registered: HashMap<String, Arc<str>>,
    automatic: Bounded<String, Arc<str>>,
}

/// The SHA-256 of a document, in hexadecimal.
fn hash(text: &str) -> String {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    let digits = digest.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

impl Documents {
    /// Reads the catalog's documents, and holds each against the schema of every role of clients that may call GraphQL.
    pub(super) async fn load(
        folder: &Path,
        catalog: &Catalog,
        matrix: &Matrix,
        limits: &config::Graphql,
    ) -> Result<Self, catalog::Error> {
        let folder = folder.join(FOLDER);
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |source| catalog::Error::Unreadable { path, source }
        };
        let mut files = Vec::new();
        if folder.is_dir() {
            for entry in std::fs::read_dir(&folder).map_err(unreadable(&folder))? {
                let path = entry.map_err(unreadable(&folder))?.path();
                if path.extension().is_some_and(|ending| ending == "graphql") {
                    files.push(path);
                }
            }
        }
        files.sort();
        let reads = |role: &&Arc<Role>| role.graphql && role.tier == Tier::Client && !files.is_empty();
        let roles = matrix.roles().filter(reads);
        let shapes: Vec<(&Role, Shape)> =
            roles.filter_map(|role| Some((&**role, Shape::of(catalog, role).ok()?))).collect();
        let (mut registered, mut faults) = (HashMap::new(), Vec::new());
        for file in files {
            let text = std::fs::read_to_string(&file).map_err(unreadable(&file))?;
            let found = faults_of(&text, &shapes, limits).await;
            let fault = |(line, key, expected)| Fault { file: file.clone(), line, key, expected };
            faults.extend(found.into_iter().map(fault));
            // A client takes the file as it is, or without what an editor leaves at its end.
            let text: Arc<str> = text.into();
            registered.insert(hash(text.trim()), Arc::clone(&text));
            registered.insert(hash(&text), text);
        }
        if !faults.is_empty() {
            return Err(catalog::Error::Faults(faults));
        }
        let weigh = |hash: &String, text: &Arc<str>| (hash.len() + text.len() + AROUND) as u64;
        Ok(Self { registered, automatic: Bounded::new(limits.automatic_bytes_max, weigh) })
    }

    /// The document that is asked by.
    pub(super) fn of(&self, asked: &Asked, role: &Role, limits: &config::Graphql) -> Result<Arc<str>, Problem> {
        let unknown = || Problem::new(problem::DOCUMENT_NOT_FOUND, "PersistedQueryNotFound");
        let registered_only = role.tier == Tier::Client && limits.client_documents_only;
        match (&asked.document, &asked.hash) {
            (None, None) => Err(Problem::new(problem::MALFORMED_REQUEST, "expected a document").parameter("query")),
            (None, Some(hash)) => {
                let known = self.registered.get(hash).cloned();
                known.or_else(|| self.automatic.get(hash).filter(|_| !registered_only)).ok_or_else(unknown)
            }
            (Some(text), given) => {
                bounds::of_text(text, limits)?;
                let own = hash(text);
                if given.as_ref().is_some_and(|given| *given != own) {
                    let place = "extensions.persistedQuery.sha256Hash";
                    return Err(
                        Problem::new(problem::MALFORMED_REQUEST, "the hash is of another document").parameter(place)
                    );
                }
                let trimmed = Some(text.trim()).filter(|trimmed| trimmed.len() != text.len());
                let known = self.registered.get(&own);
                let known = known.or_else(|| self.registered.get(&hash(trimmed?)));
                if let Some(known) = known {
                    return Ok(Arc::clone(known));
                }
                if registered_only {
                    return Err(Problem::new(problem::DOCUMENT_NOT_REGISTERED, "the document is not registered"));
                }
                let text: Arc<str> = text.as_str().into();
                if given.is_some() {
                    self.automatic.insert(own, Arc::clone(&text));
                }
                Ok(text)
            }
        }
    }
}

/// Parses a document within its bounds.
pub(super) fn parsed(text: &str, limits: &config::Graphql) -> Result<ExecutableDocument, Refusal> {
    bounds::of_text(text, limits)?;
    let parsed = parse_query(text).map_err(|error| Refusal::found(vec![error.into()], 1))?;
    bounds::of_document(&parsed, limits)?;
    Ok(parsed)
}

/// What keeps any of those roles from asking by a document: where, who, and why.
async fn faults_of(text: &str, shapes: &[(&Role, Shape)], limits: &config::Graphql) -> Vec<(u64, String, String)> {
    let parsed = match parsed(text, limits) {
        Ok(parsed) => parsed,
        Err(refusal) => {
            let (line, message) = refusal.message();
            return vec![(line, "document".into(), message)];
        }
    };
    let mut faults = Vec::new();
    for (name, operation) in parsed.operations.iter() {
        if operation.node.ty == OperationType::Mutation {
            let expected = "expected queries and subscriptions only";
            faults.push((operation.pos.line as u64, "document".into(), expected.into()));
            continue;
        }
        for (role, shape) in shapes {
            let mut request = Request::new(text);
            request.set_parsed_query(parsed.clone());
            request.operation_name = name.map(ToString::to_string);
            let answer = shape.validate(request).await;
            if !answer.errors.is_empty() {
                let (line, message) = Refusal::found(answer.errors, 1).message();
                faults.push((line, role.name.clone(), message));
            }
        }
    }
    faults
}
