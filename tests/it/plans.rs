//! Golden plans: for each folder of `tests/plan`, what a question becomes for a role, and its SQL in each dialect.

use std::sync::Arc;

use martello::app::House;
use martello::auth::Principal;
use martello::plan::{Plan, Value};
use martello::query::Count;
use martello::rest::question;
use martello::source::{Dialect, Parameter, Shape, Statement, counting, statement};
use proptest::prelude::*;

use crate::support::{planned, repository};

fn house() -> House {
    let config = martello::config::Config { catalog: repository().join("catalog"), ..Default::default() };
    House::load(&config).expect("a catalog")
}

fn principal(house: &House, role: &str) -> Principal {
    Principal::acting_as(Arc::clone(house.matrix.role(role).expect("a role")))
}

#[test]
fn golden_plans_are_as_they_were_read() {
    let house = house();
    let folder = repository().join("tests/plan");
    let mut cases: Vec<_> =
        std::fs::read_dir(&folder).expect("cases").map(|case| case.expect("a case").path()).collect();
    cases.sort();
    assert!(cases.len() > 10);
    for case in cases {
        let read = |name: &str| std::fs::read_to_string(case.join(name)).expect(name).trim().to_owned();
        let (about, role, target) = (read("about.txt"), read("role.txt"), read("question.txt"));
        let query = question(&target).expect("a question");
        let shown = match planned(&house.catalog, &principal(&house, &role), &query) {
            Ok(plan) => {
                let [postgres, clickhouse, sqlite] = DIALECTS.map(|dialect| sql(&plan, dialect));
                format!("{plan}\n{postgres}\n{clickhouse}\n{sqlite}")
            }
            Err(error) => format!("{error:?}\n"),
        };
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(&case);
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!("plan", format!("{about}\n\n{role} asks {target}\n\n{shown}")));
    }
}

const DIALECTS: [Dialect; 3] = [Dialect::Postgres, Dialect::ClickHouse, Dialect::Sqlite];

fn sql(plan: &Plan, dialect: Dialect) -> String {
    let shape = &Shape::plain(dialect);
    let mut text = format!("{dialect:?}:\n{}", shown(&statement(plan, shape, None)));
    if plan.count() == Count::Exact {
        text.push_str(&format!("{dialect:?}, counted:\n{}", shown(&counting(plan, shape))));
    }
    for related in plan.related() {
        // Rows that share one value with their parent, as all of the demo's do.
        let parents = [vec![Value::String("AAPL".into())], vec![Value::String("IBM".into())]];
        let statement = statement(&related.plan, shape, Some(&parents));
        text.push_str(&format!("{dialect:?}, {}:\n{}", related.name, shown(&statement)));
    }
    text
}

fn shown(statement: &Statement) -> String {
    let mut text = format!("{}\n", statement.text);
    for (index, parameter) in statement.parameters.iter().enumerate() {
        text.push_str(&match parameter {
            Parameter::One(data_type, value) => format!("  {} {data_type} {value:?}\n", index + 1),
            Parameter::Many(data_type, values) => format!("  {} {data_type}[] {values:?}\n", index + 1),
        });
    }
    text
}

/// A literal of the type that no other part of a statement could hold by chance.
fn literal(column: &martello::catalog::Column, seed: u32) -> String {
    use martello::catalog::Type;
    match column.data_type {
        Type::Bool => "true".into(),
        Type::Int32 | Type::Int64 => format!("7{seed:08}"),
        Type::Float64 => format!("7{seed:08}.5"),
        Type::Decimal { .. } => format!("7{:06}.5", seed % 1_000_000),
        Type::String | Type::Json | Type::StringList => format!("';--\"zq{seed}"),
        Type::Date => format!("{:04}-03-07", 3000 + seed % 6000),
        Type::Timestamp => format!("{:04}-03-07T01:02:03Z", 3000 + seed % 6000),
    }
}

proptest! {
    #[test]
    fn no_literal_of_a_request_is_ever_in_the_text_of_a_statement(seed in 10_000_000_u32..99_999_999, pick in 0_usize..1000) {
        let house = house();
        let principal = principal(&house, "internal_scientist");
        for dataset in house.catalog.iter() {
            for column in &dataset.columns {
                for operator in &column.filter {
                    let written = match operator {
                        martello::catalog::Operator::IsNull => continue,
                        _ => literal(column, seed.wrapping_add(u32::try_from(pick).expect("small"))),
                    };
                    let escaped: String = written.bytes().map(|byte| format!("%{byte:02X}")).collect();
                    let target = format!("/v1/datasets/{}/rows?{}.{}={escaped}&limit=77777", dataset.name, column.name, operator.as_str());
                    let plan = planned(&house.catalog, &principal, &question(&target).expect("a question")).expect("a plan");
                    for dialect in DIALECTS {
                        let statement = statement(&plan, &Shape::plain(dialect), None);
                        let digits: String = written.chars().filter(char::is_ascii_digit).collect();
                        prop_assert!(!statement.text.contains(&written), "{}", statement.text);
                        prop_assert!(digits.len() < 4 || !statement.text.contains(&digits), "{}", statement.text);
                        prop_assert!(!statement.text.contains("7777"), "{}", statement.text);
                        prop_assert!(!statement.text.contains("zq") && !statement.text.contains(';'), "{}", statement.text);
                    }
                }
            }
        }
    }
}

#[test]
fn what_only_its_words_can_plan_is_planned_anew() {
    let house = house();
    for (target, anew) in [
        ("news/rows?search=apple", true),
        ("news/rows?symbols.has=AAPL&category=annual_report", true),
        ("news/aggregate?not.symbols.has=AAPL&measures=count()", true),
        ("news/rows?headline.contains=apple", false),
        ("price_daily/rows?symbol.in=AAPL,IBM&sort=-date", false),
    ] {
        let query = question(&format!("/v1/datasets/{target}")).expect("a question");
        let plan = planned(&house.catalog, &principal(&house, "client_pro"), &query).expect("a plan");
        assert_eq!(statement(&plan, &Shape::plain(Dialect::Postgres), None).planned_anew, anew, "{target}");
    }
}

#[test]
fn equal_questions_have_one_fingerprint_and_different_ones_have_others() {
    let house = house();
    let fingerprint = |role: &str, target: &str| {
        let query = question(&format!("/v1/datasets/price_daily/rows?{target}")).expect("a question");
        planned(&house.catalog, &principal(&house, role), &query).expect("a plan").fingerprint()
    };
    let base = fingerprint("client_pro", "symbol=MSFT&close.gt=1.5&limit=100");
    for same in [
        "close.gt=1.5&symbol=MSFT",
        "close.gt=1.50000&symbol.in=MSFT",
        "symbol=MSFT&symbol=MSFT&close.gt=15e-1&sort=symbol, date",
        "and=( symbol=MSFT, not.close.lte=1.5)&count=none&revision=all",
        "not.or=(symbol.ne=MSFT,not.and(close.gt=1.5))",
        "symbol.eq=MSFT&close.gt=%2B1.5&select=symbol,date,open,high,low,close,adj_close,volume,ex_dividend,split_ratio",
    ] {
        assert_eq!(fingerprint("client_pro", same), base, "{same}");
    }
    for other in [
        "symbol=MSFT&close.gt=1.6",
        "symbol=MSFT&close.gte=1.5",
        "symbol=MSF&close.gt=1.5",
        "symbol=MSFT&close.gt=1.5&limit=99",
        "symbol=MSFT&close.gt=1.5&sort=-date",
        "symbol=MSFT&close.gt=1.5&select=close",
        "symbol=MSFT&close.gt=1.5&latest_by=symbol",
        "symbol=MSFT&close.gt=1.5&as_of=2014-01-01",
        "symbol=MSFT&close.gt=1.5&tz=America/New_York",
        "symbol=MSFT&close.gt=1.5&count=exact",
        "symbol=MSFT&close.gt=1.5&expand=profile",
        "or=(symbol=MSFT,close.gt=1.5)",
        "symbol=MSFT&not.close.gt=1.5",
        "symbol=MSFT",
    ] {
        assert_ne!(fingerprint("client_pro", other), base, "{other}");
    }
    // Equal views share, unequal ones do not.
    assert_eq!(fingerprint("internal_scientist", "select=close"), fingerprint("client_basic", "select=close"));
    assert_ne!(fingerprint("client_pro", ""), fingerprint("client_basic", ""));
}
