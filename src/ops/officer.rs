//! Who looks after access: one role, behind all that is theirs.

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;

use crate::http::problem;
use crate::http::{Caller, Context, Problem};

/// The one role that reads the audit and changes who sees what.
const ROLE: &str = "security_officer";

/// A caller who may.
pub(super) struct Officer;

impl<S: Sync> FromRequestParts<S> for Officer
where
    Context: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Caller(principal) = Caller::from_request_parts(parts, &Context::from_ref(state)).await?;
        if principal.role().name == ROLE {
            return Ok(Self);
        }
        Err(Problem::new(problem::NOT_AN_OFFICER, format!("your role is {}", principal.role().name)))
    }
}
