//! Random matrices and random questions: what a role is answered is what somebody who sees everything would be answered in
//! a world where only its rows and columns exist, and masked values are what masks make of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::hmac;
use futures_util::{StreamExt as _, stream};
use jiff::ToSpan as _;
use martello::auth::{Claims, Mask};
use martello::catalog::{self, Bucket, Catalog, Dataset, Type};
use martello::query::{Comparison, Count, Direction, Expansion, Filter, Limit, Operand, Query, Revision};
use serde_json::{Map, Value as Json, json};

use super::dice::Dice;
use super::document;
use super::houses::Houses;
use super::question::{self, Question, Theme, float_key};
use super::reference::{self, holds};
use super::value::{Cell, Form, MICROS_PER_DAY, Value, date, days};
use super::verdict::{self, Expected};
use super::world::{Row, World};
use super::{AT_ONCE, FAILURES_MAX, LIMIT_DEFAULT, each};
use crate::support::{Answer, SECRET, repository};

static STREAMING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

const ROLES: u64 = 14;
const QUESTIONS: u64 = 60;

/// One role as it was drawn: what the matrix says of it, and the world that it is to see.
struct Drawn {
    name: String,
    claims: Claims,
    form: Json,
    grants: BTreeMap<String, Granted>,
    world: World,
}

/// What the role has of one dataset.
struct Granted {
    revision: Option<Revision>,
    aggregates: bool,
    hidden: Vec<String>,
    masks: BTreeMap<String, Mask>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_matrices_answer_random_questions_as_brute_force_does() {
    let whole = World::make();
    let drawn: Vec<Drawn> = (0..ROLES).map(|seed| draw(&whole, seed)).collect();
    let matrix = json!({ "roles": drawn.iter().map(|role| &role.form).collect::<Vec<_>>() });
    let houses = Houses::open_with(&matrix.to_string()).await;
    let asked = drawn.iter().flat_map(|role| (0..QUESTIONS).map(move |seed| (role, seed)));
    let checks = stream::iter(asked).map(|(role, seed)| check(&houses, role, seed)).buffer_unordered(AT_ONCE);
    let checked: Vec<Result<usize, String>> = checks.collect().await;
    let mut failures: Vec<String> = checked.iter().filter_map(|checked| checked.clone().err()).collect();
    let found = checked.iter().filter(|checked| checked.as_ref().is_ok_and(|rows| *rows > 0)).count();
    for role in &drawn {
        failures.extend(closed(&houses, role).await);
    }
    houses.close().await;
    let told = failures[..failures.len().min(FAILURES_MAX)].join("\n\n");
    assert!(failures.is_empty(), "{} differ\n\n{told}", failures.len());
    assert!(found * 4 > checked.len(), "only {found} of {} questions find anything", checked.len());
    let all = || drawn.iter().flat_map(|role| role.grants.values());
    assert!(all().any(|grant| grant.revision.is_some()) && all().any(|grant| !grant.aggregates));
    assert!(all().map(|grant| grant.masks.len()).sum::<usize>() > 20, "few masks were drawn");
}

/// One question of a role; how many rows it has.
async fn check(houses: &Houses, role: &Drawn, seed: u64) -> Result<usize, String> {
    let dice = &mut Dice::seeded(seed << 16 | 0x706f);
    let theme = dice.pick(&[Theme::Rows, Theme::Rows, Theme::Groups, Theme::Revisions, Theme::Related]);
    let question = loop {
        let question = Question::throw(dice, &role.world, theme);
        if role.grants.contains_key(&question.query.dataset) {
            break question;
        }
    };
    let wording = question.word(dice);
    let answers = houses.ask_as(&role.name, &role.claims, &wording.target, wording.body.as_deref()).await;
    let failed = |error: String| {
        let body = wording.body.as_deref().map(|body| format!("\n  body {body}")).unwrap_or_default();
        format!("{} {theme:?} seed {seed}: {}{body}\n  {}\n  {error}", role.name, wording.target, role.form)
    };
    if let Some(slug) = refusal(role, &question.query) {
        let refused = |answer: &Answer| {
            let found = if answer.status == 403 { answer.problem() } else { answer.text() };
            if found == slug { Ok(0) } else { Err(format!("expected {slug}, found {found}")) }
        };
        return each(&answers, refused).map_err(failed);
    }
    let dataset = role.world.dataset(&question.query.dataset);
    let Ok(rows) = reference::answer(&role.world, &question.query, &question.form()) else {
        return Ok(0);
    };
    if question.query.key.is_some() {
        return each(&answers, |answer| verdict::one(rows.first(), answer)).map(|()| rows.len()).map_err(failed);
    }
    let limit = match question.query.page.limit {
        Some(Limit::Rows(limit)) => usize::try_from(limit).expect("few"),
        Some(Limit::All) | None => LIMIT_DEFAULT,
    };
    let float_key = float_key(dataset, &question.query);
    if float_key.is_some() && rows.len() > limit {
        return Ok(rows.len());
    }
    let expected = Expected {
        rows: &rows[..rows.len().min(limit)],
        has_more: rows.len() > limit,
        total: (question.query.count == Count::Exact).then_some(rows.len()),
        float_key: float_key.as_deref(),
    };
    each(&answers, |answer| verdict::page(&expected, answer)).map_err(&failed)?;
    if question.query.aggregate.is_none() && question.query.expand.is_empty() && dice.chance(40) {
        whole(houses, role, &question, &rows, dice).await.map_err(&failed)?;
    }
    if let Some(document) = document::document(&question.query, dataset) {
        let told = |error: String| failed(format!("GraphQL: {document}: {error}"));
        // The form of its scalars: what a double would round is a text.
        let form = Form { numbers_as_text: true, ..question.form() };
        let Ok(rows) = reference::answer(&role.world, &question.query, &form) else { return Ok(0) };
        let body = json!({ "query": document }).to_string();
        let answers = houses.ask_as(&role.name, &role.claims, "/graphql", Some(&body)).await;
        let page = &rows[..rows.len().min(limit)];
        let (more, total) = (rows.len() > limit, expected.total);
        each(&answers, |answer| document::holds(page, more, total, answer)).map_err(told)?;
    }
    Ok(rows.len())
}

/// All rows of a question as a stream of lines, which come by another way from each source, and in no order.
async fn whole(
    houses: &Houses,
    role: &Drawn,
    question: &Question,
    rows: &[reference::Record],
    dice: &mut Dice,
) -> Result<(), String> {
    let mut all = question.clone();
    (all.posted, all.query.order, all.query.count) = (false, None, Count::None);
    all.query.page.limit = Some(Limit::All);
    let target = all.word(dice).target;
    let target = format!("{target}{}format=ndjson", if target.contains('?') { '&' } else { '?' });
    // A tier has few places for streams.
    let streaming = STREAMING.lock().await;
    let answers = houses.ask_as(&role.name, &role.claims, &target, None).await;
    drop(streaming);
    let mut expected: Vec<String> = rows.iter().map(reference::object).collect();
    expected.sort_unstable();
    let same = |answer: &Answer| {
        let text = answer.text();
        let mut found: Vec<&str> = text.lines().collect();
        found.sort_unstable();
        if answer.status == 200 && found == expected {
            return Ok(());
        }
        Err(format!("{target}: {} lines of {}, {}: {}", found.len(), expected.len(), answer.status, text))
    };
    each(&answers, same)
}

/// Why a question of rows and columns that exist is refused all the same.
fn refusal(role: &Drawn, query: &Query) -> Option<&'static str> {
    fn expanded(role: &Drawn, dataset: &Dataset, expand: &[Expansion]) -> bool {
        expand.iter().any(|expansion| {
            let relation = dataset.relations.iter().find(|relation| relation.name.as_str() == expansion.relation);
            let other = role.world.dataset(relation.expect("a relation").dataset.as_str());
            role.grants[other.name.as_str()].revision == Some(Revision::Latest)
                || expanded(role, other, &expansion.expand)
        })
    }
    let grant = &role.grants[&query.dataset];
    let other = match grant.revision {
        None => false,
        Some(Revision::First) => matches!(query.revision, Some(Revision::Latest | Revision::All)),
        _ => matches!(query.revision, Some(Revision::First | Revision::All)) || query.as_of.is_some(),
    };
    if other {
        return Some("revision-not-granted");
    }
    if query.aggregate.is_some() && !grant.aggregates {
        return Some("aggregate-not-granted");
    }
    let dataset = role.world.dataset(&query.dataset);
    (query.as_of.is_some() && expanded(role, dataset, &query.expand)).then_some("revision-not-granted")
}

/// What must be refused of a role's masked and hidden columns and datasets, wherever they are named.
async fn closed(houses: &Houses, role: &Drawn) -> Vec<String> {
    let mut failures = Vec::new();
    let whole = &houses.world.catalog;
    for dataset in whole.iter() {
        let name = dataset.name.as_str();
        let mut questions: Vec<(String, String, u16)> = Vec::new();
        let Some(grant) = role.grants.get(name) else {
            questions.push((format!("/v1/datasets/{name}/rows"), "not-found".into(), 404));
            questions.push((format!("/v1/datasets/{name}"), "not-found".into(), 404));
            for (target, expected, status) in questions {
                let answers = houses.ask_as(&role.name, &role.claims, &target, None).await;
                failures.extend(
                    answers
                        .iter()
                        .filter(|(_, answer)| answer.status != status || answer.problem() != expected)
                        .map(|(backend, answer)| format!("{} {backend:?} {target}: {}", role.name, answer.text())),
                );
            }
            continue;
        };
        let ways = |column: &str, whole: bool| {
            let mut ways = vec![format!("rows?sort={column}"), format!("rows?{column}.is_null=true")];
            if whole && grant.aggregates {
                ways.push(format!("aggregate?group_by={column}&measures=count()"));
                ways.push(format!("aggregate?measures=max({column})"));
            }
            ways
        };
        for column in grant.masks.keys() {
            for way in ways(column, true) {
                questions.push((format!("/v1/datasets/{name}/{way}"), "column-masked".into(), 403));
            }
        }
        for column in &grant.hidden {
            for (way, expected) in ways(column, true).into_iter().zip(["unknown-column", "unknown-parameter"]) {
                questions.push((format!("/v1/datasets/{name}/{way}"), expected.into(), 400));
            }
            let select = format!("/v1/datasets/{name}/rows?select={column}");
            questions.push((select, "unknown-column".into(), 400));
        }
        for (target, expected, status) in questions {
            let answers = houses.ask_as(&role.name, &role.claims, &target, None).await;
            for (backend, answer) in &answers {
                // A row rule, a claim or a name of what is hidden stands in no error.
                if answer.status != status || answer.problem() != expected {
                    failures.push(format!("{} {backend:?} {target}: {}", role.name, answer.text()));
                }
            }
        }
    }
    failures
}

/// Draws a role.
fn draw(whole: &World, seed: u64) -> Drawn {
    let dice = &mut Dice::seeded(seed << 8 | 0x6d61);
    let name = format!("role_{seed}");
    let mut claims = Claims::new();
    let mut datasets = Map::new();
    let mut grants = BTreeMap::new();
    let mut rows = BTreeMap::new();
    for dataset in whole.catalog.iter() {
        // Somebody always sees the one with every type.
        if dataset.name.as_str() != "edge" && dice.chance(20) {
            continue;
        }
        let (form, grant, seen) = draw_grant(dice, whole, dataset, &mut claims);
        datasets.insert(dataset.name.to_string(), form);
        rows.insert(dataset.name.to_string(), seen);
        grants.insert(dataset.name.to_string(), grant);
    }
    let catalog = seen_catalog(&grants);
    // Hidden columns are gone from the rows as well.
    for (dataset, rows) in &mut rows {
        let whole = whole.dataset(dataset);
        let kept: Vec<usize> = (0..whole.columns.len())
            .filter(|index| !grants[dataset].hidden.contains(&whole.columns[*index].name.to_string()))
            .collect();
        for row in rows.iter_mut() {
            *row = kept.iter().map(|index| row[*index].clone()).collect();
        }
    }
    let form = json!({
        "name": name,
        "tier": "internal",
        "claims": { "role": name },
        "formats": "all",
        "export": true,
        "aggregate": true,
        "graphql": true,
        "rows_per_request": 100_000,
        "datasets": datasets,
    });
    Drawn { name, claims, form, grants, world: World::of(catalog, rows) }
}

/// What the matrix says, what it means, and the rows as they are to be seen, hidden columns still in them.
fn draw_grant(
    dice: &mut Dice,
    whole: &World,
    dataset: &Arc<Dataset>,
    claims: &mut Claims,
) -> (Json, Granted, Vec<Row>) {
    let name = |index: usize| dataset.columns[index].name.to_string();
    let point_in_time = dataset.point_in_time.as_ref();
    let carried = dataset.primary_key.iter().copied().chain(dataset.time);
    let carried = carried.chain(point_in_time.into_iter().flat_map(|pit| [pit.known_at, pit.period]));
    // The reference reads the identity to choose revisions.
    let carried: Vec<usize> =
        carried.chain(point_in_time.into_iter().flat_map(|pit| pit.identity.iter().copied())).collect();
    let (mut hidden, mut masks) = (Vec::new(), BTreeMap::new());
    for index in (0..dataset.columns.len()).filter(|index| !carried.contains(index)) {
        if dice.chance(15) {
            hidden.push(name(index));
        } else if dice.chance(30) {
            masks.insert(name(index), draw_mask(dice, dataset.columns[index].data_type));
        }
    }
    let mut form = Map::new();
    form.insert("columns".into(), if hidden.is_empty() { json!("all") } else { json!({ "all_but": hidden }) });
    let written = masks.iter().map(|(column, mask)| (column.clone(), mask_form(*mask)));
    form.insert("mask".into(), Json::Object(written.collect()));

    let mut rows: Vec<Row> = whole.rows(dataset.name.as_str()).to_vec();
    if dice.chance(50) {
        let filter = question::rule(dice, whole, dataset);
        form.insert("rows".into(), rule_form(dice, &filter, claims));
        let cell = |row: &'_ Row, column: &str| dataset.column(column).map(|index| row[index].clone()).expect("a cell");
        rows.retain(|row| {
            let cells: BTreeMap<String, Cell> = dataset
                .columns
                .iter()
                .map(|column| (column.name.to_string(), cell(row, column.name.as_str())))
                .collect();
            let typed =
                |column: &str| (dataset.columns[dataset.column(column).expect("a column")].data_type, &cells[column]);
            holds(&filter, &typed) == Some(true)
        });
    }
    let now = martello::clock::unix_seconds().cast_signed() / 60 * 60 * 1_000_000;
    let today = i32::try_from(now / MICROS_PER_DAY).expect("a day");
    if let Some(time) = dataset.time.filter(|_| dice.chance(35))
        && let Some(ago) = days_ago(dice, &rows, time, today)
    {
        form.insert("history".into(), json!(format!("{ago}d")));
        let since = date(today).checked_sub(i64::from(ago).days()).expect("a day");
        rows.retain(|row| match &row[time] {
            Some(Value::Date(day)) => *day >= days(since),
            Some(Value::Instant(micros)) => *micros >= now - i64::from(ago) * MICROS_PER_DAY,
            _ => false,
        });
    }
    if let Some(known_at) = point_in_time.map(|pit| pit.known_at).filter(|_| dice.chance(35))
        && let Some(ago) = days_ago(dice, &rows, known_at, today)
    {
        form.insert("delay".into(), json!(format!("{ago}d")));
        rows.retain(|row| match &row[known_at] {
            Some(Value::Date(day)) => *day <= today - ago,
            Some(Value::Instant(micros)) => *micros <= now - i64::from(ago) * MICROS_PER_DAY,
            _ => false,
        });
    }
    let mut revision = None;
    if let Some(point_in_time) = point_in_time.filter(|_| dice.chance(40)) {
        let (chosen, word, direction) = dice.pick(&[
            (Revision::First, "first", Direction::Ascending),
            (Revision::Latest, "latest", Direction::Descending),
        ]);
        form.insert("revision".into(), json!(word));
        rows = reference::one_of_each_fact(dataset, point_in_time, direction, &rows);
        revision = Some(chosen);
    }
    let aggregates = !dice.chance(15);
    form.insert("aggregate".into(), json!(aggregates));
    for row in &mut rows {
        for (column, mask) in &masks {
            let index = dataset.column(column).expect("a column");
            row[index] = masked(row[index].take(), *mask, dataset.columns[index].data_type);
        }
    }
    (Json::Object(form), Granted { revision, aggregates, hidden, masks }, rows)
}

/// How many days ago a value of a column was, so that a window ends among the rows.
fn days_ago(dice: &mut Dice, rows: &[Row], column: usize, today: i32) -> Option<i32> {
    let ago = rows.iter().filter_map(|row| match row[column].as_ref()? {
        Value::Date(day) => Some(today - day),
        Value::Instant(micros) => i32::try_from(micros.div_euclid(MICROS_PER_DAY)).ok().map(|day| today - day),
        _ => None,
    });
    let ago: Vec<i32> = ago.filter(|ago| (1..10_000).contains(ago)).collect();
    (!ago.is_empty()).then(|| dice.pick(&ago))
}

fn draw_mask(dice: &mut Dice, data_type: Type) -> Mask {
    let all = [
        Mask::Redact,
        Mask::Hash,
        Mask::Last(2),
        Mask::Round(-1),
        Mask::Round(1),
        Mask::Round(-25),
        Mask::Truncate(Bucket::Week),
        Mask::Truncate(Bucket::Quarter),
    ];
    let fitting: Vec<Mask> = all.into_iter().filter(|mask| mask.fits(data_type)).collect();
    dice.pick(&fitting)
}

fn mask_form(mask: Mask) -> Json {
    match mask {
        Mask::Redact => json!("redact"),
        Mask::Hash => json!("hash"),
        Mask::Round(digits) => json!({ "round": digits }),
        Mask::Truncate(bucket) => json!({ "truncate": bucket.as_str() }),
        Mask::Last(characters) => json!({ "last": characters }),
    }
}

/// A filter as the matrix writes it, some of its values as claims.
fn rule_form(dice: &mut Dice, filter: &Filter, claims: &mut Claims) -> Json {
    match filter {
        Filter::All(parts) => {
            json!({ "and": parts.iter().map(|part| rule_form(dice, part, claims)).collect::<Vec<_>>() })
        }
        Filter::Any(parts) => {
            json!({ "or": parts.iter().map(|part| rule_form(dice, part, claims)).collect::<Vec<_>>() })
        }
        Filter::Not(part) => json!({ "not": rule_form(dice, part, claims) }),
        Filter::Compare(Comparison { field, operator, operand }) => {
            let value = match operand {
                Operand::One(text) => json!(text),
                Operand::Many(texts) => json!(texts),
                Operand::Claim(claim) => json!(format!("$claims.{claim}")),
            };
            let value = if dice.chance(40) {
                let claim = format!("claim_{}", claims.len());
                claims.insert(claim.clone(), value);
                json!(format!("$claims.{claim}"))
            } else {
                value
            };
            json!({ field.clone(): { operator.as_str(): value } })
        }
    }
}

fn masked(cell: Cell, mask: Mask, data_type: Type) -> Cell {
    let value = cell?;
    match (mask, value) {
        (Mask::Hash, Value::Text(text)) => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
            let signed = hmac::sign(&key, text.as_bytes());
            Some(Value::Text(signed.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect()))
        }
        (Mask::Last(count), Value::Text(text)) => {
            let chars: Vec<char> = text.chars().collect();
            Some(Value::Text(chars[chars.len().saturating_sub(count.into())..].iter().collect()))
        }
        (Mask::Round(digits), Value::Int(int)) => {
            let (least, greatest) = match data_type {
                Type::Int32 => (i32::MIN.into(), i32::MAX.into()),
                _ => (i64::MIN, i64::MAX),
            };
            let rounded = rounded(int.into(), -i32::from(digits), least.into(), greatest.into());
            Some(Value::Int(rounded.try_into().expect("in range")))
        }
        (Mask::Round(digits), Value::Decimal(decimal)) => {
            let Type::Decimal { precision, scale } = data_type else { panic!("{data_type} is no decimal") };
            let greatest = 10_i128.pow(precision.into()) - 1;
            Some(Value::Decimal(rounded(decimal, i32::from(scale) - i32::from(digits), -greatest, greatest)))
        }
        (Mask::Round(digits), Value::Float(float)) => {
            let unit = 10_f64.powi(i32::from(digits).abs());
            let rounded = if digits < 0 { (float / unit).round() * unit } else { (float * unit).round() / unit };
            Some(Value::Float(if rounded.is_finite() { rounded + 0.0 } else { float }))
        }
        (Mask::Truncate(bucket), Value::Date(day)) => Some(Value::Date(first_day(bucket, day))),
        (Mask::Truncate(bucket), Value::Instant(micros)) => {
            let day = i32::try_from(micros.div_euclid(MICROS_PER_DAY)).expect("a day");
            Some(Value::Instant(i64::from(first_day(bucket, day)) * MICROS_PER_DAY))
        }
        _ => None,
    }
}

/// Half away from zero; where that is out of range, toward zero.
fn rounded(value: i128, digits: i32, least: i128, greatest: i128) -> i128 {
    if digits <= 0 {
        return value;
    }
    let Some(unit) = 10_i128.checked_pow(digits.unsigned_abs()) else { return 0 };
    let away = (value.abs() + unit / 2) / unit * unit * value.signum();
    if (least..=greatest).contains(&away) { away } else { value / unit * unit }
}

fn first_day(bucket: Bucket, day: i32) -> i32 {
    let mut at = date(day);
    let begins = |date: jiff::civil::Date| match bucket {
        Bucket::Day => true,
        Bucket::Week => date.weekday() == jiff::civil::Weekday::Monday,
        Bucket::Month => date.day() == 1,
        Bucket::Quarter => date.day() == 1 && date.month() % 3 == 1,
        Bucket::Year => date.day_of_year() == 1,
    };
    while !begins(at) {
        at = at.yesterday().expect("a day before");
    }
    days(at)
}

/// The contracts as a role is to know them: hidden columns gone, masked ones good for nothing but to be shown, and nothing
/// that leads over either.
fn seen_catalog(grants: &BTreeMap<String, Granted>) -> Catalog {
    let folder = tempfile::tempdir().expect("a folder");
    let contracts = folder.path().join("datasets");
    std::fs::create_dir(&contracts).expect("a folder");
    for dataset in grants.keys() {
        let file = repository().join(format!("tests/catalog/datasets/{dataset}.yaml"));
        let text = std::fs::read_to_string(file).expect("a contract");
        let contract: Json = serde_saphyr::from_str(&text).expect("YAML");
        let contract = seen_contract(contract, dataset, grants);
        // JSON is YAML.
        std::fs::write(contracts.join(format!("{dataset}.yaml")), contract.to_string()).expect("written");
    }
    catalog::load(folder.path()).unwrap_or_else(|error| panic!("{error}"))
}

fn seen_contract(mut contract: Json, dataset: &str, grants: &BTreeMap<String, Granted>) -> Json {
    let grant = &grants[dataset];
    let asked = |column: &str| !grant.hidden.iter().any(|hidden| hidden == column) && !grant.masks.contains_key(column);
    let members = contract.as_object_mut().expect("an object");
    for gone in ["checks", "lineage"] {
        members.remove(gone);
    }
    let columns = members["columns"].as_array_mut().expect("columns");
    columns.retain(|column| !grant.hidden.contains(&column["name"].as_str().expect("a name").to_owned()));
    for column in columns {
        let Some(mask) = grant.masks.get(column["name"].as_str().expect("a name")) else { continue };
        let members = column.as_object_mut().expect("an object");
        for gone in ["filter", "sort", "aggregate", "searchable", "example"] {
            members.remove(gone);
        }
        if *mask == Mask::Redact {
            members.insert("nullable".into(), json!(true));
        }
    }
    if let Some(order) = members.get_mut("default_order").and_then(Json::as_array_mut) {
        order.retain(|key| asked(key.as_str().expect("a key").trim_start_matches('-')));
        if order.is_empty() {
            members.remove("default_order");
        }
    }
    let whole =
        |bars: &Json| bars.as_object().expect("bars").values().all(|name| asked(name.as_str().expect("a name")));
    if members.get("bars").is_some_and(|bars| !whole(bars)) {
        members.remove("bars");
    }
    if let Some(relations) = members.get_mut("relations").and_then(Json::as_array_mut) {
        relations.retain(|relation| {
            let Some(theirs) = grants.get(relation["dataset"].as_str().expect("a dataset")) else { return false };
            relation["on"].as_object().expect("columns").iter().all(|(one, other)| {
                let other = other.as_str().expect("a column").to_owned();
                asked(one) && !theirs.hidden.contains(&other) && !theirs.masks.contains_key(&other)
            })
        });
    }
    contract
}
