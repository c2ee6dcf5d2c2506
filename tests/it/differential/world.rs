//! The rows of `tests/catalog`: made by dice, few enough to read and odd enough to matter.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use martello::catalog::{self, Catalog, Dataset};

use super::dice::Dice;
use super::value::{Cell, MICROS_PER_DAY, Value, day, instant};
use crate::support::repository;

/// A row's cells in the order of its contract.
pub type Row = Vec<Cell>;

/// Every dataset of the catalog with its rows.
pub struct World {
    pub catalog: Catalog,
    rows: BTreeMap<String, Vec<Row>>,
}

/// Keys with everything that needs escaping in a URL, a list or a statement, and texts whose order by bytes is neither
/// that of a dictionary nor that of UTF-16.
const KINDS: [&str; 20] = [
    "A",
    "B",
    "a",
    "Z",
    "z",
    "é",
    "É",
    "e\u{301}",
    "ß",
    "😀",
    "\u{E000}",
    "\u{10000}",
    "quo\"te",
    "com,ma",
    "(paren)",
    "it's",
    "a b",
    "%25_",
    "back\\slash",
    "",
];
/// Kinds that facts, notices and bars are about; the first is in every one of them.
const BUSY: [&str; 6] = ["A", "B", "é", "com,ma", "(paren)", "quo\"te"];
const WORDS: [&str; 16] = [
    "annual",
    "Annual",
    "ANNUAL",
    "report",
    "reports",
    "café",
    "CAFÉ",
    "Café",
    "x1",
    "42",
    "日本語",
    "don",
    "t",
    "😀",
    "naïve",
    "O",
];
const GAPS: [&str; 12] = [" ", "  ", ", ", "-", "'", "\"", " (", ") ", "_", ".", "\n", "\\"];
const TEXTS: [&str; 18] = [
    "",
    " ",
    "a",
    "A",
    "aa",
    "ab",
    "é",
    "Z",
    "z",
    "😀",
    "\u{E000}",
    "\u{10000}",
    "\u{10FFFF}",
    "a\"b",
    "a,b",
    "(a)",
    "%",
    "_",
];
/// Around these instants clocks change in the zones that are asked for, or a date is another one.
const TURNS: [&str; 16] = [
    "2012-03-11T07:00:00Z", // New York goes forward.
    "2012-11-04T06:00:00Z", // And back.
    "2012-11-04T05:00:00Z", // The hour that New York has twice begins.
    "2012-11-04T04:00:00Z", // Midnight in New York.
    "2012-03-25T01:00:00Z", // Berlin goes forward.
    "2012-10-28T01:00:00Z", // And back.
    "2011-12-30T10:00:00Z", // Apia skips a day.
    "2012-04-01T15:00:00Z", // Lord Howe goes back by half an hour.
    "1969-12-31T23:59:59.999999Z",
    "1970-01-01T00:00:00Z",
    "1955-06-15T12:34:56.000001Z",
    "1923-03-01T00:00:00Z",
    "2000-02-29T00:00:00Z",
    "2012-02-29T23:59:59.999999Z",
    "2024-12-31T23:59:59.5Z",
    "2099-12-31T18:30:00Z",
];

impl World {
    /// The same rows every time.
    pub fn make() -> Self {
        let catalog = catalog::load(&repository().join("tests/catalog")).expect("a catalog");
        let dice = &mut Dice::seeded(0x6d61_7274_656c_6c6f);
        let rows = [
            ("edge", edges(dice)),
            ("edge_kind", kinds(dice)),
            ("edge_fact", facts(dice)),
            ("edge_notice", notices(dice)),
            ("edge_bar", bars(dice)),
            ("edge_tick", ticks(dice)),
            ("edge_wide", wides(dice)),
        ];
        Self { catalog, rows: rows.map(|(name, rows)| (name.to_owned(), rows)).into() }
    }

    /// Other rows of another catalog.
    pub fn of(catalog: Catalog, rows: BTreeMap<String, Vec<Row>>) -> Self {
        Self { catalog, rows }
    }

    pub fn has(&self, name: &str) -> bool {
        self.rows.contains_key(name)
    }

    pub fn dataset(&self, name: &str) -> &Arc<Dataset> {
        self.catalog.get(name).expect("a dataset")
    }

    pub fn rows(&self, name: &str) -> &[Row] {
        &self.rows[name]
    }

    /// What a column holds, nulls aside.
    pub fn values(&self, name: &str, column: usize) -> impl Iterator<Item = &Value> {
        self.rows[name].iter().filter_map(move |row| row[column].as_ref())
    }
}

fn text(text: &str) -> Cell {
    Some(Value::Text(text.to_owned()))
}

fn date(literal: &str) -> Cell {
    day(literal).map(Value::Date)
}

fn at(literal: &str) -> Cell {
    Some(Value::Instant(instant(literal)))
}

/// A cell, or null that many times in a hundred.
fn maybe(dice: &mut Dice, percent: u64, make: impl FnOnce(&mut Dice) -> Cell) -> Cell {
    let null = dice.chance(percent);
    make(dice).filter(|_| !null)
}

fn phrase(dice: &mut Dice) -> Cell {
    let mut phrase = String::new();
    for _ in 0..dice.below(5) {
        phrase.push_str(dice.pick(&WORDS));
        phrase.push_str(dice.pick(&GAPS));
    }
    Some(Value::Text(phrase))
}

/// An instant at a turn, or a little beside it.
fn turn(dice: &mut Dice) -> Cell {
    const BESIDE: [i64; 9] = [0, 0, 0, 1, -1, 1_800_000_000, -1_800_000_000, 3_600_000_000 - 1, -3_600_000_000];
    Some(Value::Instant(instant(dice.pick(&TURNS)) + dice.pick(&BESIDE)))
}

fn edges(dice: &mut Dice) -> Vec<Row> {
    const IDS: [i64; 8] = [i64::MIN, i64::MAX, 1 << 53, (1 << 53) + 1, -(1 << 53) - 1, 0, -1, i64::MAX - 1];
    const BIGS: [i64; 8] = [i64::MIN, i64::MAX, (1 << 53) + 1, 1 << 53, 0, -1, 7, i64::MIN + 1];
    const SMALLS: [i64; 6] = [i32::MIN as i64, i32::MAX as i64, 0, -1, 1, 5];
    const RATIOS: [f64; 9] = [0.0, -0.0, 0.1, 0.2, 0.30000000000000004, 1e15, -1e15, 1.5, -2.25];
    const WILD: [f64; 12] = [
        0.0,
        -0.0,
        5e-324,
        -5e-324,
        f64::MIN_POSITIVE,
        f64::MAX,
        f64::MIN,
        1e16,
        123456789012345680.0,
        1e-7,
        0.1,
        -1.0,
    ];
    const PRICES: [i128; 7] = [999_999_999_999_999_999, -999_999_999_999_999_999, 0, 1, -1, 15_000, 15_001];
    const DAYS: [&str; 12] = [
        "0001-01-01",
        "9999-12-31",
        "2012-02-29",
        "2000-02-29",
        "1900-02-28",
        "1900-03-01",
        "1969-12-31",
        "2012-12-31",
        "2013-01-01",
        "2011-12-31",
        "2012-01-01",
        "2012-04-01",
    ];
    const DOCS: [&str; 7] =
        ["null", "{}", "[]", "\"é\\n\"", "{\"a\":[1,2.50,null],\"b\":{\"c\":true}}", "-0.10", "12345678901234567890.5"];
    const TAGS: [&[&str]; 7] =
        [&[], &[""], &["a"], &["a", "b"], &["b\"\\,{}", "a"], &["é", "😀"], &["null", "NULL", "a b"]];
    const PARENTS: [i64; 6] = [1, 2, 3, i64::MAX, (1 << 53) + 1, -999];
    let ids: Vec<i64> = IDS.into_iter().chain(1..293).collect();
    let row = |id: &i64| {
        vec![
            Some(Value::Int(*id)),
            text(if dice.chance(20) { dice.pick(&KINDS) } else { dice.pick(&BUSY) }),
            Some(Value::Int(7)),
            Some(Value::Bool(dice.chance(50))),
            maybe(dice, 30, |dice| Some(Value::Bool(dice.chance(50)))),
            maybe(dice, 25, |dice| Some(Value::Int(dice.pick(&SMALLS)))),
            maybe(dice, 15, |dice| Some(Value::Int(dice.pick(&BIGS)))),
            maybe(dice, 15, |dice| {
                let ratio = dice.within(-1000..1000) as f64 / 7.0;
                Some(Value::Float(if dice.chance(50) { dice.pick(&RATIOS) } else { ratio }))
            }),
            maybe(dice, 15, |dice| Some(Value::Float(dice.pick(&WILD)))),
            Some(Value::Decimal(dice.within(-500..500).into())),
            maybe(dice, 15, |dice| {
                let price = i128::from(dice.within(-99_999..99_999));
                Some(Value::Decimal(if dice.chance(40) { dice.pick(&PRICES) } else { price }))
            }),
            maybe(dice, 15, |dice| text(dice.pick(&TEXTS))),
            maybe(dice, 15, phrase),
            maybe(dice, 20, |dice| date(dice.pick(&DAYS))),
            turn(dice),
            maybe(dice, 20, turn),
            maybe(dice, 20, |dice| Some(Value::Json(dice.pick(&DOCS).to_owned()))),
            maybe(dice, 20, |dice| Some(Value::List(dice.pick(&TAGS).iter().map(ToString::to_string).collect()))),
            maybe(dice, 40, |dice| Some(Value::Int(dice.pick(&PARENTS)))),
        ]
    };
    ids.iter().map(row).collect()
}

/// All but one of them are described, and one is that nothing is about.
fn kinds(dice: &mut Dice) -> Vec<Row> {
    const SINCE: [&str; 5] = [
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999Z",
        "1883-11-18T12:03:57Z",
        "1900-02-28T23:59:59Z",
        "2012-02-29T12:00:00.000001Z",
    ];
    let row = |kind: &&str| {
        vec![
            text(kind),
            maybe(dice, 20, phrase),
            maybe(dice, 30, |dice| Some(Value::Int(dice.within(1..4)))),
            maybe(dice, 20, |dice| at(dice.pick(&SINCE))),
        ]
    };
    KINDS.iter().filter(|kind| **kind != "ß").chain(&["nothing"]).map(row).collect()
}

/// Quarters that become known a month after their end, and restatements of them up to two years later: many of them
/// when newer quarters are known already, some of them on one day.
fn facts(dice: &mut Dice) -> Vec<Row> {
    const PERIODS: [(&str, &str); 8] = [
        ("2010-10-01", "2010-12-31"),
        ("2011-01-01", "2011-03-31"),
        ("2011-04-01", "2011-06-30"),
        ("2011-07-01", "2011-09-30"),
        ("2011-10-01", "2011-12-31"),
        ("2011-12-01", "2012-02-29"),
        ("2012-01-01", "2012-03-31"),
        ("2012-04-01", "2012-06-30"),
    ];
    let mut rows: Vec<Row> = Vec::new();
    for kind in &BUSY[..5] {
        for metric in ["sales", "Sales", "assets"] {
            for (begun, period) in PERIODS {
                if dice.chance(15) {
                    continue;
                }
                let mut known = day(period).expect("a day") + 30 + i32::try_from(dice.below(3)).expect("few");
                for _ in 0..1 + dice.below(4) {
                    rows.push(vec![
                        None,
                        text(kind),
                        text(metric),
                        if metric == "assets" { None } else { date(begun) },
                        date(period),
                        Some(Value::Date(known)),
                        maybe(dice, 10, |dice| Some(Value::Decimal(i128::from(dice.within(-50..50)) * 12_345))),
                    ]);
                    known += dice.pick(&[0, 0, 1, 90, 365, 700]);
                }
            }
        }
    }
    // Keys in no order of time, so that a greater one is not always the newer.
    let mut ids: Vec<i64> = (1..=rows.len()).map(|id| id as i64).collect();
    for row in &mut rows {
        row[0] = Some(Value::Int(ids.swap_remove(dice.below(ids.len()))));
    }
    rows
}

/// Topics that are heard of again and again, some of them twice in one microsecond.
fn notices(dice: &mut Dice) -> Vec<Row> {
    const TOPICS: [&str; 6] = ["annual report", "Report, annual", "café-42", "CAFÉ 42", "x1", "naïve 日本語"];
    let mut rows = Vec::new();
    for kind in &BUSY[..5] {
        for number in 0..60 {
            let happened = turn(dice);
            let heard = happened.as_ref().map(|at| match at {
                Value::Instant(micros) => Value::Instant(micros + dice.pick(&[0, 0, 1, 60_000_000, MICROS_PER_DAY])),
                other => other.clone(),
            });
            rows.push(vec![
                text(kind),
                Some(Value::Int(number)),
                maybe(dice, 15, |dice| text(dice.pick(&TOPICS))),
                happened,
                heard,
                maybe(dice, 20, phrase),
                maybe(dice, 20, |dice| Some(Value::Float(dice.within(-20..20) as f64 / 3.0))),
            ]);
        }
    }
    rows
}

/// Days with gaps, over the turn of years and the leap days of three centuries.
fn bars(dice: &mut Dice) -> Vec<Row> {
    let mut rows = Vec::new();
    for kind in BUSY {
        let from = day("2011-12-20").expect("a day");
        let mut days: Vec<i32> = (from..from + 80).filter(|_| dice.chance(60)).collect();
        days.extend(
            ["1900-02-28", "1900-03-01", "2000-02-28", "2000-02-29", "2000-03-01"].map(|at| day(at).expect("a day")),
        );
        // All three of them have a week of ISO 8601 that is not of their year.
        days.extend(["2008-12-29", "2010-01-03", "2013-12-31", "2014-01-01"].map(|at| day(at).expect("a day")));
        for day in days {
            let price = |dice: &mut Dice| Some(Value::Decimal(dice.within(1..40).into()));
            rows.push(vec![
                text(kind),
                Some(Value::Date(day)),
                price(dice),
                price(dice),
                price(dice),
                maybe(dice, 15, |dice| Some(Value::Decimal(i128::from(dice.within(1..9_999)) * 12_345))),
                Some(Value::Int(dice.pick(&[i64::MAX, i64::MAX - 1, 0, 1, 12_345]))),
            ]);
        }
    }
    rows
}

fn ticks(dice: &mut Dice) -> Vec<Row> {
    let mut rows = Vec::new();
    for kind in &BUSY[..4] {
        let instants: BTreeSet<i64> = (0..60)
            .filter_map(|_| match turn(dice) {
                Some(Value::Instant(micros)) => Some(micros),
                _ => None,
            })
            .collect();
        for micros in instants {
            let mut row = vec![text(kind), Some(Value::Instant(micros))];
            for _ in 0..4 {
                row.push(maybe(dice, 15, |dice| Some(Value::Float(dice.within(1..1000) as f64 / 8.0))));
            }
            rows.push(row);
        }
    }
    rows
}

/// Each part adds up to what 38 digits hold, except `over`.
fn wides(dice: &mut Dice) -> Vec<Row> {
    const GREATEST: i128 = 10_i128.pow(38) - 1;
    let mut rows: Vec<(&str, Cell, i128)> = vec![
        ("over", Some(Value::Decimal(GREATEST)), GREATEST),
        ("over", Some(Value::Decimal(1)), 1),
        ("full", Some(Value::Decimal(GREATEST - 1)), GREATEST - 1),
        ("full", Some(Value::Decimal(1)), 1),
        ("zero", Some(Value::Decimal(GREATEST)), GREATEST),
        ("zero", Some(Value::Decimal(-GREATEST)), -GREATEST),
        ("null", None, 0),
    ];
    for _ in 0..100 {
        let digits = u32::try_from(dice.below(36)).expect("few");
        let whole = i128::from(dice.within(-9..10)) * 10_i128.pow(digits);
        let wide = maybe(dice, 10, |dice| Some(Value::Decimal(whole + i128::from(dice.within(0..10)))));
        rows.push((dice.pick(&["few", "more", "most"]), wide, whole));
    }
    let rows = rows.into_iter().enumerate();
    rows.map(|(id, (part, wide, whole))| {
        vec![Some(Value::Int(id as i64)), text(part), wide, Some(Value::Decimal(whole))]
    })
    .collect()
}
