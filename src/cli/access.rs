//! `martello access`

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::say;
use crate::app::House;
use crate::auth::{
    Claims, EXPECTATIONS_FILE, Effect, GrantSheet, MATRIX_FILE, Matrix, Principal, Role, RoleSheet, Sheet, changes,
    inspect, shown, verdicts,
};
use crate::catalog::Dataset;
use crate::config::Config;
use crate::plan;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Prints who sees what: every role, dataset and column.
    Matrix {
        /// This role only.
        #[arg(long)]
        role: Option<String>,
        /// For a terminal, a page or a program.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Says what a role, or whoever has a token, sees of a dataset, and which lines of the matrix say so.
    #[command(after_help = "Examples:\n  martello access explain --role client_basic --dataset price_daily\n  \
                            martello access explain --token \"$TOKEN\"\n  \
                            martello access explain --decision 1f2e3d4c5b6a7988")]
    Explain {
        /// A role of the matrix.
        #[arg(long, group = "whom")]
        role: Option<String>,
        /// A token; its claims are read, and not believed. `-` reads it from standard input.
        #[arg(long, group = "whom")]
        token: Option<String>,
        /// The id in an answer's Martello-Decision header, where no claim decided.
        #[arg(long, group = "whom", conflicts_with = "dataset")]
        decision: Option<String>,
        /// A claim that row rules refer to, as NAME=VALUE, for --role. May be repeated.
        #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = super::token::claim)]
        claims: Vec<(String, Value)>,
        /// A dataset; every one without it.
        #[arg(long)]
        dataset: Option<String>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Says what opens and what closes from one matrix to another, and ends with 2 when anything does.
    Diff {
        /// The matrix before: a file, or a folder of a catalog.
        old: PathBuf,
        /// The matrix after; that of the configured catalog without it.
        new: Option<PathBuf>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Holds the matrix against the expectations in access_tests.yaml, and ends with 1 when one is not met.
    Test,
}

/// How the matrix is printed.
#[derive(Clone, Copy, Default, ValueEnum)]
pub(super) enum Format {
    /// For a terminal.
    #[default]
    Table,
    /// A table a role.
    Markdown,
    /// Everything.
    Json,
    /// A page that needs nothing besides.
    Html,
}

pub(super) fn run(command: &Command, config: &Config) -> anyhow::Result<ExitCode> {
    let house = House::load(config)?;
    match command {
        Command::Matrix { role, format } => {
            let mut sheet = Sheet::of(&house.matrix, &house.catalog);
            if let Some(name) = role {
                known(&house, name)?;
                sheet.roles.retain(|role| role.name == *name);
            }
            say(&match format {
                Format::Table => sheet.roles.iter().map(table).collect(),
                Format::Markdown => sheet.roles.iter().map(markdown).collect(),
                Format::Json => serde_json::to_string_pretty(&sheet).context("write the matrix")? + "\n",
                Format::Html => html(&sheet),
            })?;
        }
        Command::Explain { decision: Some(decision), json, .. } => {
            let (role, dataset) = decided(&house, decision)?;
            explain(&house, &role, &Claims::new(), Some(&dataset), *json)?;
        }
        Command::Explain { role, token, claims, dataset, json, .. } => {
            let (role, claims) = match (role, token) {
                (Some(name), _) => (known(&house, name)?, claims.iter().cloned().collect()),
                (None, Some(token)) => of_token(&house, token)?,
                (None, None) => bail!("find whom to explain: expected --role, --token or --decision"),
            };
            explain(&house, &role, &claims, dataset.as_deref(), *json)?;
        }
        Command::Diff { old, new, json } => return diff(&house, config, old, new.as_deref(), *json),
        Command::Test => return test(&house, config),
    }
    Ok(ExitCode::SUCCESS)
}

fn known(house: &House, name: &str) -> anyhow::Result<Arc<Role>> {
    let names = || house.matrix.roles().map(|role| role.name.as_str()).collect::<Vec<_>>().join(", ");
    let role = house.matrix.role(name).cloned();
    role.with_context(|| format!("find role {name:?}: expected one of {}", names()))
}

/// The role that a token's claims make, and the claims.
fn of_token(house: &House, token: &str) -> anyhow::Result<(Arc<Role>, Claims)> {
    let token = if token == "-" {
        std::io::read_to_string(std::io::stdin()).context("read standard input")?
    } else {
        token.to_owned()
    };
    let (_, claims) = inspect(token.trim()).context("read the token")?;
    let role = Arc::clone(house.matrix.role_of(&claims)?);
    Ok((role, claims))
}

/// The role and the dataset of a decision in which no claim had a part.
fn decided(house: &House, decision: &str) -> anyhow::Result<(Arc<Role>, String)> {
    for role in house.matrix.roles() {
        let principal = if role.anonymous() {
            Principal::anonymous(role, &house.matrix)
        } else {
            Principal::supposed(role, Claims::new(), &house.matrix)
        };
        for dataset in house.catalog.iter() {
            if principal.decision(dataset.name.as_str()).to_string() == decision {
                return Ok((Arc::clone(role), dataset.name.to_string()));
            }
        }
    }
    bail!(
        "find decision {decision}: it was decided by another matrix than this one, or by claims that a row rule refers to; \
         the audit event with that id tells role and dataset"
    )
}

fn explain(
    house: &House,
    role: &Arc<Role>,
    claims: &Claims,
    dataset: Option<&str>,
    as_json: bool,
) -> anyhow::Result<()> {
    let principal = Principal::supposed(role, claims.clone(), &house.matrix);
    if let Some(name) = dataset
        && house.catalog.get(name).is_none()
    {
        let names: Vec<&str> = house.catalog.iter().map(|dataset| dataset.name.as_str()).collect();
        bail!("find dataset {name:?}: expected one of {}", names.join(", "));
    }
    let datasets = house.catalog.iter().filter(|one| dataset.is_none_or(|name| one.name.as_str() == name));
    if as_json {
        let all: Vec<Value> = datasets.map(|dataset| explained(role, &principal, dataset)).collect();
        let told = json!({ "role": role.name, "who": role.who.to_string(), "datasets": all });
        return say(&(serde_json::to_string_pretty(&told).context("write the explanation")? + "\n"));
    }
    let mut text = format!("role      {} ({})\n", role.name, role.who);
    for dataset in datasets {
        text += "\n";
        text += &words(role, &principal, dataset);
    }
    say(&text)
}

/// What a caller sees of a dataset and why, for a program.
fn explained(role: &Role, principal: &Principal, dataset: &Dataset) -> Value {
    let name = dataset.name.as_str();
    let Some(grant) = role.grant(name) else {
        return json!({ "dataset": name, "granted": false });
    };
    let sheet = GrantSheet::of(grant, dataset);
    let columns = dataset.columns.iter().enumerate().map(|(index, column)| {
        json!({ "name": column.name.as_str(), "is": shown(grant.right(index)), "line": grant.line(index) })
    });
    let mut told = json!(sheet);
    told["columns"] = columns.collect();
    told["dataset"] = json!(name);
    told["granted"] = json!(true);
    told["decision"] = json!(principal.decision(name).to_string());
    told["claims"] = json!(principal.claims());
    told["no_row_exists"] = json!(grant.rows.as_ref().is_some_and(|rule| rule.of(principal.claims()).is_none()));
    told
}

/// Likewise, for a person.
fn words(role: &Role, principal: &Principal, dataset: &Dataset) -> String {
    let name = dataset.name.as_str();
    let Some(grant) = role.grant(name) else {
        return format!("dataset   {name}: not granted, as if it did not exist\n");
    };
    let sheet = GrantSheet::of(grant, dataset);
    let mut text = format!("dataset   {name}\ndecision  {}\n", principal.decision(name));
    let mut line = |what: &str, value: Option<&str>| {
        if let Some(value) = value {
            text += &format!("{what:9} {value}\n");
        }
    };
    line("rows", Some(sheet.rows.as_deref().unwrap_or("all")));
    if let Some(rule) = &grant.rows {
        for claim in rule.claims() {
            let value = principal.claims().get(claim).map_or("not claimed".to_owned(), Value::to_string);
            line("claim", Some(&format!("{claim} = {value}")));
        }
        if rule.of(principal.claims()).is_none() {
            line("so", Some("no row exists: a claim that the rule refers to is missing, or compares with nothing"));
        }
    }
    line("history", sheet.history.as_deref());
    line("delay", sheet.delay.as_deref());
    line("revision", sheet.revision);
    let rights = [(sheet.aggregate, "aggregate"), (sheet.export, "export")];
    let rights: Vec<&str> = rights.into_iter().filter(|(granted, _)| *granted).map(|(_, right)| right).collect();
    line("rights", Some(&if rights.is_empty() { "rows only".to_owned() } else { rights.join(", ") }));
    line("formats", Some(&sheet.formats.join(", ")));
    line("page", Some(&format!("{} rows at most", sheet.rows_per_request)));
    let wide = dataset.columns.iter().map(|column| column.name.as_str().len()).max().unwrap_or_default();
    for (index, column) in dataset.columns.iter().enumerate() {
        let because = match grant.line(index) {
            Some(line) => format!("{MATRIX_FILE}:{line}"),
            None => "not granted".to_owned(),
        };
        let label = if index == 0 { "columns" } else { "" };
        text += &format!("{label:9} {:wide$}  {:16} {because}\n", column.name.as_str(), shown(grant.right(index)));
    }
    text
}

/// What of a grant is not about columns, in words.
fn rights(grant: &GrantSheet) -> String {
    let bounds = [
        grant.rows.as_ref().map(|rows| format!("rows where {rows}")),
        grant.history.as_ref().map(|history| format!("history {history}")),
        grant.delay.as_ref().map(|delay| format!("delay {delay}")),
        grant.revision.map(|revision| format!("{revision} revision")),
        grant.aggregate.then(|| "aggregate".to_owned()),
        grant.export.then(|| "export".to_owned()),
        Some(format!("{} rows", grant.rows_per_request)),
        Some(grant.formats.join("/")),
    ];
    bounds.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn limits(role: &RoleSheet) -> String {
    let limits = role.limits;
    let bounds = [
        limits.requests_per_second.map(|limit| format!("{limit} requests a second")),
        limits.requests_per_day.map(|limit| format!("{limit} a day")),
        limits.rows_per_day.map(|limit| format!("{limit} rows a day")),
        limits.export_bytes_per_day.map(|limit| format!("exports of {limit} bytes a day")),
        limits.concurrent_requests.map(|limit| format!("{limit} at once")),
        role.graphql.then(|| match limits.graphql_cost {
            Some(cost) => format!("GraphQL up to a cost of {cost}"),
            None => "GraphQL".to_owned(),
        }),
    ];
    let bounds: Vec<String> = bounds.into_iter().flatten().collect();
    if bounds.is_empty() { "none".to_owned() } else { bounds.join(", ") }
}

/// The columns of a grant by what is shown of them: shown and hidden ones, and each masked one with its mask.
fn columns(grant: &GrantSheet) -> (Vec<&str>, Vec<String>, Vec<&str>) {
    let named = |word: &str| {
        let columns = grant.columns.iter().filter(|(_, right)| right == word);
        columns.map(|(column, _)| column.as_str()).collect::<Vec<_>>()
    };
    let masked = grant.columns.iter().filter(|(_, right)| right != "shown" && right != "hidden");
    (named("shown"), masked.map(|(column, mask)| format!("{column} ({mask})")).collect(), named("hidden"))
}

fn table(role: &RoleSheet) -> String {
    let tier = format!("{:?}", role.tier).to_lowercase();
    let mut text = format!("{} ({tier}): {}\n  limits: {}\n", role.name, role.who, limits(role));
    for (dataset, grant) in &role.datasets {
        let Some(grant) = grant else {
            text += &format!("  {dataset:20} nothing\n");
            continue;
        };
        let (shown, masked, hidden) = columns(grant);
        text += &format!("  {dataset:20} {}\n", rights(grant));
        for (word, columns) in [("shown", shown.join(" ")), ("masked", masked.join(", ")), ("hidden", hidden.join(" "))]
        {
            if !columns.is_empty() {
                text += &format!("  {:20}   {word:7} {columns}\n", "");
            }
        }
    }
    text + "\n"
}

fn markdown(role: &RoleSheet) -> String {
    let about = if role.description.is_empty() { String::new() } else { format!("{}\n\n", role.description) };
    let mut text = format!("## {}\n\n{about}Who: {}. Limits: {}.\n\n", role.name, role.who, limits(role));
    text += "| dataset | shown | masked | hidden | rights |\n|---|---|---|---|---|\n";
    for (dataset, grant) in &role.datasets {
        let Some(grant) = grant else {
            text += &format!("| {dataset} | | | everything | |\n");
            continue;
        };
        let (shown, masked, hidden) = columns(grant);
        let rights = rights(grant).replace('|', "\\|");
        let cells = [shown.join(", "), masked.join(", "), hidden.join(", "), rights];
        text += &format!("| {dataset} | {} |\n", cells.join(" | "));
    }
    text + "\n"
}

/// A page with a table a role, dark and light as the reader likes it; it needs nothing besides.
fn html(sheet: &Sheet) -> String {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut text = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Who sees what</title>\n<style>\n\
         :root{color-scheme:light dark;font:15px/1.5 system-ui,sans-serif}body{margin:2rem auto;max-width:80rem;padding:0 1rem}\n\
         table{border-collapse:collapse;width:100%;margin:0 0 2rem}th,td{border:1px solid #8886;padding:.4rem .6rem;\
         text-align:left;vertical-align:top}th{background:#8882}td.none{opacity:.6}code{font-size:.9em}\n\
         .shown{color:light-dark(#15632b,#7bd88f)}.masked{color:light-dark(#8a5a00,#ffcc66)}\
         .hidden{color:light-dark(#9b1c1c,#ff8a80)}\n</style>\n<h1>Who sees what</h1>\n",
    );
    for role in &sheet.roles {
        let (name, about) = (escaped(&role.name), escaped(&role.description));
        let (who, limits) = (escaped(&role.who), escaped(&limits(role)));
        text += &format!(
            "<h2 id=\"{name}\">{name}</h2>\n<p>{about}</p>\n<p>Who: <code>{who}</code>. Limits: {limits}.</p>\n"
        );
        text += "<table><tr><th>Dataset<th>Shown<th>Masked<th>Hidden<th>Rights</tr>\n";
        for (dataset, grant) in &role.datasets {
            let Some(grant) = grant else {
                text +=
                    &format!("<tr><th>{dataset}<td class=\"none\" colspan=\"4\">does not exist for this role</tr>\n");
                continue;
            };
            let (shown, masked, hidden) = columns(grant);
            text += &format!(
                "<tr><th>{dataset}<td class=\"shown\">{}<td class=\"masked\">{}<td class=\"hidden\">{}<td>{}</tr>\n",
                shown.join(", "),
                escaped(&masked.join(", ")),
                hidden.join(", "),
                escaped(&rights(grant))
            );
        }
        text += "</table>\n";
    }
    text + "</html>\n"
}

/// The matrix of a file, or of a catalog's folder with its own contracts.
fn read(house: &House, path: &Path) -> anyhow::Result<Sheet> {
    if path.is_dir() {
        let catalog = crate::catalog::load(path).context("load the catalog")?;
        let matrix = Matrix::load(path, &catalog, plan::reads).context("read the matrix")?;
        return Ok(Sheet::of(&matrix, &catalog));
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let matrix = Matrix::compile(path, &text, &house.catalog, plan::reads).context("read the matrix")?;
    Ok(Sheet::of(&matrix, &house.catalog))
}

fn diff(house: &House, config: &Config, old: &Path, new: Option<&Path>, as_json: bool) -> anyhow::Result<ExitCode> {
    let before = read(house, old)?;
    let after = read(house, new.unwrap_or(&config.catalog.join(MATRIX_FILE)))?;
    let changes = changes(&before, &after);
    if as_json {
        say(&(serde_json::to_string_pretty(&changes).context("write the changes")? + "\n"))?;
    } else {
        let mut text = String::new();
        for change in &changes {
            let sign = match change.effect {
                Effect::Opens => "opens  ",
                Effect::Closes => "closes ",
                Effect::Changes => "changes",
            };
            let place = match &change.dataset {
                Some(dataset) => format!("{} × {dataset} × {}", change.role, change.what),
                None => format!("{} × {}", change.role, change.what),
            };
            let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
            let _ = writeln!(text, "{sign}  {place}: {} → {}", value(&change.before), value(&change.after));
        }
        if changes.is_empty() {
            text.push_str("nobody sees more or less\n");
        }
        say(&text)?;
    }
    Ok(if changes.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

fn test(house: &House, config: &Config) -> anyhow::Result<ExitCode> {
    let path = config.catalog.join(EXPECTATIONS_FILE);
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let verdicts = verdicts(&path, &text, &house.matrix, &house.catalog).context("read the expectations")?;
    let failed = verdicts.iter().filter(|verdict| !verdict.faults.is_empty());
    let mut text = String::new();
    for verdict in failed.clone() {
        for fault in &verdict.faults {
            let _ = writeln!(text, "{}:{}: {}: {fault}", path.display(), verdict.line, verdict.name);
        }
    }
    let (all, failed) = (verdicts.len(), failed.count());
    let _ = writeln!(text, "{} of {all} expectations hold", all - failed);
    say(&text)?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
