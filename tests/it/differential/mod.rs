//! Thousands of random questions, each answered three times: by SQLite, by Postgres, and by brute force over the rows in
//! memory. All three must agree, to the byte where nothing is computed in floating point.

mod dice;
mod fixed;
mod groups;
mod houses;
mod question;
mod reference;
mod value;
mod verdict;
mod wording;
mod world;

use futures_util::{StreamExt as _, stream};
use martello::query::{Count, Cursor};

use dice::Dice;
use houses::Houses;
use question::{Question, Theme, exact_keys, is_near};
use verdict::Expected;
use wording::Wording;

use crate::support::{Answer, Backend};

/// Below the connections of a source, so that no question waits for another.
const AT_ONCE: usize = 8;
/// Pages of one walk at most.
const PAGES_MAX: usize = 8;
/// Failures that are told; more say nothing new.
const FAILURES_MAX: usize = 6;

/// Throws questions of a theme, and tells of the first that are answered otherwise than by the reference.
async fn agree(theme: Theme, questions: u64) {
    let houses = Houses::open().await;
    let failures: Vec<String> = stream::iter(0..questions)
        .map(|seed| check(&houses, theme, seed))
        .buffer_unordered(AT_ONCE)
        .filter_map(|checked| std::future::ready(checked.err()))
        .take(FAILURES_MAX)
        .collect()
        .await;
    houses.close().await;
    assert!(failures.is_empty(), "{theme:?}: {} or more differ\n\n{}", failures.len(), failures.join("\n\n"));
}

/// One question, and the pages behind its first.
async fn check(houses: &Houses, theme: Theme, seed: u64) -> Result<(), String> {
    let dice = &mut Dice::seeded((theme as u64) << 32 | seed);
    let mut question = Question::throw(dice, &houses.world, theme);
    let wording = question.word(dice);
    let failed = |wording: &Wording, error: String| {
        let body = wording.body.as_deref().map(|body| format!("\n  body {body}")).unwrap_or_default();
        format!("{theme:?} seed {seed}: {}{body}\n  {error}", wording.target)
    };
    let rows = match reference::answer(&houses.world, &question.query, &question.form()) {
        Ok(rows) => rows,
        Err(refused) => {
            let answers = houses.ask(&wording.target, wording.body.as_deref()).await;
            // The group may be behind the page.
            let told = answers.iter().try_for_each(|(_, answer)| verdict::overflow(refused, answer));
            return told.or_else(|error| {
                if question.query.page.limit.is_some() { Ok(()) } else { Err(failed(&wording, error)) }
            });
        }
    };
    if question.query.key.is_some() {
        let answers = houses.ask(&wording.target, wording.body.as_deref()).await;
        let told = each(&answers, |answer| verdict::one(rows.first(), answer));
        return told.map(drop).map_err(|error| failed(&wording, error));
    }
    let limit = question.query.page.limit.map_or(100, |limit| usize::try_from(limit).expect("few"));
    let dataset = houses.world.dataset(&question.query.dataset);
    let near = is_near(dataset, &question.query);
    let by_float = exact_keys(dataset, &question.query);
    let key = |place: usize| question.query.order.as_ref().map(|keys| (place, keys[place].field.clone()));
    let exact_keys = by_float.and_then(key);
    // Where a computed float decides the order, what is on which page is not.
    if exact_keys.is_some() && rows.len() > limit {
        return Ok(());
    }
    let mut from = 0;
    for _ in 0..PAGES_MAX {
        // The pages behind the first are asked for in other words: a cursor belongs to a meaning.
        let wording = question.word(dice);
        let to = rows.len().min(from + limit);
        let total = (question.query.count == Count::Exact).then_some(rows.len());
        let exact_keys = exact_keys.clone();
        let expected = Expected { rows: &rows[from..to], has_more: to < rows.len(), total, exact_keys };
        let answers = houses.ask(&wording.target, wording.body.as_deref()).await;
        let cursors =
            each(&answers, |answer| verdict::page(&expected, answer)).map_err(|error| failed(&wording, error))?;
        if !near {
            let [(_, sqlite), (_, postgres)] = &answers;
            verdict::same(&sqlite.text(), &postgres.text())
                .map_err(|error| failed(&wording, format!("SQLite and Postgres differ: {error}")))?;
        }
        let Some(cursor) = cursors else { return Ok(()) };
        question.query.page.cursor = Some(Cursor(cursor));
        from = to;
    }
    Ok(())
}

/// What both answers are found to be, or whose is wrong and why.
fn each<T>(answers: &[(Backend, Answer); 2], check: impl Fn(&Answer) -> Result<T, String>) -> Result<T, String> {
    let mut found =
        answers.iter().map(|(backend, answer)| check(answer).map_err(|error| format!("{backend:?}: {error}")));
    let (sqlite, postgres) = (found.next().expect("two"), found.next().expect("two"));
    sqlite.and(postgres)
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
