//! Cases that everybody gets wrong once, one test each, with what is expected counted from the rows by hand.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, stream};
use serde_json::{Value as Json, json};

use super::houses::Houses;
use super::value::{Cell, MICROS_PER_DAY, Value, date, day, instant, instant_text};
use super::world::Row;
use super::{AT_ONCE, verdict};

impl Houses {
    /// The rows that all give, to the byte.
    async fn rows(&self, target: &str) -> Vec<Json> {
        let [(_, first), others @ ..] = self.ask(target, None).await;
        for (backend, other) in &others {
            assert_eq!((first.status, other.status), (200, 200), "{target}\n{}\n{}", first.text(), other.text());
            let same = verdict::same(&first.text(), &other.text());
            same.unwrap_or_else(|error| panic!("{backend:?} {target}\n{error}"));
        }
        first.rows()
    }

    /// How many rows of a dataset meet a condition.
    fn count(&self, dataset: &str, meets: impl Fn(&Row) -> bool) -> usize {
        self.world.rows(dataset).iter().filter(|row| meets(row)).count()
    }

    /// The place of a column.
    fn place(&self, dataset: &str, column: &str) -> usize {
        self.world.dataset(dataset).column(column).expect("a column")
    }
}

/// What a field of every row is.
fn each<'r>(rows: &'r [Json], field: &str) -> Vec<&'r Json> {
    rows.iter().map(|row| &row[field]).collect()
}

fn ids(rows: &[Json]) -> Vec<i64> {
    each(rows, "id").into_iter().map(|id| id.as_i64().expect("an id")).collect()
}

#[tokio::test]
async fn a_count_of_a_column_leaves_nulls_out_and_a_count_of_rows_does_not() {
    let houses = Houses::open().await;
    let measures = "count(),count(flag),count(doc),count(tags),count(id),count_distinct(flag),count_distinct(flat)";
    let rows = houses.rows(&format!("/v1/datasets/edge/aggregate?measures={measures}")).await;
    let known = |column: &str| {
        let place = houses.place("edge", column);
        houses.count("edge", |row| row[place].is_some())
    };
    let all = houses.count("edge", |_| true);
    assert!(known("flag") < all && known("doc") < all && known("tags") < all, "the rows have no null");
    assert_eq!(
        rows,
        [json!({
            "count": all,
            "count_flag": known("flag"),
            "count_doc": known("doc"),
            "count_tags": known("tags"),
            "count_id": all,
            "count_distinct_flag": 2,
            "count_distinct_flat": 1,
        })]
    );
    // Nulls are a group like any value: its rows count, its values do not.
    let rows = houses.rows("/v1/datasets/edge/aggregate?group_by=flag&measures=count(),count(flag)&sort=flag").await;
    assert_eq!(rows[2], json!({ "flag": null, "count": all - known("flag"), "count_flag": 0 }), "{rows:?}");
    assert_eq!(rows.len(), 3);
    // Of no rows there is a count and nothing else, and with groups there is no group.
    let none = "id.in=&measures=count(),count(flag),sum(big),min(word),avg(ratio),first(day)";
    let rows = houses.rows(&format!("/v1/datasets/edge/aggregate?{none}")).await;
    let nothing = json!({
        "count": 0, "count_flag": 0, "sum_big": null, "min_word": null, "avg_ratio": null, "first_day": null,
    });
    assert_eq!(rows, [nothing]);
    assert!(houses.rows(&format!("/v1/datasets/edge/aggregate?{none}&group_by=kind")).await.is_empty());
    houses.close().await;
}

#[tokio::test]
async fn a_count_of_rows_reads_no_column_and_counts_what_is_left_of_them() {
    let houses = Houses::open().await;
    let kind = houses.place("edge_notice", "kind");
    let kinds: BTreeSet<String> =
        houses.world.rows("edge_notice").iter().map(|row| format!("{:?}", row[kind])).collect();
    for (more, expected) in [
        ("", houses.count("edge_notice", |_| true)),
        ("&latest_by=kind", kinds.len()),
        ("&as_of=2100-01-01&latest_by=kind", kinds.len()),
        ("&as_of=2100-01-01&revision=all", houses.count("edge_notice", |_| true)),
        ("&as_of=0001-01-01", 0),
    ] {
        let target = format!("/v1/datasets/edge_notice/aggregate?measures=count(){more}");
        assert_eq!(houses.rows(&target).await, [json!({ "count": expected })], "{target}");
        let target = format!("/v1/datasets/edge_notice/rows?select=kind&limit=1&count=exact{more}");
        let answers = houses.ask(&target, None).await;
        for (backend, answer) in answers {
            assert_eq!(answer.json()["page"]["total_count"], json!(expected), "{backend:?} {target}");
        }
    }
    houses.close().await;
}

#[tokio::test]
async fn rows_that_tie_come_in_the_order_of_the_key_in_the_direction_of_the_last_one() {
    let houses = Houses::open().await;
    let mut sorted = ids(&houses.rows("/v1/datasets/edge/rows?select=id&sort=id&limit=1000").await);
    assert!(sorted.is_sorted() && sorted[0] == i64::MIN && sorted.last() == Some(&i64::MAX));
    assert_eq!(ids(&houses.rows("/v1/datasets/edge/rows?select=id&sort=flat&limit=1000").await), sorted);
    sorted.reverse();
    assert_eq!(ids(&houses.rows("/v1/datasets/edge/rows?select=id&sort=-flat&limit=1000").await), sorted);
    houses.close().await;
}

#[tokio::test]
async fn a_walk_over_equal_keys_row_by_row_meets_every_row_once() {
    let houses = Houses::open().await;
    for (sort, sign) in [("flat", 1), ("-flat", -1)] {
        let question = format!("/v1/datasets/edge/rows?select=id&sort={sort}&limit=1");
        let mut target = question.clone();
        let mut walked = Vec::new();
        loop {
            let [(_, sqlite), (_, postgres), (_, clickhouse)] = houses.ask(&target, None).await;
            assert_eq!(sqlite.text(), postgres.text(), "{target}");
            assert_eq!(sqlite.text(), clickhouse.text(), "{target}");
            walked.extend(ids(&sqlite.rows()));
            match sqlite.json()["page"]["next_cursor"].as_str() {
                Some(cursor) => target = format!("{question}&cursor={cursor}"),
                None => break,
            }
        }
        assert_eq!(walked.len(), houses.count("edge", |_| true), "{sort}");
        assert!(walked.is_sorted_by(|one, other| if sign > 0 { one < other } else { one > other }), "{sort}");
    }
    houses.close().await;
}

#[tokio::test]
async fn nulls_stand_where_the_order_says_and_are_the_greatest_where_it_says_nothing() {
    let houses = Houses::open().await;
    let place = houses.place("edge", "small");
    let nulls = houses.count("edge", |row| row[place].is_none());
    for (sort, ascends, first) in [
        ("small", true, false),
        ("-small", false, true),
        ("small.nulls_first", true, true),
        ("small.nulls_last", true, false),
        ("-small.nulls_first", false, true),
        ("-small.nulls_last", false, false),
    ] {
        let rows = houses.rows(&format!("/v1/datasets/edge/rows?select=small&sort={sort}&limit=1000")).await;
        let (values, gap): (Vec<&Json>, Vec<&Json>) = if first {
            (each(&rows[nulls..], "small"), each(&rows[..nulls], "small"))
        } else {
            (each(&rows[..rows.len() - nulls], "small"), each(&rows[rows.len() - nulls..], "small"))
        };
        assert!(gap.iter().all(|value| value.is_null()), "{sort}");
        let values: Vec<i64> = values.into_iter().map(|value| value.as_i64().expect("no null")).collect();
        assert!(values.is_sorted_by(|one, other| if ascends { one <= other } else { one >= other }), "{sort}");
    }
    houses.close().await;
}

#[tokio::test]
async fn an_empty_list_has_nothing_in_it_and_null_is_not_in_it_either() {
    let houses = Houses::open().await;
    let all = houses.count("edge", |_| true);
    for (filter, expected) in [
        ("big.in=", 0),
        ("big.nin=", all),
        ("not.big.in=", all),
        ("not.big.nin=", 0),
        ("or=(big.in=(),word.in=())", 0),
        ("and=(big.nin=(),not.word.in=())", all),
    ] {
        let rows = houses.rows(&format!("/v1/datasets/edge/rows?select=id&limit=1000&{filter}")).await;
        assert_eq!(rows.len(), expected, "{filter}");
    }
    // A list with null's neighbor in it leaves null out on both sides.
    let place = houses.place("edge", "big");
    let known = houses.count("edge", |row| row[place].is_some());
    let within = houses.rows("/v1/datasets/edge/rows?select=id&limit=1000&big.in=0,7").await.len();
    let without = houses.rows("/v1/datasets/edge/rows?select=id&limit=1000&not.big.in=0,7").await.len();
    assert_eq!(within + without, known);
    houses.close().await;
}

#[tokio::test]
async fn the_negation_of_what_null_does_not_tell_is_not_told_either() {
    let houses = Houses::open().await;
    for (column, filter) in [
        ("small", "small.gt=0"),
        ("word", "word.prefix=a"),
        ("word", "word.contains=a"),
        ("tags", "tags.has=a"),
        ("flag", "flag=true"),
        ("day", "day.in=2012-02-29,2000-02-29"),
        ("wild", "wild.ne=0"),
    ] {
        let place = houses.place("edge", column);
        let known = houses.count("edge", |row| row[place].is_some());
        let is = houses.rows(&format!("/v1/datasets/edge/rows?select=id&limit=1000&{filter}")).await.len();
        let is_not = houses.rows(&format!("/v1/datasets/edge/rows?select=id&limit=1000&not.{filter}")).await.len();
        assert_eq!(is + is_not, known, "{filter} holds for {is}, its negation for {is_not}");
        assert!(is > 0 && is_not > 0, "{filter}");
    }
    houses.close().await;
}

#[tokio::test]
async fn whole_numbers_beyond_what_a_double_holds_keep_their_last_digit() {
    let houses = Houses::open().await;
    let place = houses.place("edge", "big");
    for literal in [(1_i64 << 53) + 1, 1 << 53, i64::MAX, i64::MIN, i64::MIN + 1] {
        let expected = houses.count("edge", |row| row[place] == Some(Value::Int(literal)));
        let rows = houses.rows(&format!("/v1/datasets/edge/rows?big={literal}&limit=1000")).await;
        assert_eq!(each(&rows, "big"), vec![&json!(literal); expected], "{literal}");
        let body = format!("{{\"filter\":{{\"big\":{literal}}},\"limit\":1000}}");
        for (backend, answer) in houses.ask("/v1/datasets/edge/query", Some(&body)).await {
            assert_eq!(answer.rows().len(), expected, "{backend:?} {body}");
        }
    }
    // The greatest and the least of them, several times over: far beyond 64 bits, and exact.
    let sum: i128 = houses
        .world
        .values("edge", place)
        .map(|value| match value {
            Value::Int(int) => i128::from(*int),
            other => panic!("{other:?}"),
        })
        .sum();
    assert!(sum > i128::from(i64::MAX) || sum < i128::from(i64::MIN), "the sum fits 64 bits: {sum}");
    let rows = houses.rows("/v1/datasets/edge/aggregate?measures=sum(big)&numbers=string").await;
    assert_eq!(rows, [json!({ "sum_big": sum.to_string() })]);
    let having = format!("/v1/datasets/edge/aggregate?measures=sum(big)&numbers=string&having=(sum(big)={sum})");
    assert_eq!(houses.rows(&having).await.len(), 1);
    houses.close().await;
}

#[tokio::test]
async fn decimals_of_38_digits_are_exact_and_a_sum_of_39_is_refused() {
    let houses = Houses::open().await;
    let greatest = "9999999999999999999999999999.9999999999";
    let part = |part: &str| format!("/v1/datasets/edge_wide/aggregate?part={part}&numbers=string&measures=");
    let rows = houses.rows(&format!("{}sum(wide),sum(whole),max(wide),count(wide)", part("full"))).await;
    let whole = "9".repeat(38);
    let expected = json!({
        "sum_wide": greatest,
        "sum_whole": whole,
        "max_wide": "9999999999999999999999999999.9999999998",
        "count_wide": "2",
    });
    assert_eq!(rows, [expected]);
    let rows = houses.rows(&format!("{}sum(wide),sum(whole)", part("zero"))).await;
    assert_eq!(rows, [json!({ "sum_wide": "0.0000000000", "sum_whole": "0" })]);
    for wide in [greatest, "9999999999999999999999999999.9999999998", "0.0000000001"] {
        let rows = houses.rows(&format!("/v1/datasets/edge_wide/rows?wide={wide}&numbers=string")).await;
        assert!(!rows.is_empty() && each(&rows, "wide").iter().all(|value| **value == wide), "{wide}: {rows:?}");
    }
    for measure in ["sum(wide)", "sum(whole)"] {
        let target = format!("{}{measure}", part("over"));
        for (backend, answer) in houses.ask(&target, None).await {
            assert_eq!((answer.status, answer.problem().as_str()), (422, "sum-too-large"), "{backend:?} {target}");
        }
    }
    houses.close().await;
}

#[tokio::test]
async fn negative_zero_is_zero_in_filters_groups_and_bytes() {
    let houses = Houses::open().await;
    let place = houses.place("edge", "wild");
    let zeros = |sign: f64| {
        let is =
            move |cell: &Cell| matches!(cell, Some(Value::Float(float)) if *float == 0.0 && float.signum() == sign);
        houses.count("edge", |row| is(&row[place]))
    };
    assert!(zeros(-1.0) > 0 && zeros(1.0) > 0, "the rows have both zeros");
    let expected = zeros(-1.0) + zeros(1.0);
    for filter in ["wild=0", "wild=-0", "wild=-0.0", "wild.in=-0.0", "wild.gte=0&wild.lte=-0", "not.wild.ne=-0e0"] {
        let target = format!("/v1/datasets/edge/rows?select=wild&limit=1000&{filter}");
        for (backend, answer) in houses.ask(&target, None).await {
            assert_eq!(answer.rows().len(), expected, "{backend:?} {filter}");
            assert!(!answer.text().contains("-0"), "{filter}: {}", answer.text());
        }
    }
    let rows = houses.rows("/v1/datasets/edge/aggregate?group_by=wild&measures=count()&having=(wild=0)").await;
    assert_eq!(rows, [json!({ "wild": 0.0, "count": expected })]);
    let rows =
        houses.rows("/v1/datasets/edge/aggregate?wild=0&measures=count_distinct(wild),min(wild),max(wild)").await;
    assert_eq!(rows, [json!({ "count_distinct_wild": 1, "min_wild": 0.0, "max_wild": 0.0 })]);
    let latest = houses.rows("/v1/datasets/edge/rows?latest_by=wild&wild=0").await;
    assert_eq!(latest.len(), 1);
    houses.close().await;
}

#[tokio::test]
async fn leap_days_and_the_weeks_around_a_new_year_fall_into_their_own_intervals() {
    let houses = Houses::open().await;
    let days = "1900-02-28,1900-03-01,2000-02-28,2000-02-29,2000-03-01,2008-12-29,2010-01-03,2013-12-31,2014-01-01";
    for (bucket, expected) in [
        ("day", days.split(',').map(|day| (day, 1)).collect::<Vec<_>>()),
        ("week", vec![("1900-02-26", 2), ("2000-02-28", 3), ("2008-12-29", 1), ("2009-12-28", 1), ("2013-12-30", 2)]),
        (
            "month",
            vec![
                ("1900-02-01", 1),
                ("1900-03-01", 1),
                ("2000-02-01", 2),
                ("2000-03-01", 1),
                ("2008-12-01", 1),
                ("2010-01-01", 1),
                ("2013-12-01", 1),
                ("2014-01-01", 1),
            ],
        ),
        (
            "quarter",
            vec![
                ("1900-01-01", 2),
                ("2000-01-01", 3),
                ("2008-10-01", 1),
                ("2010-01-01", 1),
                ("2013-10-01", 1),
                ("2014-01-01", 1),
            ],
        ),
        (
            "year",
            vec![
                ("1900-01-01", 2),
                ("2000-01-01", 3),
                ("2008-01-01", 1),
                ("2010-01-01", 1),
                ("2013-01-01", 1),
                ("2014-01-01", 1),
            ],
        ),
    ] {
        let filter = format!("kind=A&day.in={days}&measures=count()");
        let rows = houses.rows(&format!("/v1/datasets/edge_bar/aggregate?{filter}&group_by=day:{bucket}")).await;
        let name = format!("day_{bucket}");
        let found: Vec<(&str, i64)> = rows
            .iter()
            .map(|row| (row[&name].as_str().expect("a day"), row["count"].as_i64().expect("a count")))
            .collect();
        assert_eq!(found, expected, "{bucket}");
    }
    houses.close().await;
}

#[tokio::test]
async fn a_day_on_which_clocks_go_back_has_25_hours_and_one_group() {
    let houses = Houses::open().await;
    let (from, to) = ("2012-11-04T04:00:00Z", "2012-11-05T05:00:00Z");
    for (dataset, column) in [("edge", "at"), ("edge_tick", "at"), ("edge_notice", "happened")] {
        let place = houses.place(dataset, column);
        let within = instant(from)..instant(to);
        let expected =
            houses.count(dataset, |row| matches!(row[place], Some(Value::Instant(at)) if within.contains(&at)));
        assert!(expected > 0, "{dataset} has no such instant");
        let filter = format!("{column}.gte={from}&{column}.lt={to}&group_by={column}:day&measures=count()");
        let target = format!("/v1/datasets/{dataset}/aggregate?{filter}&tz=America/New_York");
        let name = format!("{column}_day");
        assert_eq!(houses.rows(&target).await, [json!({ name: "2012-11-04", "count": expected })], "{target}");
    }
    houses.close().await;
}

#[tokio::test]
async fn the_last_microsecond_of_the_calendar_is_a_literal_like_any_other() {
    let houses = Houses::open().await;
    let place = houses.place("edge_kind", "since");
    for literal in ["9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00Z"] {
        let expected = houses.count("edge_kind", |row| row[place] == Some(Value::Instant(instant(literal))));
        assert!(expected > 0, "{literal} does not occur");
        let rows = houses.rows(&format!("/v1/datasets/edge_kind/rows?since={literal}")).await;
        assert_eq!(each(&rows, "since"), vec![&json!(literal); expected], "{literal}");
    }
    houses.close().await;
}

#[tokio::test]
async fn an_instant_at_either_end_of_the_calendar_has_a_day_in_every_zone() {
    let houses = Houses::open().await;
    let place = houses.place("edge_kind", "since");
    let known = houses.count("edge_kind", |row| row[place].is_some());
    for zone in ["America/New_York", "Asia/Tokyo", "UTC"] {
        houses.rows(&format!("/v1/datasets/edge_kind/rows?sort=since&tz={zone}")).await;
        for bucket in ["day", "week", "month", "quarter", "year"] {
            let groups = format!("group_by=since:{bucket}&measures=count(since)&tz={zone}");
            let rows = houses.rows(&format!("/v1/datasets/edge_kind/aggregate?{groups}")).await;
            let dated = rows.iter().filter(|row| !row[format!("since_{bucket}")].is_null());
            let counts = dated.map(|row| row["count_since"].as_u64().expect("a count"));
            assert_eq!(counts.sum::<u64>(), known as u64, "{zone} {bucket}: {rows:?}");
        }
    }
    houses.close().await;
}

#[tokio::test]
async fn a_late_restatement_of_an_older_period_displaces_no_newer_one() {
    let houses = Houses::open().await;
    let [kind, metric, period, known] =
        ["kind", "metric", "period", "known"].map(|column| houses.place("edge_fact", column));
    let facts = houses.world.rows("edge_fact");
    let days_of = |cell: &Cell| match cell {
        Some(Value::Date(days)) => *days,
        other => panic!("{other:?} is no day"),
    };
    let late = facts.iter().any(|old| {
        facts.iter().any(|new| {
            (old[kind] == new[kind] && old[metric] == new[metric])
                && days_of(&old[period]) < days_of(&new[period])
                && days_of(&old[known]) > days_of(&new[known])
        })
    });
    assert!(late, "no older period is restated after a newer one became known");
    let instants: BTreeSet<i32> = facts.iter().map(|row| days_of(&row[known])).collect();
    for as_of in instants {
        let newest = |row: &Json| {
            let same = facts.iter().filter(|other| {
                other[kind] == text(&row["kind"])
                    && other[metric] == text(&row["metric"])
                    && days_of(&other[known]) <= as_of
            });
            same.map(|other| days_of(&other[period])).max().expect("the row itself")
        };
        for more in ["", "&revision=first", "&revision=all"] {
            let target =
                format!("/v1/datasets/edge_fact/rows?latest_by=kind,metric&limit=1000&as_of={}{more}", date(as_of));
            let rows = houses.rows(&target).await;
            for row in &rows {
                let period = day(row["period"].as_str().expect("a day")).expect("a day");
                assert_eq!(period, newest(row), "{target}: {row}");
            }
            let keys = |row: &Row| (format!("{:?}", row[kind]), format!("{:?}", row[metric]));
            let groups: BTreeSet<_> = facts.iter().filter(|row| days_of(&row[known]) <= as_of).map(keys).collect();
            assert_eq!(rows.len(), groups.len(), "{target}");
        }
    }
    houses.close().await;
}

fn text(json: &Json) -> Cell {
    json.as_str().map(|text| Value::Text(text.to_owned()))
}

#[tokio::test]
async fn of_revisions_that_became_known_at_once_the_greater_key_is_the_newer() {
    let houses = Houses::open().await;
    let identity = ["kind", "metric", "begun", "period", "known"].map(|column| houses.place("edge_fact", column));
    let facts = houses.world.rows("edge_fact");
    let id = houses.place("edge_fact", "id");
    let mut ties = 0;
    for row in facts {
        let same = |other: &&Row| identity.iter().all(|place| other[*place] == row[*place]);
        let mut tied: Vec<i64> = (facts.iter().filter(same))
            .filter_map(|row| match row[id] {
                Some(Value::Int(id)) => Some(id),
                _ => None,
            })
            .collect();
        tied.sort_unstable();
        let newest_at_all = {
            let fact = &identity[..4];
            let of_fact = facts.iter().filter(|other| fact.iter().all(|place| other[*place] == row[*place]));
            of_fact.map(|other| format!("{:?}", other[identity[4]])).collect::<BTreeSet<_>>().len() == 1
        };
        if tied.len() < 2 || !newest_at_all {
            continue;
        }
        ties += 1;
        let among = tied.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        for (revision, expected) in [("first", tied[0]), ("latest", tied[tied.len() - 1])] {
            let target = format!("/v1/datasets/edge_fact/rows?select=id&id.in={among}&revision={revision}");
            assert_eq!(ids(&houses.rows(&target).await), [expected], "{target}");
        }
    }
    assert!(ties > 0, "no fact has all of its revisions on one day");
    houses.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn for_every_instant_in_the_data_no_row_that_was_known_later_is_in_the_answer() {
    let houses = Houses::open().await;
    let of = |dataset: &str, column: &str| -> BTreeSet<i64> {
        let place = houses.place(dataset, column);
        let values = houses.world.values(dataset, place).map(|value| match value {
            Value::Date(days) => i64::from(*days) * MICROS_PER_DAY,
            Value::Instant(micros) => *micros,
            other => panic!("{other:?} is no time"),
        });
        values.collect()
    };
    // A fact is known when its day is over: at noon of it, it is not.
    let facts = of("edge_fact", "known").into_iter().flat_map(|day| {
        let noon = day + MICROS_PER_DAY / 2;
        [("edge_fact", "known", spelt_day(day), day), ("edge_fact", "known", instant_text(noon, None), day - 1)]
    });
    let notices = of("edge_notice", "heard").into_iter().flat_map(|at| {
        [
            ("edge_notice", "heard", instant_text(at, None), at),
            ("edge_notice", "heard", instant_text(at - 1, None), at - 1),
        ]
    });
    let instants: Vec<_> = facts.chain(notices).collect();
    assert!(instants.len() > 100, "{} instants", instants.len());
    let asked = stream::iter(&instants);
    asked
        .for_each_concurrent(AT_ONCE, |(dataset, column, as_of, last)| {
            nothing_known_later(&houses, dataset, column, as_of, *last)
        })
        .await;
    houses.close().await;
}

fn spelt_day(micros: i64) -> String {
    date(i32::try_from(micros / MICROS_PER_DAY).expect("a day")).to_string()
}

/// Asks in every way that chooses rows, and looks for what became known after `last`.
async fn nothing_known_later(houses: &Houses, dataset: &str, column: &str, as_of: &str, last: i64) {
    let known = |value: &Json| instant(value.as_str().expect("a time"));
    let place = houses.place(dataset, column);
    let expected = houses.count(dataset, |row| match &row[place] {
        Some(Value::Date(days)) => i64::from(*days) * MICROS_PER_DAY <= last,
        Some(Value::Instant(micros)) => *micros <= last,
        other => panic!("{other:?} is no time"),
    });
    let as_of = format!("as_of={}", as_of.replace(':', "%3A"));
    for more in ["", "&revision=all", "&revision=first", "&latest_by=kind"] {
        let target = format!("/v1/datasets/{dataset}/rows?select={column}&limit=1000&{as_of}{more}");
        let rows = houses.rows(&target).await;
        assert!(each(&rows, column).into_iter().all(|value| known(value) <= last), "{target}: {rows:?}");
        // And nothing that was known is missing.
        if more == "&revision=all" {
            assert_eq!(rows.len(), expected, "{target}");
        }
        let measures = format!("measures=count(),max({column}),last({column})");
        let target = format!("/v1/datasets/{dataset}/aggregate?{measures}&{as_of}{more}");
        for row in houses.rows(&target).await {
            for name in [format!("max_{column}"), format!("last_{column}")] {
                assert!(row[&name].is_null() || known(&row[&name]) <= last, "{target}: {row}");
            }
        }
    }
    // Facts come along with notices; what comes along was known then too.
    if dataset == "edge_notice" {
        let target =
            format!("/v1/datasets/{dataset}/rows?select=number&limit=20&expand=facts(known,limit=100)&{as_of}");
        for row in houses.rows(&target).await {
            let facts = row["facts"].as_array().expect("a list");
            assert!(facts.iter().all(|fact| known(&fact["known"]) + MICROS_PER_DAY <= last), "{target}: {row}");
        }
    }
}
