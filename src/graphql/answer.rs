//! An answer: what validation and introspection give, facts, and rows, each under its name, in the order of the document.

use std::sync::Arc;

use async_graphql::parser::types::OperationType;
use async_graphql::{Request, Value};
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::future::try_join_all;
use serde_json::json;

use super::document::{Document, Selected};
use super::refusal::Refusal;
use super::request::{Asked, Wording};
use super::schema::{Root, Shape};
use super::{Door, bounds, facts, persisted, question, subscription};
use crate::auth::Principal;
use crate::cache::Key;
use crate::encode::{Coding, Codings, Form, MediaType};
use crate::engine::{Origin, Served, Tag, Tree};
use crate::http::conditional::{etag, matched, matches_any};
use crate::http::problem;
use crate::http::{Access, Accesses, Admission, Context, Problem};
use crate::plan::{End, Plan};
use crate::store::Versions;

const VARY: &str = "Authorization, Accept";

/// Where the value of a root field comes from.
enum Slot {
    /// It is there already.
    Bytes(Bytes),
    /// The part in that place.
    Part(usize),
}

/// Rows that one statement gives.
struct Part {
    plan: Arc<Plan>,
    form: Form,
    tree: Tree,
}

/// One request, believed and read.
pub(super) struct Asking<'a> {
    pub(super) context: &'a Context,
    pub(super) door: &'a Door,
    pub(super) principal: &'a Principal,
    pub(super) admission: &'a Admission,
    pub(super) method: &'a Method,
    pub(super) headers: &'a HeaderMap,
    pub(super) wording: Wording,
    /// Whether the answer is to be events.
    pub(super) streams: bool,
}

/// What a request is made of before anything runs.
struct Prepared {
    slots: Vec<(String, Slot)>,
    parts: Vec<Part>,
    /// Whether facts are among it, which change by themselves.
    has_facts: bool,
    requested: u64,
}

impl Asking<'_> {
    /// Answers, or says why not.
    pub(super) async fn answer(&self, asked: &Asked) -> Result<Response, Refusal> {
        let limits = &self.door.limits;
        let text = self.door.documents.of(asked, self.principal.role(), limits)?;
        let parsed = persisted::parsed(&text, limits)?;
        let document = Document::new(parsed, asked.operation.as_deref(), asked.said())?;
        if document.kind() == OperationType::Mutation {
            let detail = "nothing is changed here: expected a query";
            return Err(Problem::new(problem::METHOD_NOT_ALLOWED, detail).into());
        }
        let subscribes = document.kind() == OperationType::Subscription;
        if subscribes != self.streams {
            let detail =
                if subscribes { "a subscription is answered by events" } else { "events answer subscriptions" };
            let hint = "text/event-stream is for subscriptions, and for nothing else";
            return Err(Problem::new(problem::NOT_ACCEPTABLE, detail).parameter("Accept").hint(hint).into());
        }
        let shape = self.door.shape(self.context, self.principal)?;
        let mut request = Request::new(&*text).variables(document.variables().clone());
        request.set_parsed_query(document.parsed().clone());
        request.operation_name.clone_from(&asked.operation);
        let library = shape.validate(request).await;
        if !library.errors.is_empty() {
            return Err(Refusal::found(library.errors, limits.errors_max));
        }
        if subscribes {
            return subscription::answer(self.context, self.principal, self.headers, shape, document);
        }
        let prepared = self.prepare(&shape, &document, &library.data)?;
        self.within_cost(&prepared)?;
        self.run(prepared).await
    }

    /// Plans everything that is asked.
    fn prepare(&self, shape: &Shape, document: &Document, library: &Value) -> Result<Prepared, Refusal> {
        let engine = &self.context.engine;
        let versions = engine.pointer.load();
        let mut prepared = Prepared { slots: Vec::new(), parts: Vec::new(), has_facts: false, requested: 0 };
        for selected in document.roots()? {
            let slot = match shape.root(selected.name) {
                None => {
                    let value = if let Value::Object(members) = library { members.get(selected.key) } else { None };
                    Slot::Bytes(serde_json::to_vec(&value).unwrap_or_default().into())
                }
                Some(Root::Of(asks, dataset)) => {
                    let told = |problem: Problem| Refusal::of_field(problem, selected.key, selected.pos);
                    let (query, form) = question::of(shape, document, &selected, *asks, dataset).map_err(told)?;
                    let plan = engine.plan(&query, &versions, self.principal);
                    let plan = plan.map_err(|error| told(error.into()))?;
                    // The same question under two names is asked once.
                    let same = |part: &Part| part.plan.fingerprint() == plan.fingerprint() && part.form == form;
                    let place = prepared.parts.iter().position(same);
                    let place = place.unwrap_or_else(|| {
                        prepared.requested = prepared.requested.saturating_add(rows_of(&plan));
                        let tree = Tree::new(form.clone());
                        prepared.parts.push(Part { plan: Arc::new(plan), form, tree });
                        prepared.parts.len() - 1
                    });
                    Slot::Part(place)
                }
                Some(root) => {
                    prepared.has_facts = true;
                    Slot::Bytes(self.facts(root, shape, document, &selected, &versions)?.to_string().into())
                }
            };
            prepared.slots.push((selected.key.to_owned(), slot));
        }
        Ok(prepared)
    }

    fn facts(
        &self,
        root: &Root,
        shape: &Shape,
        document: &Document,
        selected: &Selected<'_>,
        versions: &Versions,
    ) -> Result<serde_json::Value, Problem> {
        let seen = |dataset: &str| shape.known(dataset).is_some();
        let of = |known: &super::schema::Known| facts::of(&known.view, versions, seen);
        let all = if matches!(root, Root::Datasets) {
            shape.all().map(of).collect()
        } else {
            let arguments = document.arguments(selected);
            let name = super::conditions::text(&arguments, "name")?.unwrap_or_default();
            shape.known(&name).map_or(serde_json::Value::Null, of)
        };
        facts::selected(document, &all, "Dataset", &selected.within)
    }

    /// Refuses what would read more rows than the role may ask for at once.
    fn within_cost(&self, prepared: &Prepared) -> Result<(), Refusal> {
        let max = self.principal.role().limits.graphql_cost;
        match max {
            Some(max) if prepared.requested > max => {
                let what = format!("the document asks for up to {} rows", prepared.requested);
                let hint =
                    "ask with a smaller first, of the rows and of those that come with each of them: they multiply";
                Err(bounds::refused("graphql_cost", max, &what, hint).into())
            }
            _ => Ok(()),
        }
    }

    async fn run(&self, prepared: Prepared) -> Result<Response, Refusal> {
        let engine = &self.context.engine;
        let conditional = matches!(*self.method, Method::GET | Method::HEAD);
        let tags = prepared.parts.iter().map(|part| engine.tag(&part.plan, part.tree.clone()));
        let ahead = tags.collect::<Option<Vec<Tag>>>().map(|tags| self.tag(&prepared.slots, &tags));
        if let Some(tag) = ahead.filter(|_| conditional && !matches_any(self.headers))
            && let Some(known) = matched(self.headers, tag, Codings::NONE)
        {
            prepared.parts.iter().for_each(|part| engine.unmodified(&part.plan));
            let mut response = (StatusCode::NOT_MODIFIED, [(header::ETAG, known)]).into_response();
            caching(&mut response, &prepared, &[]);
            response.extensions_mut().insert(Accesses(prepared.parts.iter().map(|part| access(part, None)).collect()));
            return Ok(response);
        }
        if !prepared.parts.is_empty() {
            self.admission.may_deliver(self.context).await?;
        }
        let serve = prepared.parts.iter().map(|part| engine.serve(&part.plan, part.tree.clone()));
        let served = try_join_all(serve).await.map_err(|error| Refusal::from(Problem::from(error.as_ref())))?;
        let tags = served.iter().zip(&prepared.parts).map(|(served, part)| served.tag(&part.plan));
        let tag = tags.collect::<Option<Vec<Tag>>>().map(|tags| self.tag(&prepared.slots, &tags));
        let tag = tag.filter(|_| conditional);
        let known = tag.and_then(|tag| matched(self.headers, tag, Codings::NONE));
        let unmodified = known.is_some();
        let mut response = match known {
            Some(known) => (StatusCode::NOT_MODIFIED, [(header::ETAG, known)]).into_response(),
            None => {
                let mut response = written(&prepared, &served).into_response();
                response.headers_mut().insert(header::CONTENT_TYPE, self.wording.content_type());
                if let Some(tag) = tag {
                    response.headers_mut().insert(header::ETAG, etag(tag, Coding::Identity));
                }
                response
            }
        };
        if tag.is_some() {
            caching(&mut response, &prepared, &served);
        } else {
            private(&mut response);
        }
        let accesses = prepared.parts.iter().zip(&served);
        let accesses = accesses.map(|(part, served)| access(part, Some(served).filter(|_| !unmodified))).collect();
        if !prepared.parts.is_empty() {
            response.extensions_mut().insert(Accesses(accesses));
        }
        Ok(response)
    }

    /// What the ETag of an answer is made of: its names, what is there already, and the tags of its parts.
    fn tag(&self, slots: &[(String, Slot)], tags: &[Tag]) -> Tag {
        let wording = self.wording.content_type();
        let mut all: Vec<&[u8]> = vec![wording.as_bytes()];
        for (key, slot) in slots {
            all.push(key.as_bytes());
            all.push(match slot {
                Slot::Bytes(bytes) => bytes,
                Slot::Part(place) => &tags[*place].bytes,
            });
        }
        Tag { bytes: Key::of(all).0, weak: tags.iter().any(|tag| tag.weak) }
    }
}

/// Rows that a plan may read, with those that come with each.
fn rows_of(plan: &Plan) -> u64 {
    let each = plan.related().iter().fold(1_u64, |sum, related| sum.saturating_add(rows_of(&related.plan)));
    u64::from(plan.limit()).saturating_mul(each)
}

fn access(part: &Part, served: Option<&Served>) -> Access {
    let cache = match served {
        None => "l1",
        Some(served) if served.stale.is_some() => "stale",
        Some(served) => match served.origin {
            Origin::Memory => "l1",
            Origin::Shared => "l2",
            Origin::Source => "source",
        },
    };
    Access {
        plan: Arc::clone(&part.plan),
        rows: served.map_or(0, |served| served.entry.rows as u64),
        related: served.map(|served| served.entry.related.clone()).unwrap_or_default(),
        streamed: None,
        media_type: MediaType::Json,
        cache,
    }
}

/// The body of an answer.
fn written(prepared: &Prepared, served: &[Served]) -> Vec<u8> {
    let bytes: usize = served.iter().map(|served| served.entry.body.len()).sum();
    let mut body = Vec::with_capacity(bytes + 256);
    body.extend_from_slice(b"{\"data\":{");
    for (place, (key, slot)) in prepared.slots.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        // A name of GraphQL needs no escape.
        body.push(b'"');
        body.extend_from_slice(key.as_bytes());
        body.extend_from_slice(b"\":");
        body.extend_from_slice(match slot {
            Slot::Bytes(bytes) => bytes,
            Slot::Part(place) => &served[*place].entry.body,
        });
    }
    let rows = |served: &Served| served.entry.rows as u64 + served.entry.related.iter().sum::<u64>();
    let actual: u64 = served.iter().map(rows).sum();
    let mut extensions = json!({ "cost": { "requested": prepared.requested, "actual": actual } });
    let mut limited: Vec<serde_json::Value> = Vec::new();
    for window in prepared.parts.iter().flat_map(|part| part.plan.windows()) {
        let end = if window.end == End::History { "from" } else { "to" };
        let told = json!({
            "window": window.end.as_str(),
            "dataset": window.dataset.as_str(),
            "column": window.column.as_str(),
            end: window.shown(),
        });
        if !limited.contains(&told) {
            limited.push(told);
        }
    }
    if !limited.is_empty() {
        extensions["limited_by"] = json!(limited);
    }
    if prepared.parts.iter().any(|part| part.plan.version_changed()) {
        extensions["version_changed"] = json!(true);
    }
    body.extend_from_slice(b"},\"extensions\":");
    body.extend_from_slice(extensions.to_string().as_bytes());
    body.push(b'}');
    body
}

fn private(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static(VARY));
}

/// The client's own cache may keep an answer for as long as the contract of every dataset in it says.
fn caching(response: &mut Response, prepared: &Prepared, served: &[Served]) {
    let left = prepared.parts.iter().enumerate().map(|(place, part)| {
        let max_age = part.plan.dataset().cache.max_age.as_secs();
        match served.get(place) {
            Some(served) if served.stale.is_some() => 0,
            Some(served) if part.plan.published_at().is_none() => max_age.saturating_sub(served.age() / 1000),
            _ => max_age,
        }
    });
    let left = left.min().unwrap_or(0);
    private(response);
    if left > 0 && !prepared.has_facts {
        // A number is a header's text.
        if let Ok(control) = HeaderValue::try_from(format!("private, max-age={left}")) {
            response.headers_mut().insert(header::CACHE_CONTROL, control);
        }
    }
}
