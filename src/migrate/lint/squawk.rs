//! What only the text of a file tells, by the rules of squawk.

use squawk_linter::{Linter, Rule};
use squawk_syntax::SourceFile;

use super::super::folder::{self, File, Transactions};

/// Rules that the replay answers better, since it knows which tables are new and what the server does with a statement;
/// and that of statements which may be repeated, which is the ledger's affair.
const ANSWERED: [Rule; 21] = [
    Rule::RequireConcurrentIndexCreation,
    Rule::RequireConcurrentIndexDeletion,
    Rule::BanConcurrentIndexCreationInTransaction,
    Rule::ConstraintMissingNotValid,
    Rule::AddingForeignKeyConstraint,
    Rule::AddingFieldWithDefault,
    Rule::AddingNotNullableField,
    Rule::AddingRequiredField,
    Rule::AddingSerialPrimaryKeyField,
    Rule::ChangingColumnType,
    Rule::RenamingColumn,
    Rule::RenamingTable,
    Rule::DisallowedUniqueConstraint,
    Rule::BanDropColumn,
    Rule::BanDropTable,
    Rule::BanDropSchema,
    Rule::BanDropConstraint,
    Rule::PreferRobustStmts,
    Rule::UnusedIgnore,
    // How long a migration may take is the server's or the role's setting here.
    Rule::RequireLockTimeout,
    Rule::RequireStatementTimeout,
];

/// What a rule found.
pub(super) struct Violation {
    pub(super) code: String,
    /// At which byte of the file.
    pub(super) at: usize,
    pub(super) text: String,
    pub(super) instead: String,
}

/// What its rules find in a file. One that is cut in another way than by semicolons is not read.
pub(super) fn lint(file: &File) -> Result<Vec<Violation>, folder::Error> {
    if file.text.starts_with("-- atlas:delimiter") {
        return Ok(Vec::new());
    }
    let mut linter = Linter::with_default_rules();
    for rule in &ANSWERED {
        linter.rules.remove(rule);
    }
    linter.settings.assume_in_transaction = file.transactions()? != Some(Transactions::None);
    let parsed = SourceFile::parse(&file.text);
    let violations = linter.lint(&parsed, &file.text).into_iter().map(|violation| Violation {
        code: format!("squawk:{}", violation.code),
        at: usize::from(violation.text_range.start()),
        text: one_line(&violation.message),
        instead: one_line(&violation.help.unwrap_or_default()),
    });
    Ok(violations.collect())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
