//! Thousands of random questions, each answered four times: by SQLite, Postgres and ClickHouse, and by brute force over the rows in
//! memory. All three must agree, to the byte where nothing is computed in floating point.

pub mod dice;
mod document;
mod fixed;
mod groups;
pub mod houses;
mod policy;
mod question;
mod reference;
mod value;
mod verdict;
mod wording;
mod world;

use futures_util::{StreamExt as _, stream};
use martello::query::{Count, Cursor, Limit};

use dice::Dice;
use houses::Houses;
use question::{Question, Theme, float_key, is_near};
use reference::Overflow;
use verdict::Expected;

use crate::support::{Answer, Backend};

/// Below the connections of a source, so that no question waits for another.
const AT_ONCE: usize = 8;
/// Pages of one walk at most, and how many questions of a hundred are walked.
const PAGES_MAX: usize = 8;
const WALKS: u64 = 40;
/// Rows of a page when the question names no limit.
const LIMIT_DEFAULT: usize = 100;
/// Failures that are told; more say nothing new.
const FAILURES_MAX: usize = 6;

/// Throws questions of a theme, and tells of those that are answered otherwise than by the reference.
async fn agree(theme: Theme, questions: u64) {
    let houses = Houses::open().await;
    let checked: Vec<Result<usize, String>> =
        stream::iter(0..questions).map(|seed| check(&houses, theme, seed)).buffer_unordered(AT_ONCE).collect().await;
    houses.close().await;
    let failures: Vec<&str> = checked.iter().filter_map(|checked| checked.as_ref().err()).map(String::as_str).collect();
    let told = failures[..failures.len().min(FAILURES_MAX)].join("\n\n");
    assert!(failures.is_empty(), "{theme:?}: {} of {questions} differ\n\n{told}", failures.len());
    let found = checked.iter().filter(|checked| checked.as_ref().is_ok_and(|rows| *rows > 0)).count() as u64;
    assert!(found * 2 > questions, "{theme:?}: only {found} of {questions} questions find anything");
}

/// One question, and the pages behind its first; how many rows it has.
async fn check(houses: &Houses, theme: Theme, seed: u64) -> Result<usize, String> {
    let dice = &mut Dice::seeded((theme as u64) << 32 | seed);
    let mut question = Question::throw(dice, &houses.world, theme);
    let dataset = houses.world.dataset(&question.query.dataset);
    let reference = reference::answer(&houses.world, &question.query, &question.form());
    let float_key = float_key(dataset, &question.query);
    let single = question.query.key.is_some();
    let pages = if dice.chance(WALKS) { PAGES_MAX } else { 1 };
    let mut from = 0;
    for _ in 0..pages {
        // The pages behind the first are asked for in other words: a cursor belongs to a meaning.
        let wording = question.word(dice);
        let limit = match question.query.page.limit {
            Some(Limit::Rows(limit)) => usize::try_from(limit).expect("few"),
            Some(Limit::All) | None => LIMIT_DEFAULT,
        };
        let answers = houses.ask(&wording.target, wording.body.as_deref()).await;
        let failed = |error: String| {
            let body = wording.body.as_deref().map(|body| format!("\n  body {body}")).unwrap_or_default();
            format!("{theme:?} seed {seed}: {}{body}\n  {error}", wording.target)
        };
        let rows = match &reference {
            Ok(rows) => rows,
            // What overflows may stand behind the page.
            Err(Overflow { groups }) if *groups > limit => return Ok(*groups),
            Err(Overflow { groups }) => return each(&answers, verdict::refused).map(|()| *groups).map_err(failed),
        };
        if single {
            return each(&answers, |answer| verdict::one(rows.first(), answer)).map(|()| rows.len()).map_err(failed);
        }
        // Where a computed float decides the order, it decides what stands on which page, too.
        if float_key.is_some() && rows.len() > limit {
            return Ok(rows.len());
        }
        let to = rows.len().min(from + limit);
        let expected = Expected {
            rows: &rows[from..to],
            has_more: to < rows.len(),
            total: (question.query.count == Count::Exact).then_some(rows.len()),
            float_key: float_key.as_deref(),
        };
        let cursor = each(&answers, |answer| verdict::page(&expected, answer)).map_err(failed)?;
        if !is_near(dataset, &question.query) {
            let [(_, first), others @ ..] = &answers;
            for (backend, other) in others {
                let same = verdict::same(&first.text(), &other.text());
                same.map_err(|error| failed(format!("SQLite and {backend:?} differ: {error}")))?;
            }
        }
        let Some(cursor) = cursor else { return Ok(rows.len()) };
        question.query.page.cursor = Some(Cursor(cursor));
        if dice.chance(30) {
            question.query.page.limit = Some(Limit::Rows(dice.pick(&[1, 4, 9])));
        }
        from = to;
    }
    Ok(from)
}

/// What all answers are found to be, or whose is wrong and why.
fn each<T>(answers: &[(Backend, Answer); 3], check: impl Fn(&Answer) -> Result<T, String>) -> Result<T, String> {
    let found = answers.iter().map(|(backend, answer)| check(answer).map_err(|error| format!("{backend:?}: {error}")));
    found.reduce(Result::and).expect("some")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_questions_about_rows_have_the_answers_of_brute_force() {
    agree(Theme::Rows, 1000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_questions_about_groups_have_the_answers_of_brute_force() {
    agree(Theme::Groups, 900).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_questions_about_revisions_have_the_answers_of_brute_force() {
    agree(Theme::Revisions, 600).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_questions_about_related_rows_have_the_answers_of_brute_force() {
    agree(Theme::Related, 500).await;
}
