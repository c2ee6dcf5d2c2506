//! An answer: what validation and introspection give, facts, and rows, each under its name, in the order of the document.

use std::sync::{Arc, Weak};

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
use crate::encode::{Coding, Form, MediaType};
use crate::engine::{Origin, Served, Tag, Tree, Writing};
use crate::http::conditional::{codings, etag, matched, matches_any};
use crate::http::problem;
use crate::http::{Access, Accesses, Admission, Context, Problem, Questions, Replay};
use crate::plan::{End, Plan};
use crate::store::Versions;

const VARY: &str = "Authorization, Accept, Accept-Encoding";
/// What a part takes in memory besides the words that it is of, in their bytes.
const PART_BYTES: usize = 1024;

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

/// What a request is made of before anything runs: what a document means to whoever has that standing.
struct Prepared {
    slots: Vec<(String, Slot)>,
    parts: Vec<Part>,
    /// Whether facts are among it, which change by themselves.
    has_facts: bool,
    requested: u64,
    /// The snapshot that it was planned with. Only looked at for its place: one that nobody else holds is let go.
    versions: Weak<Versions>,
}

impl Prepared {
    /// Whether the same document would mean the same now.
    fn holds(&self, versions: &Arc<Versions>) -> bool {
        std::ptr::eq(self.versions.as_ptr(), Arc::as_ptr(versions))
            && self.parts.iter().all(|part| part.plan.until().is_none_or(|until| crate::clock::now() < until))
    }
}

impl Asking<'_> {
    /// Answers, or says why not.
    pub(super) async fn answer(&self, asked: &Asked) -> Result<Response, Refusal> {
        let text = self.door.documents.of(asked, self.principal.role(), &self.door.limits)?;
        let versions = self.context.engine.pointer.load();
        let variables = serde_json::to_vec(&asked.variables).expect("what was read from JSON is JSON");
        let operation = asked.operation.as_ref().map_or([&[][..], b""], |name| [name.as_bytes(), b"named"]);
        let words = [b"graphql", text.as_bytes(), operation[0], operation[1], &variables];
        let (key, questions) = (Questions::key(self.principal, &words), &self.context.questions);
        // What is remembered was no subscription.
        let known = if self.streams { None } else { questions.get::<Prepared>(key) };
        if let Some(known) = known.filter(|known| known.holds(&versions)) {
            return self.run(&known, asked.explain).await;
        }
        let document = self.document(&text, asked)?;
        let shape = self.door.shape(self.context, self.principal)?;
        let mut request = Request::new(&*text).variables(document.variables().clone());
        request.set_parsed_query(document.parsed().clone());
        request.operation_name.clone_from(&asked.operation);
        let library = shape.validate(request).await;
        if !library.errors.is_empty() {
            return Err(Refusal::found(library.errors, self.door.limits.errors_max));
        }
        if self.streams {
            return subscription::answer(self.context, self.principal, self.headers, shape, document);
        }
        let prepared = Arc::new(self.prepare(&shape, &document, &library.data, &versions)?);
        self.within_cost(&prepared)?;
        if !prepared.has_facts {
            let bytes = text.len() + variables.len() + prepared.parts.len() * PART_BYTES;
            questions.insert(key, bytes, Arc::clone(&prepared));
        }
        self.run(&prepared, asked.explain).await
    }

    /// The document, if it asks for what is answered in this way.
    fn document(&self, text: &str, asked: &Asked) -> Result<Document, Refusal> {
        let parsed = persisted::parsed(text, &self.door.limits)?;
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
        Ok(document)
    }

    /// Plans everything that is asked.
    fn prepare(
        &self,
        shape: &Shape,
        document: &Document,
        library: &Value,
        versions: &Arc<Versions>,
    ) -> Result<Prepared, Refusal> {
        let engine = &self.context.engine;
        let mut prepared = Prepared {
            slots: Vec::new(),
            parts: Vec::new(),
            has_facts: false,
            requested: 0,
            versions: Arc::downgrade(versions),
        };
        for selected in document.roots()? {
            let slot = match shape.root(selected.name) {
                None => {
                    let value = if let Value::Object(members) = library { members.get(selected.key) } else { None };
                    Slot::Bytes(serde_json::to_vec(&value).unwrap_or_default().into())
                }
                Some(Root::Of(asks, dataset)) => {
                    let told = |problem: Problem| Refusal::of_field(problem, selected.key, selected.pos);
                    let (query, form) = question::of(shape, document, &selected, *asks, dataset).map_err(told)?;
                    let plan = engine.plan(&query, versions, self.principal);
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
                    Slot::Bytes(self.facts(root, shape, document, &selected, versions)?.to_string().into())
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

    async fn run(&self, prepared: &Prepared, explain: bool) -> Result<Response, Refusal> {
        let engine = &self.context.engine;
        let explained = if explain { Some(self.explained(prepared).await?) } else { None };
        let conditional = matches!(*self.method, Method::GET | Method::HEAD) && !explain;
        let codings = codings(self.headers);
        let tags = prepared.parts.iter().map(|part| engine.tag(&part.plan, part.tree.clone()));
        let ahead = tags.collect::<Option<Vec<Tag>>>().map(|tags| self.tag(&prepared.slots, &tags));
        if let Some(tag) = ahead.filter(|_| conditional && !matches_any(self.headers))
            && let Some(known) = matched(self.headers, tag, codings)
        {
            prepared.parts.iter().for_each(|part| engine.unmodified(&part.plan));
            let mut response = (StatusCode::NOT_MODIFIED, [(header::ETAG, known)]).into_response();
            caching(&mut response, prepared, &[]);
            self.again(&mut response, prepared, Bytes::new());
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
        let tag = tag.filter(|_| !explain);
        let known = tag.filter(|_| conditional).and_then(|tag| matched(self.headers, tag, codings));
        let unmodified = known.is_some();
        let (mut response, body) = match known {
            Some(known) => ((StatusCode::NOT_MODIFIED, [(header::ETAG, known)]).into_response(), Bytes::new()),
            None => {
                let whole = Bytes::from(written(prepared, &served, explained));
                let (coding, body) = engine.packed_whole(whole, tag.map(|tag| tag.bytes), codings, &served).await;
                let mut response = body.clone().into_response();
                let headers = response.headers_mut();
                headers.insert(header::CONTENT_TYPE, self.wording.content_type());
                if coding != Coding::Identity {
                    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
                }
                if let Some(tag) = tag.filter(|_| conditional) {
                    headers.insert(header::ETAG, etag(tag, coding));
                }
                (response, body)
            }
        };
        if tag.is_some() && conditional {
            caching(&mut response, prepared, &served);
        } else {
            private(&mut response);
        }
        if tag.is_some() && served.iter().all(|served| served.origin == Origin::Memory && served.stale.is_none()) {
            self.again(&mut response, prepared, body);
        }
        let accesses = prepared.parts.iter().zip(&served);
        let accesses = accesses.map(|(part, served)| access(part, Some(served).filter(|_| !unmodified))).collect();
        if !prepared.parts.is_empty() {
            response.extensions_mut().insert(Accesses(accesses));
        }
        Ok(response)
    }

    /// How each field with rows is answered, under its name.
    async fn explained(&self, prepared: &Prepared) -> Result<serde_json::Value, Refusal> {
        let mut all = serde_json::Map::new();
        for (key, slot) in &prepared.slots {
            if let Slot::Part(place) = slot {
                let told = self.context.engine.explain(&prepared.parts[*place].plan).await.map_err(Problem::from)?;
                let mut told: serde_json::Value =
                    serde_json::from_slice(&told.body).map_err(|_| problem::internal())?;
                all.insert(key.clone(), told["data"].take());
            }
        }
        Ok(all.into())
    }

    /// Says of an answer from memory how it may be given again. Of a live dataset, and with facts in it, it may not.
    fn again(&self, response: &mut Response, prepared: &Prepared, body: Bytes) {
        let published = prepared.parts.iter().all(|part| part.plan.published_at().is_some());
        if prepared.parts.is_empty() || prepared.has_facts || !published {
            return;
        }
        let moved = prepared.parts.iter().filter_map(|part| part.plan.until());
        let until = moved.filter_map(|until| u64::try_from(until.as_millisecond()).ok()).min();
        let parts = prepared.parts.iter();
        let parts = parts.map(|part| (self.context.engine.tally(&part.plan), Writing::from(part.tree.clone())));
        response.extensions_mut().insert(Replay {
            body,
            versions: Weak::clone(&prepared.versions),
            until: until.unwrap_or(u64::MAX),
            parts: parts.collect(),
        });
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
fn written(prepared: &Prepared, served: &[Served], explained: Option<serde_json::Value>) -> Vec<u8> {
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
    if let Some(explained) = explained {
        extensions["explain"] = explained;
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
