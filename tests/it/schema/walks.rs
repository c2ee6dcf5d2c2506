//! Random walks: schemas drawn from few names, so that they meet often, each led to the next.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::{Database, inspected, planned};
use martello::migrate::schema::{Running, diff, run};

#[derive(Clone, Debug)]
struct Column {
    kind: usize,
    not_null: bool,
    default: bool,
}

#[derive(Clone, Debug)]
struct Table {
    columns: Vec<Option<Column>>,
    key: bool,
    indexed: Vec<bool>,
    refers: bool,
    viewed: u8,
    checked: bool,
}

const TYPES: [(&str, &str); 6] =
    [("int", "1"), ("bigint", "2"), ("text", "'x'"), ("numeric(10,2)", "1.5"), ("e", "'a'"), ("varchar(9)", "'y'")];

fn column() -> impl Strategy<Value = Option<Column>> {
    let column = (0..TYPES.len(), any::<bool>(), any::<bool>());
    let column = column.prop_map(|(kind, not_null, default)| Column { kind, not_null, default });
    prop::option::weighted(0.7, column)
}

fn table() -> impl Strategy<Value = Option<Table>> {
    let parts = (
        prop::collection::vec(column(), 3),
        any::<bool>(),
        prop::collection::vec(any::<bool>(), 3),
        any::<bool>(),
        0_u8..4,
        any::<bool>(),
    );
    let table = parts.prop_map(|(columns, key, indexed, refers, viewed, checked)| Table {
        columns,
        key,
        indexed,
        refers,
        viewed,
        checked,
    });
    prop::option::weighted(0.8, table)
}

fn written(labels: usize, tables: &[Option<Table>]) -> String {
    let labels = ["'a'", "'a', 'b'", "'b', 'a'", "'c', 'a', 'b'"][labels];
    let mut sql = format!("CREATE TYPE e AS ENUM ({labels});\n");
    let mut last: Option<usize> = None;
    for (number, table) in tables.iter().enumerate() {
        let Some(table) = table else { continue };
        let mut lines = vec![format!("id int{}", if table.key { " PRIMARY KEY" } else { "" })];
        let mut names = Vec::new();
        for (place, column) in table.columns.iter().enumerate() {
            let Some(column) = column else { continue };
            let (kind, value) = TYPES[column.kind];
            let default = if column.default { format!(" DEFAULT {value}") } else { String::new() };
            lines.push(format!("c{place} {kind}{default}{}", if column.not_null { " NOT NULL" } else { "" }));
            names.push(place);
        }
        if table.checked {
            lines.push("CONSTRAINT positive CHECK (id > 0)".to_owned());
        }
        writeln!(sql, "CREATE TABLE t{number} ({});", lines.join(", ")).expect("written");
        for place in names.iter().filter(|place| table.indexed[**place]) {
            writeln!(sql, "CREATE INDEX i{number}{place} ON t{number} (c{place}, id);").expect("written");
        }
        if let Some(last) = last.filter(|_| table.refers) {
            writeln!(sql, "ALTER TABLE t{number} ADD FOREIGN KEY (id) REFERENCES t{last};").expect("written");
        }
        let shown: Vec<String> = names.iter().map(|place| format!("c{place}")).collect();
        let shown = if shown.is_empty() { "id".to_owned() } else { shown.join(", ") };
        match table.viewed {
            1 => writeln!(sql, "CREATE VIEW v{number} AS SELECT {shown} FROM t{number};"),
            2 => writeln!(sql, "CREATE MATERIALIZED VIEW v{number} AS SELECT {shown} FROM t{number};"),
            3 => writeln!(
                sql,
                "CREATE VIEW v{number} AS SELECT {shown} FROM t{number}; CREATE VIEW a{number} AS SELECT * FROM v{number};"
            ),
            _ => Ok(()),
        }
        .expect("written");
        last = table.key.then_some(number).or(last);
    }
    sql
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_leads_to_whatever_is_wished_and_then_to_rest(
        steps in prop::collection::vec((0_usize..4, prop::collection::vec(table(), 3)), 2..4)
    ) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let (walker, wished) = (Database::new(), Database::new());
        for (labels, tables) in &steps {
            let sql = written(*labels, tables);
            wished.reset(&sql);
            runtime.block_on(async {
                let (is, wish) = (inspected(&walker).await, inspected(&wished).await);
                let plan = planned(&is, &wish, &super::server()).await.map_err(|fault| TestCaseError::fail(format!("{fault}\n{sql}")))?;
                let running = Running { lock_timeout: "3s".to_owned() };
                let ran = run(&walker.url(), &plan.statements, &running, &mut |_| ()).await;
                prop_assert!(ran.is_ok(), "{ran:?}\n{sql}");
                let now = inspected(&walker).await;
                prop_assert_eq!(diff(&now, &wish), []);
                prop_assert_eq!(diff(&wish, &now), []);
                prop_assert_eq!(now.fingerprint(), wish.fingerprint());
                Ok(())
            })?;
        }
    }
}
