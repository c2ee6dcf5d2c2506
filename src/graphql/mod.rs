//! The GraphQL door: documents to the questions that every door writes, and their answers put together. Nothing of planning
//! or permission.
//!
//! A library has the types, parses, validates and introspects. It resolves no field: a root field is one `Query` and one
//! way to write its answer, however much is selected in it.

mod answer;
mod bounds;
mod conditions;
mod document;
mod facts;
mod page;
mod persisted;
mod question;
mod refusal;
mod request;
mod schema;
mod subscription;

use std::path::Path;
use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{FromRequestParts as _, Request, State};
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};

use crate::auth::{Matrix, Principal, Role};
use crate::bounded::Bounded;
use crate::catalog::{self, Catalog};
use crate::config;
use crate::http::problem;
use crate::http::{Admission, Caller, Context, Problem};

use answer::Asking;
use persisted::Documents;
use refusal::Refusal;
use request::Wording;
use schema::Shape;

/// What this door keeps: schemas of what roles may see, and documents that are known by their hash.
pub struct Door {
    limits: config::Graphql,
    documents: Documents,
    shapes: Bounded<([u8; 16], String), Arc<Shape>>,
}

impl Door {
    /// Opens the door. Documents of the catalog are held against the schemas of those who ask by them.
    ///
    /// # Errors
    /// With every fault of the documents.
    pub async fn open(
        folder: &Path,
        catalog: &Catalog,
        matrix: &Matrix,
        limits: &config::Graphql,
    ) -> Result<Arc<Self>, catalog::Error> {
        let documents = Box::pin(Documents::load(folder, catalog, matrix, limits)).await?;
        let shapes = Bounded::new(limits.schemas_max, |_, _| 1);
        Ok(Arc::new(Self { limits: limits.clone(), documents, shapes }))
    }

    /// What the caller may see. It is the role's, never the caller's own.
    fn shape(&self, context: &Context, principal: &Principal) -> Result<Arc<Shape>, Problem> {
        let (catalog, role) = (&context.engine.catalog, principal.role());
        let made = || {
            Shape::of(catalog, role).map(Arc::new).map_err(|error| {
                tracing::error!(role = role.name, error, "a role has no GraphQL schema");
                problem::internal()
            })
        };
        let matrix = context.engine.access.load();
        // A role of the matrix before has its name, and sees something else.
        if !matrix.role(&role.name).is_some_and(|now| std::ptr::eq(&raw const **now, role)) {
            return made();
        }
        let key = (matrix.id(), role.name.clone());
        if let Some(known) = self.shapes.get(&key) {
            return Ok(known);
        }
        let shape = made()?;
        self.shapes.insert(key, Arc::clone(&shape));
        Ok(shape)
    }
}

/// The schema of what a role may see, as a document.
///
/// # Errors
/// When the library takes a name of the catalog for none of GraphQL's.
pub fn sdl(catalog: &Catalog, role: &Role) -> Result<String, String> {
    Ok(Shape::of(catalog, role)?.sdl())
}

/// The routes of this door.
pub fn routes(door: Arc<Door>) -> Router<Context> {
    let door = get(look_or_ask).post(ask).layer(Extension(door));
    Router::new().route("/graphql", door).route("/graphql/{file}", get(page::asset))
}

/// `GET /graphql`: the editor for a browser that goes there, an answer for whoever asks.
async fn look_or_ask(
    State(context): State<Context>,
    door: Extension<Arc<Door>>,
    request: Request,
) -> Result<Response, Problem> {
    if page::is_wanted(request.method(), request.uri(), request.headers()) {
        return Ok(page::page());
    }
    let (mut head, body) = request.into_parts();
    let caller = Caller::from_request_parts(&mut head, &context).await?;
    ask(State(context), door, caller, Request::from_parts(head, body)).await
}

/// `GET` and `POST /graphql`
async fn ask(
    State(context): State<Context>,
    Extension(door): Extension<Arc<Door>>,
    Caller(principal): Caller,
    request: Request,
) -> Result<Response, Problem> {
    if !principal.role().graphql {
        let detail = "your role may not call GraphQL";
        return Err(Problem::new(problem::GRAPHQL_NOT_GRANTED, detail).hint("the REST endpoints are under /v1"));
    }
    let (head, body) = request.into_parts();
    let streams = subscription::is_accepted(&head.headers);
    // What is refused before there is any event is worded as ever.
    let wording = if streams { Wording::Response } else { Wording::of(&head.headers)? };
    let body = to_bytes(body, context.limits.body_bytes_max).await;
    let body = body.map_err(|_| Problem::new(problem::MALFORMED_REQUEST, "the body broke off"))?;
    let admission = head.extensions.get::<Admission>().cloned().unwrap_or_default();
    let asking = Asking {
        context: &context,
        door: &door,
        principal: &principal,
        admission: &admission,
        method: &head.method,
        headers: &head.headers,
        wording,
        streams,
    };
    let asked = match request::read(&head.method, head.uri.query(), &head.headers, &body) {
        Ok(asked) => asked,
        Err(problem) => return Ok(Refusal::malformed(problem).into_response(wording)),
    };
    Ok(match Box::pin(asking.answer(&asked)).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(wording),
    })
}
