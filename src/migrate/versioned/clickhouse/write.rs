//! Steps of a plan as a file of a folder.

use super::super::super::clickhouse::Step;
use super::super::super::schema::{Hazard, Risk};
use super::super::write::described;

/// What a file cannot do that copies rows.
const LATE: &str = "rows that are written while this is copied stay in the table that is left: keep writers away, or lead the \
                    database with martello schema apply, which brings them behind";

/// Steps with what is to be said of each, and what all of them may cost.
pub(super) fn body(steps: &[Step]) -> (String, Vec<Risk>) {
    let mut text = String::new();
    let mut hazards = Vec::new();
    for Step { sql, hazards: risks, copy } in steps {
        if copy.as_ref().is_some_and(|copy| copy.again) {
            // Which parts are new is known to whoever copied the others.
            continue;
        }
        let late = copy.as_ref().map(|_| Risk { hazard: Hazard::Correctness, why: LATE.to_owned() });
        text += &format!("-- {}\n", described(sql));
        for risk in risks.iter().cloned().chain(late) {
            text += &format!("-- {}: {}\n", risk.hazard, risk.why.replace('\n', " "));
            hazards.push(risk);
        }
        text += sql;
        text += ";\n";
    }
    (text, hazards)
}

#[cfg(test)]
mod tests {
    use super::super::super::super::clickhouse::Copying;
    use super::*;

    #[test]
    fn rows_that_come_while_others_are_copied_are_told_and_not_copied_twice() {
        let copy = |again| Step {
            sql: "INSERT INTO b (`a`) SELECT `a` FROM t".to_owned(),
            hazards: Vec::new(),
            copy: Some(Copying {
                from: "t".to_owned(),
                to: "b".to_owned(),
                columns: "`a`".to_owned(),
                ordered: false,
                again,
            }),
        };
        let drop = Step::new("DROP TABLE t").risking(Hazard::DeletesData, "all\nof it");
        let (text, hazards) = body(&[copy(false), copy(true), drop]);
        let expected = format!(
            "-- Insert into b\n-- correctness: {LATE}\nINSERT INTO b (`a`) SELECT `a` FROM t;\n\
             -- Drop table t\n-- deletes-data: all of it\nDROP TABLE t;\n"
        );
        assert_eq!(text, expected);
        assert_eq!(
            hazards.iter().map(|risk| risk.hazard.as_str()).collect::<Vec<_>>(),
            ["correctness", "deletes-data"]
        );
    }
}
