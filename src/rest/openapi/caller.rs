//! Schemas of what a caller is told of themselves: the shape of `rest/me.rs`, member by member.

use utoipa::openapi::schema::ObjectBuilder;

use super::schema::{
    Named, components, count, described, flag, instant, list, named, nullable, nullable_count, object, text, word,
};
use crate::limit::Policy;

pub(super) fn schemas() -> Vec<Named> {
    let quota = |what: &str| nullable_count(&format!("{what} at most; null where nothing bounds them.")).into();
    let limits = object(
        "What you may use up.",
        [
            ("requests_per_second", quota("Requests in a second")),
            ("requests_per_day", quota("Requests in a day of UTC")),
            ("rows_per_day", quota("Rows in a day of UTC")),
            ("export_bytes_per_day", quota("Bytes of exports in a day of UTC")),
            ("concurrent_requests", quota("Requests under way at once")),
            ("graphql_cost", quota("Rows that one GraphQL request may cost")),
        ],
    );
    let column = object(
        "A column that you may see.",
        [
            ("name", described("Its name.").into()),
            ("mask", nullable("How its values are masked; null where they are shown as they are.").into()),
        ],
    );
    let dataset = object(
        "What you may have of a dataset.",
        [
            ("name", described("Its name.").into()),
            ("columns", list("The columns that you may see.", named("CallerColumn"))),
            ("history", nullable("How far back its time reaches for you; null for all of it.").into()),
            ("delay", nullable("How late you see what became known; null for at once.").into()),
            ("revision", nullable("The one revision of each fact that there is for you; null for all.").into()),
            ("formats", list("The formats that you may have its rows in.", text())),
            ("rows_per_request", count("Rows of one answer at most.").into()),
            ("aggregate", flag("Whether groups of rows may be asked for.").into()),
            ("export", flag("Whether all rows may be had at once.").into()),
            ("decision", described("Names how this was decided. Quote it when you ask why.").into()),
        ],
    );
    let tier = word("Clients, or the house itself.", ["client", "internal"]);
    let caller = object(
        "Who you are here.",
        [
            ("subject", described("Whom your token names.").into()),
            ("role", described("Your role.").into()),
            ("tier", ObjectBuilder::from(tier).into()),
            ("description", described("What the role is for.").into()),
            ("graphql", flag("Whether you may call GraphQL.").into()),
            ("limits", named("CallerLimits")),
            ("datasets", list("Every dataset that you may ask.", named("CallerDataset"))),
        ],
    );
    let policy = object(
        "A quota, and what is left of it.",
        [
            ("policy", described("Its name in the headers.").examples(Policy::ALL.map(Policy::name)).into()),
            ("quota", count("What there is in a window.").into()),
            ("used", count("What is used up of it, by you or for you.").into()),
            ("remaining", count("What is left of it.").into()),
            ("window_seconds", count("How long a window is.").into()),
            ("resets_at", nullable("When the next window begins.").format(instant()).into()),
        ],
    );
    let usage = object(
        "What you have used up.",
        [
            ("policies", list("Every quota that you have.", named("UsagePolicy"))),
            ("rows_today", nullable_count("Rows of today; null where they are not counted.").into()),
        ],
    );
    components([
        ("CallerDetail", object("You.", [("data", named("Caller"))])),
        ("Caller", caller),
        ("CallerLimits", limits),
        ("CallerDataset", dataset),
        ("CallerColumn", column),
        ("UsageDetail", object("What you have used up.", [("data", named("Usage"))])),
        ("Usage", usage),
        ("UsagePolicy", policy),
    ])
}
