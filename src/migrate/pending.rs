//! What of a folder is still to be applied, by what the ledger says. No database is asked here.

use super::error::Error;
use super::folder::File;
use super::ledger::Revision;

/// What becomes of files that are new among those that were applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Order {
    /// Nothing is applied while there are any.
    #[default]
    Linear,
    /// They are left out.
    LinearSkip,
    /// They are applied first.
    NonLinear,
}

/// What is left to do.
#[derive(Debug)]
pub struct Pending<'f> {
    /// Files that follow on what was applied; the first may be partly applied.
    pub files: Vec<&'f File>,
    /// Files that are new among those that were applied.
    pub out_of_order: Vec<&'f File>,
    /// The newest version that was applied.
    current: Option<String>,
}

/// What follows on those rows; where there are none, on a baseline or from the newest checkpoint on.
///
/// # Errors
/// When a file that is partly applied is gone, or no file has the version of the baseline.
pub fn pending<'f>(files: &'f [File], rows: &[Revision], baseline: Option<&str>) -> Result<Pending<'f>, Error> {
    let ordinary: Vec<&File> = files.iter().filter(|file| !file.is_checkpoint()).collect();
    let Some(last) = rows.last() else {
        let files = match baseline {
            Some(version) => {
                let at = ordinary.iter().rposition(|file| file.version() == version);
                let at = at.ok_or_else(|| unknown(version, files))?;
                ordinary[at + 1..].to_vec()
            }
            None => match files.iter().rposition(File::is_checkpoint) {
                Some(at) => files[at..].iter().collect(),
                None => ordinary,
            },
        };
        return Ok(Pending { files, out_of_order: Vec::new(), current: None });
    };
    let current = Some(last.version.clone());
    let begun = |row: &Revision| {
        let found = files.iter().find(|file| file.version() == row.version);
        found.ok_or_else(|| Error::Missing { version: row.version.clone(), applied: row.applied, total: row.total })
    };
    // What was left half done out of order comes before all else.
    let partial = rows[..rows.len() - 1].iter().filter(|row| row.is_partial());
    let mut next = partial.map(begun).collect::<Result<Vec<_>, _>>()?;
    let mut end = ordinary.iter().rposition(|file| file.version() <= last.version.as_str()).map_or(0, |at| at + 1);
    if last.is_partial() {
        let file = begun(last)?;
        if file.is_checkpoint() {
            next.push(file);
            let behind = files.iter().skip_while(|other| *other != file);
            next.extend(behind.filter(|file| !file.is_checkpoint()));
            return Ok(Pending { files: next, out_of_order: Vec::new(), current });
        }
        end = ordinary.iter().position(|other| *other == file).unwrap_or(end);
    }
    next.extend(&ordinary[end..]);
    // By place, as names are ordered: `10_b` stands before `1_a`. A database that began with a checkpoint or a baseline owes
    // nothing from before it.
    let begins = ordinary[..end].iter().position(|file| file.version() >= rows[0].version.as_str()).unwrap_or(end);
    let is_known = |file: &&File| rows.iter().any(|row| row.version == file.version());
    let out_of_order = ordinary[begins..end].iter().copied().filter(|file| !is_known(file)).collect();
    Ok(Pending { files: next, out_of_order, current })
}

impl<'f> Pending<'f> {
    /// The files to apply, one after another.
    ///
    /// # Errors
    /// When there are new ones among those that were applied, and that is not to be.
    pub fn in_order(self, order: Order) -> Result<Vec<&'f File>, Error> {
        match order {
            _ if self.out_of_order.is_empty() => Ok(self.files),
            Order::LinearSkip => Ok(self.files),
            Order::NonLinear => Ok(self.out_of_order.into_iter().chain(self.files).collect()),
            Order::Linear => Err(self.disorder()),
        }
    }

    /// That there are new files among those that were applied.
    pub(super) fn disorder(&self) -> Error {
        Error::OutOfOrder {
            files: self.out_of_order.iter().map(|file| file.name.clone()).collect(),
            current: self.current.clone().unwrap_or_default(),
            them: if self.out_of_order.len() == 1 { "it" } else { "each" },
        }
    }
}

/// That no file has that version.
pub(super) fn unknown(version: &str, files: &[File]) -> Error {
    let known = files.iter().map(|file| file.version().to_owned()).collect();
    Error::Unknown { version: version.to_owned(), known }
}

#[cfg(test)]
mod tests {
    use super::super::folder::Folder;
    use super::super::ledger::Kind;
    use super::*;
    use std::path::Path;

    /// Files, rows, a baseline, and what is pending.
    type Case<'c> = (&'c [&'c str], &'c [&'c str], Option<&'c str>, &'c str);

    const CHECKPOINT: &str = "-- atlas:checkpoint\n\nSELECT 1;";

    fn files(names: &[&str]) -> Vec<File> {
        let texts = names.iter().map(|name| match name.strip_suffix('!') {
            Some(name) => (format!("{name}.sql"), CHECKPOINT.to_owned()),
            None => (format!("{name}.sql"), "SELECT 1; SELECT 2;".to_owned()),
        });
        Folder::of(Path::new("m"), texts.collect()).files().to_vec()
    }

    /// `2` is applied, `2?` partly, `2=` partly and then set.
    fn rows(versions: &[&str]) -> Vec<Revision> {
        let row = |version: &&str| {
            let kind = if version.ends_with('=') { Kind::APPLIED_AND_SET } else { Kind::APPLIED };
            let mut row = Revision::new(version.trim_end_matches(['?', '=']), "", kind, "");
            (row.applied, row.total) = (if version.ends_with(['?', '=']) { 1 } else { 2 }, 2);
            row
        };
        versions.iter().map(row).collect()
    }

    fn told(files: &[File], rows: &[Revision], baseline: Option<&str>, order: Order) -> String {
        match pending(files, rows, baseline).and_then(|pending| pending.in_order(order)) {
            Ok(files) => files.iter().map(|file| file.version()).collect::<Vec<_>>().join(" "),
            Err(error) => error.to_string().split(':').next().unwrap_or_default().to_owned(),
        }
    }

    #[test]
    fn what_is_pending_follows_on_what_was_applied() {
        let linear = Order::Linear;
        // Files (a checkpoint has a mark), rows, baseline, and what is pending.
        let cases: [Case<'_>; 19] = [
            (&[], &[], None, ""),
            (&["1", "2"], &[], None, "1 2"),
            (&["1", "2", "3!", "4"], &[], None, "3 4"),
            (&["1", "2!", "3", "4!", "5"], &[], None, "4 5"),
            (&["1", "2", "3"], &[], Some("2"), "3"),
            (&["1", "2!", "3"], &[], Some("1"), "3"),
            (&["1", "2"], &[], Some("9"), "find version 9"),
            (&["1", "2", "3"], &["1"], None, "2 3"),
            (&["1", "2", "3"], &["1"], Some("2"), "2 3"),
            (&["1", "2"], &["1", "2"], None, ""),
            (&["1", "2!", "3"], &["1"], None, "3"),
            (&["1", "2!", "3"], &["2"], None, "3"),
            (&["1", "2!", "3"], &["2?"], None, "2 3"),
            (&["1", "2", "3"], &["1", "2?"], None, "2 3"),
            (&["1", "2", "3"], &["1", "2="], None, "3"),
            (&["1", "3"], &["1", "2?"], None, "go on with version 2"),
            (&["3", "4"], &["1", "2"], None, "3 4"),
            (&["10_b", "1_a"], &[], None, "10 1"),
            (&["10_b", "1_a"], &["10"], None, "apply 1_a.sql behind 10, which was applied already"),
        ];
        for (names, versions, baseline, expected) in cases {
            assert_eq!(told(&files(names), &rows(versions), baseline, linear), expected, "{names:?} {versions:?}");
        }
    }

    #[test]
    fn what_is_new_among_the_applied_is_refused_left_out_or_applied_first() {
        let (files, rows) = (files(&["0", "1", "2", "3", "4"]), rows(&["1", "3"]));
        let orders = [Order::Linear, Order::LinearSkip, Order::NonLinear];
        let told = orders.map(|order| told(&files, &rows, None, order));
        // What is older than the first row was there before the ledger.
        assert_eq!(told, ["apply 2.sql behind 3, which was applied already", "4", "2 4"]);
    }

    #[test]
    fn what_was_left_half_done_out_of_order_is_finished_first() {
        assert_eq!(told(&files(&["1", "2", "3", "4"]), &rows(&["1", "2?", "3"]), None, Order::Linear), "2 4");
    }
}
