//! Makes files: a new one in a folder, and a whole folder out of another tool's.

use std::path::{Path, PathBuf};

use super::error::Error;
use super::folder::{self, Folder};
use super::statements::{Language, split};
use crate::clock;

/// What stands above a file that runs outside transactions.
const ALONE: &str = "-- atlas:txmode none\n\n";

/// Makes a folder, where there is none.
///
/// # Errors
/// When that cannot be.
pub fn make(path: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(path).map_err(|source| folder::Error::Unwritable { path: path.to_owned(), source }.into())
}

/// Adds an empty migration to a folder, later than all that it has; returns where. The hashes are written anew.
///
/// # Errors
/// When the folder is not as it was hashed, the name is none, or nothing can be written.
pub fn add(folder: &Folder, name: Option<&str>) -> Result<PathBuf, Error> {
    folder.check()?;
    let newest = folder.files().last().map(|file| file.version().to_owned()).unwrap_or_default();
    let path = folder.path().join(later(&newest, name)?);
    std::fs::write(&path, "").map_err(|source| folder::Error::Unwritable { path: path.clone(), source })?;
    Folder::read(folder.path())?.write_sum()?;
    Ok(path)
}

/// The name of a file of now that comes after a version.
pub(super) fn later(newest: &str, name: Option<&str>) -> Result<String, Error> {
    let is_plain = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_');
    if let Some(found) = name.filter(|name| !is_plain(name)) {
        return Err(Error::Name { found: found.to_owned() });
    }
    let now = clock::now();
    // Two within a second, or one made by a clock that is ahead.
    let version = (0..).map_while(|seconds| {
        let at = now.checked_add(jiff::Span::new().try_seconds(seconds).ok()?).ok()?;
        Some(at.strftime("%Y%m%d%H%M%S").to_string())
    });
    let version = version.take(86_400).find(|version| version.as_str() > newest);
    // A folder that counts goes on counting.
    let counted = || {
        let next = newest.parse::<u64>().ok()?.checked_add(1)?;
        Some(format!("{next:0width$}", width = newest.len())).filter(|version| version.as_str() > newest)
    };
    let version = version.or_else(counted).ok_or_else(|| Error::Late { newest: newest.to_owned() })?;
    Ok(match name {
        Some(name) => format!("{version}_{name}.sql"),
        None => format!("{version}.sql"),
    })
}

/// Whose folder it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// `V1__name.sql`
    Flyway,
    /// `1_name.sql` with `-- +goose Up`
    Goose,
    /// `1_name.sql` with `-- migrate:up`
    Dbmate,
    /// `1_name.up.sql`
    GolangMigrate,
    /// `--liquibase formatted sql`
    Liquibase,
}

impl Format {
    /// Every one, with its name.
    pub const ALL: [(&'static str, Self); 5] = [
        ("flyway", Self::Flyway),
        ("goose", Self::Goose),
        ("dbmate", Self::Dbmate),
        ("golang-migrate", Self::GolangMigrate),
        ("liquibase", Self::Liquibase),
    ];
}

/// A file of the other tool: its version in numbers or words, what it is called besides, and what it does.
struct Foreign {
    version: Vec<String>,
    description: String,
    text: String,
}

/// Writes what another tool's folder does, going forward, into an empty folder; returns how many files that are.
///
/// # Errors
/// When a file is not in the form that it should be in, or the folder has migrations already.
pub fn import(from: &Path, format: Format, to: &Path) -> Result<usize, Error> {
    let unwritable = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::from(folder::Error::Unwritable { path, source })
    };
    if to.exists()
        && let Some(file) = Folder::read(to)?.files().first()
    {
        return Err(Error::NotEmpty { folder: to.display().to_string(), file: file.name.clone() });
    }
    // All is read before anything is written.
    let files = converted(texts(from, format == Format::Flyway)?, format)?;
    make(to)?;
    for (name, text) in &files {
        let path = to.join(name);
        std::fs::write(&path, text).map_err(unwritable(&path))?;
    }
    Folder::read(to)?.write_sum()?;
    Ok(files.len())
}

/// The files of a folder, and where the tool looks there, of those below.
fn texts(path: &Path, below: bool) -> Result<Vec<(String, String)>, Error> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::from(folder::Error::Unreadable { path, source })
    };
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable(path))? {
        let file = entry.map_err(unreadable(path))?.path();
        if file.is_dir() && below {
            texts.extend(self::texts(&file, below)?);
        } else if file.is_file() && file.extension().is_some_and(|ending| ending == "sql") {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            texts.push((name, std::fs::read_to_string(&file).map_err(unreadable(&file))?));
        }
    }
    Ok(texts)
}

fn converted(mut texts: Vec<(String, String)>, format: Format) -> Result<Vec<(String, String)>, Error> {
    texts.sort();
    let mut files = Vec::new();
    let mut repeated = Vec::new();
    let mut baseline: Option<Vec<String>> = None;
    for (name, text) in texts {
        let fault = |why: &str| Error::Import { file: name.clone(), why: why.to_owned() };
        let stem = name.trim_end_matches(".sql");
        let (version, description, text) = match format {
            Format::Flyway => {
                let (head, description) = stem.split_once("__").ok_or_else(|| fault("expected V1__name.sql"))?;
                match head.chars().next() {
                    Some('U') => continue,
                    Some('R') if head.len() == 1 => {
                        repeated.push((description.to_owned(), text));
                        continue;
                    }
                    Some(kind @ ('V' | 'B')) => {
                        let version = head[1..].replace('_', ".");
                        let numbers: Vec<String> = version.split('.').map(str::to_owned).collect();
                        if kind == 'B' && baseline.as_ref().is_none_or(|other| compared(other) < compared(&numbers)) {
                            baseline = Some(numbers);
                        }
                        // A baseline stands for all before it; which one does is known at the end.
                        (version, format!("{kind}{description}"), text)
                    }
                    _ => return Err(fault("expected V1__name.sql, B1__name.sql, U1__name.sql or R__name.sql")),
                }
            }
            Format::GolangMigrate => {
                if stem.ends_with(".down") {
                    continue;
                }
                let stem =
                    stem.strip_suffix(".up").ok_or_else(|| fault("expected 1_name.up.sql or 1_name.down.sql"))?;
                let (version, description) = stem.split_once('_').unwrap_or((stem, ""));
                (version.to_owned(), description.to_owned(), text)
            }
            Format::Goose | Format::Dbmate | Format::Liquibase => {
                let (version, description) = stem.split_once('_').unwrap_or((stem, ""));
                let text = forward(&text, format).map_err(|why| fault(&why))?;
                (version.to_owned(), description.to_owned(), text)
            }
        };
        split(&text, Language::Postgres).map_err(|error| fault(&error.to_string()))?;
        let version: Vec<String> = version.split('.').map(str::to_owned).collect();
        if version.iter().any(String::is_empty) {
            return Err(fault("its name has no version"));
        }
        files.push(Foreign { version, description, text });
    }
    if format == Format::Flyway {
        let newer = |file: &Foreign| match &baseline {
            Some(baseline) if file.description.starts_with('B') => file.version == *baseline,
            Some(baseline) => compared(baseline) < compared(&file.version),
            None => true,
        };
        files.retain(newer);
        for file in &mut files {
            file.description.remove(0);
        }
    }
    files.sort_by_key(|file| compared(&file.version));
    // What is applied again whenever it changes comes once, behind the newest.
    let last = files.last().map(|file| file.version.clone()).unwrap_or_default();
    for (place, (description, text)) in repeated.into_iter().enumerate() {
        let version = last.iter().cloned().chain([format!("{}", place + 1)]).collect();
        files.push(Foreign { version, description, text });
    }
    Ok(renamed(files))
}

/// Versions in the order of the other tool, which compares numbers.
fn compared(version: &[String]) -> Vec<(Option<u128>, String)> {
    version.iter().map(|part| (part.parse().ok(), part.clone())).collect()
}

/// Names whose bytes are in the order of their versions: `2` comes behind `10` otherwise.
fn renamed(files: Vec<Foreign>) -> Vec<(String, String)> {
    let parts = files.iter().map(|file| file.version.len()).max().unwrap_or_default();
    let width = |at: usize| files.iter().filter_map(|file| file.version.get(at)).map(String::len).max().unwrap_or(1);
    let widths: Vec<usize> = (0..parts).map(width).collect();
    let name = |file: &Foreign| {
        let padded = widths.iter().enumerate().map(|(at, width)| {
            let part = file.version.get(at).map_or("", String::as_str);
            format!("{part:0>width$}")
        });
        let version = padded.collect::<Vec<_>>().join(".");
        let description = file.description.replace(char::is_whitespace, "_");
        if description.is_empty() { format!("{version}.sql") } else { format!("{version}_{description}.sql") }
    };
    files.iter().map(|file| (name(file), file.text.clone())).collect()
}

/// What a file does on the way forward, without the marks that say so.
fn forward(text: &str, format: Format) -> Result<String, String> {
    let mut lines: Vec<&str> = Vec::new();
    // Liquibase has no way back in a part of its own.
    let mut inside = format == Format::Liquibase;
    let (mut marked, mut alone) = (inside, false);
    for line in text.lines() {
        let comment = line.trim().strip_prefix("--").map(|rest| rest.trim().to_ascii_lowercase());
        let words: Vec<&str> = comment.iter().flat_map(|comment| comment.split_whitespace()).collect();
        match (format, &words[..]) {
            (Format::Goose, ["+goose", "up", ..]) | (Format::Dbmate, ["migrate:up", ..]) => {
                (inside, marked) = (true, true);
                alone |= words.contains(&"transaction:false");
            }
            (Format::Goose, ["+goose", "down", ..]) | (Format::Dbmate, ["migrate:down", ..]) => inside = false,
            (Format::Goose, ["+goose", "no", "transaction"]) => alone = true,
            (Format::Goose, ["+goose", "envsub", ..]) => {
                return Err("it fills in variables of the environment, which a migration of Atlas cannot".into());
            }
            (Format::Goose, ["+goose", ..]) => {}
            (Format::Liquibase, [mark, rest @ ..]) if mark.starts_with("liquibase") || *mark == "changeset" => {
                alone |= rest.contains(&"runintransaction:false");
            }
            (Format::Liquibase, [mark, ..]) if mark.starts_with("changeset") || mark.starts_with("rollback") => {}
            (Format::Liquibase, [mark, ..]) if mark.starts_with("precondition") => {
                return Err("it has preconditions, which a migration of Atlas has not".into());
            }
            _ if inside => lines.push(line),
            _ => {}
        }
    }
    if !marked {
        return Err("it has no part for the way forward".into());
    }
    let text = lines.join("\n");
    let (head, text) = (if alone { ALONE } else { "" }, text.trim());
    Ok(if text.is_empty() { head.to_owned() } else { format!("{head}{text}\n") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(format: Format, files: &[(&str, &str)]) -> Vec<(String, String)> {
        let texts = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        converted(texts.collect(), format).unwrap_or_else(|error| vec![(error.to_string(), String::new())])
    }

    fn told(files: &[(String, String)]) -> Vec<(&str, &str)> {
        files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect()
    }

    #[test]
    fn what_others_have_comes_in_their_order() {
        let files =
            names(Format::GolangMigrate, &[("2_b.up.sql", "2;"), ("10_c.up.sql", "10;"), ("2_b.down.sql", "x")]);
        assert_eq!(told(&files), [("02_b.sql", "2;"), ("10_c.sql", "10;")]);
        let files = names(
            Format::Flyway,
            &[
                ("V1__a.sql", "1;"),
                ("V1_10__c.sql", "3;"),
                ("V1.2__b b.sql", "2;"),
                ("R__v.sql", "4;"),
                ("U1__a.sql", "x"),
            ],
        );
        assert_eq!(
            told(&files),
            [("1.00.0_a.sql", "1;"), ("1.02.0_b_b.sql", "2;"), ("1.10.0_c.sql", "3;"), ("1.10.1_v.sql", "4;")]
        );
        let files =
            names(Format::Flyway, &[("V1__a.sql", "1;"), ("B2__b.sql", "2;"), ("V2__c.sql", "x"), ("V3__d.sql", "3;")]);
        assert_eq!(told(&files), [("2_b.sql", "2;"), ("3_d.sql", "3;")]);
    }

    #[test]
    fn only_the_way_forward_comes_along() {
        let goose = "-- +goose NO TRANSACTION\n-- +goose Up\n-- said\nSELECT 1;\n-- +goose Down\nSELECT 2;\n";
        assert_eq!(
            told(&names(Format::Goose, &[("1_a.sql", goose)])),
            [("1_a.sql", "-- atlas:txmode none\n\n-- said\nSELECT 1;\n")]
        );
        let goose = "-- +goose Up\n-- +goose StatementBegin\nSELECT $$;$$;\n-- +goose StatementEnd\n";
        assert_eq!(told(&names(Format::Goose, &[("1_a.sql", goose)])), [("1_a.sql", "SELECT $$;$$;\n")]);
        let dbmate = "-- migrate:up transaction:false\nSELECT 1;\n\n-- migrate:down\nSELECT 2;\n";
        let files = names(Format::Dbmate, &[("1_a.sql", dbmate)]);
        assert_eq!(told(&files), [("1_a.sql", "-- atlas:txmode none\n\nSELECT 1;\n")]);
        let liquibase = "--liquibase formatted sql\n--changeset me:1\nSELECT 1;\n--rollback SELECT 2;\n";
        assert_eq!(told(&names(Format::Liquibase, &[("1_a.sql", liquibase)])), [("1_a.sql", "SELECT 1;\n")]);
    }

    #[test]
    fn what_cannot_come_along_is_told() {
        for (format, name, text, why) in [
            (Format::Goose, "1_a.sql", "SELECT 1;", "import 1_a.sql: it has no part for the way forward"),
            (Format::Goose, "1_a.sql", "-- +goose ENVSUB ON", "import 1_a.sql: it fills in variables"),
            (Format::Flyway, "1_a.sql", "", "import 1_a.sql: expected V1__name.sql"),
            (Format::GolangMigrate, "1_a.sql", "", "import 1_a.sql: expected 1_name.up.sql"),
            (Format::GolangMigrate, "1_a.up.sql", "SELECT (", "import 1_a.up.sql: read the statement at line 1"),
            (Format::Liquibase, "1_a.sql", "--preconditions x", "import 1_a.sql: it has preconditions"),
        ] {
            let files = names(format, &[(name, text)]);
            assert!(files[0].0.starts_with(why), "{files:?}");
        }
    }
}
