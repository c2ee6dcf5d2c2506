//! A folder of migrations, as Atlas has it on disk: what a file is called, what its first lines direct, and the hashes in
//! `atlas.sum` that make its history linear.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::statements::{self, Language, Statement, split};

/// The file that holds the hashes.
pub const SUM_FILE: &str = "atlas.sum";

/// The migrations of a folder, in the order in which they are applied: by the bytes of their names.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    files: Vec<File>,
}

/// One migration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// Its name, with its ending.
    pub name: String,
    /// What it says.
    pub text: String,
    /// Its hash, which depends on all files before it; none where its first line says that it is not summed.
    pub hash: Option<String>,
}

/// In which transactions the statements of a file run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Transactions {
    /// One for each file.
    #[default]
    File,
    /// One for all files.
    All,
    /// None.
    None,
}

impl Transactions {
    /// Every choice, with its name.
    pub const ALL: [(&'static str, Self); 3] = [("file", Self::File), ("all", Self::All), ("none", Self::None)];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::All => "all",
            Self::None => "none",
        }
    }
}

/// Why a folder is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or the folder cannot be read.
    #[error("read {}", path.display())]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("write {}", path.display())]
    Unwritable {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There are migrations and no hashes.
    #[error("find {SUM_FILE} in {}: run martello migrate hash, once its files are as they were reviewed", path.display())]
    NoSum {
        /// The folder.
        path: PathBuf,
    },
    /// The hashes cannot be read.
    #[error("read line {line} of {}: expected h1: and a hash, or a file's name and its own", path.display())]
    Sum {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// The files are not those that were hashed.
    #[error(
        "believe {}: {file} was {how} (line {line} of {SUM_FILE}). If that is meant, run martello migrate hash; if not, \
         restore the file",
        path.display()
    )]
    Changed {
        /// The folder.
        path: PathBuf,
        /// The first file that differs.
        file: String,
        /// What has become of it.
        how: How,
        /// Its line, from 1.
        line: usize,
    },
    /// A file cannot be cut into statements.
    #[error("read {file}")]
    Statements {
        /// The file.
        file: String,
        /// Where, and why.
        #[source]
        source: statements::Error,
    },
    /// A directive is not one that a file can have.
    #[error("accept txmode {found:?} of {file}: expected file or none, once")]
    Transactions {
        /// The file.
        file: String,
        /// What stands there.
        found: String,
    },
    /// Two files have one version.
    #[error("tell {one} and {other} apart: both have version {version}")]
    Twice {
        /// One.
        one: String,
        /// The other.
        other: String,
        /// Their version.
        version: String,
    },
}

/// What has become of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// It is new.
    Added,
    /// It says something else.
    Edited,
    /// It is gone.
    Removed,
}

impl std::fmt::Display for How {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Added => "added",
            Self::Edited => "edited",
            Self::Removed => "removed",
        })
    }
}

impl Folder {
    /// Reads the `*.sql` of a folder, and nothing below it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Unreadable { path, source }
        };
        let mut texts = Vec::new();
        for entry in std::fs::read_dir(path).map_err(failed(path))? {
            let entry = entry.map_err(failed(path))?;
            let file = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".sql") && file.is_file() {
                let text = std::fs::read_to_string(&file).map_err(failed(&file))?;
                texts.push((name, text));
            }
        }
        Ok(Self::of(path, texts))
    }

    /// A folder of those files.
    #[must_use]
    pub fn of(path: &Path, mut texts: Vec<(String, String)>) -> Self {
        texts.sort();
        let mut context = Context::new(&SHA256);
        let mut files: Vec<File> = Vec::with_capacity(texts.len());
        for (name, text) in texts {
            context.update(name.as_bytes());
            let summed = !is_unsummed(&text);
            if summed {
                context.update(text.as_bytes());
            }
            let hash = summed.then(|| STANDARD.encode(context.clone().finish()));
            files.push(File { name, text, hash });
        }
        Self { path: path.to_owned(), files }
    }

    /// Whether each version is one file's: the ledger knows files by their versions.
    ///
    /// # Errors
    /// When two files have one version.
    pub fn distinct(&self) -> Result<(), Error> {
        for (place, file) in self.files.iter().enumerate() {
            if let Some(other) = self.files[..place].iter().find(|other| other.version() == file.version()) {
                let (one, other) = (other.name.clone(), file.name.clone());
                return Err(Error::Twice { one, other, version: file.version().to_owned() });
            }
        }
        Ok(())
    }

    /// Its files.
    #[must_use]
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// Those that a new database is made of: the newest checkpoint, and what follows it.
    #[must_use]
    pub fn replayed(&self) -> Vec<&File> {
        replayed(&self.files)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text of `atlas.sum` for the files as they are.
    #[must_use]
    pub fn sum(&self) -> String {
        let mut total = Vec::new();
        let mut lines = String::new();
        for file in &self.files {
            let Some(hash) = &file.hash else { continue };
            total.extend_from_slice(file.name.as_bytes());
            total.extend_from_slice(hash.as_bytes());
            lines += &format!("{} h1:{hash}\n", file.name);
        }
        format!("h1:{}\n{lines}", STANDARD.encode(digest(&SHA256, &total)))
    }

    /// Writes `atlas.sum` for the files as they are.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_sum(&self) -> Result<(), Error> {
        let path = self.path.join(SUM_FILE);
        std::fs::write(&path, self.sum()).map_err(|source| Error::Unwritable { path, source })
    }

    /// Whether the files are those that `atlas.sum` has the hashes of.
    ///
    /// # Errors
    /// When it is not there, cannot be read, or a file is another one: which, and what has become of it.
    pub fn check(&self) -> Result<(), Error> {
        let path = self.path.join(SUM_FILE);
        let written = match std::fs::read_to_string(&path) {
            Ok(written) => written,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && self.files.is_empty() => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::NoSum { path: self.path.clone() });
            }
            Err(source) => return Err(Error::Unreadable { path, source }),
        };
        let expected = self.sum();
        if written == expected {
            return Ok(());
        }
        let line_of = |line: usize, text: &str| {
            text.split_once(" h1:").map(|(name, hash)| (name.to_owned(), hash.to_owned())).ok_or(line)
        };
        let read = |text: &str| -> Result<Vec<(String, String)>, usize> {
            let lines = text.lines().enumerate().skip(1).filter(|(_, line)| !line.is_empty());
            lines.map(|(at, line)| line_of(at + 1, line)).collect()
        };
        let fault = |line| Error::Sum { path: path.clone(), line };
        if !written.starts_with("h1:") {
            return Err(fault(1));
        }
        let (before, now) = (read(&written).map_err(fault)?, read(&expected).map_err(fault)?);
        let changed = |file: &str, how, at: usize| Error::Changed {
            path: self.path.clone(),
            file: file.to_owned(),
            how,
            line: at + 2,
        };
        for (at, (name, hash)) in now.iter().enumerate() {
            match before.get(at) {
                Some((other, _)) if other == name => {}
                // Whoever is known further on was not removed: what stands here is new.
                Some((other, _)) if now.iter().any(|(name, _)| name == other) => {
                    return Err(changed(name, How::Added, at));
                }
                Some((other, _)) => return Err(changed(other, How::Removed, at)),
                None => return Err(changed(name, How::Added, at)),
            }
            if before[at].1 != *hash {
                return Err(changed(name, How::Edited, at));
            }
        }
        match before.get(now.len()) {
            Some((other, _)) => Err(changed(other, How::Removed, now.len())),
            // Only the total differs: somebody has edited it.
            None => Err(fault(1)),
        }
    }
}

/// Of those files, the ones that a new database is made of.
pub(super) fn replayed<'f>(files: impl IntoIterator<Item = &'f File>) -> Vec<&'f File> {
    let files: Vec<&File> = files.into_iter().collect();
    let begins = files.iter().rposition(|file| file.is_checkpoint()).unwrap_or(0);
    files[begins..].to_vec()
}

/// Whether the first line says that the bytes of the file are not part of the sum.
fn is_unsummed(text: &str) -> bool {
    let line = text.lines().next().unwrap_or_default();
    directives(line).any(|(name, argument)| name == "sum" && argument == "ignore")
}

/// The directive of a comment line, `-- atlas:NAME argument`.
pub(super) fn directives(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let found = line.rfind("atlas:").map(|at| (&line[..at], &line[at + "atlas:".len()..]));
    found.into_iter().filter(|(before, _)| before.bytes().all(|byte| (b' '..=b'~').contains(&byte))).map(|(_, rest)| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        (&rest[..end], rest[end..].trim())
    })
}

impl File {
    /// What stands before the first underscore of its name.
    #[must_use]
    pub fn version(&self) -> &str {
        let stem = self.name.strip_suffix(".sql").unwrap_or(&self.name);
        stem.split_once('_').map_or(stem, |(version, _)| version)
    }

    /// What stands behind it.
    #[must_use]
    pub fn description(&self) -> &str {
        let stem = self.name.strip_suffix(".sql").unwrap_or(&self.name);
        stem.split_once('_').map_or("", |(_, description)| description)
    }

    /// The line at which a byte stands, from 1.
    #[must_use]
    pub fn line(&self, byte: usize) -> usize {
        1 + self.text.as_bytes()[..byte.min(self.text.len())].iter().filter(|byte| **byte == b'\n').count()
    }

    /// Its statements, where they are Postgres's.
    ///
    /// # Errors
    /// When it cannot be cut.
    pub fn statements(&self) -> Result<Vec<Statement>, Error> {
        self.statements_in(Language::Postgres)
    }

    /// Its statements.
    ///
    /// # Errors
    /// When it cannot be cut.
    pub fn statements_in(&self, language: Language) -> Result<Vec<Statement>, Error> {
        split(&self.text, language).map_err(|source| Error::Statements { file: self.name.clone(), source })
    }

    /// The arguments of a directive of the whole file: it stands in the comments at the top that a blank line parts from
    /// the first statement.
    #[must_use]
    pub fn directive(&self, name: &str) -> Vec<&str> {
        let mut found = Vec::new();
        let mut comment = false;
        for line in self.text.lines() {
            if line.trim().is_empty() {
                // Comments in front of a blank line belong to the file.
                return if comment { found } else { Vec::new() };
            }
            if !line.trim_start().starts_with("--") {
                return Vec::new();
            }
            comment = true;
            found.extend(directives(line).filter(|(other, _)| *other == name).map(|(_, argument)| argument));
        }
        found
    }

    /// In which transactions the file says that it runs; nothing where it does not say.
    ///
    /// # Errors
    /// When it says so twice, or says what only all files together can have.
    pub fn transactions(&self) -> Result<Option<Transactions>, Error> {
        match self.directive("txmode")[..] {
            [] => Ok(None),
            ["none"] => Ok(Some(Transactions::None)),
            ["file"] => Ok(Some(Transactions::File)),
            ref found => Err(Error::Transactions { file: self.name.clone(), found: found.join(", ") }),
        }
    }

    /// Whether the file is the sum of all before it.
    #[must_use]
    pub fn is_checkpoint(&self) -> bool {
        !self.directive("checkpoint").is_empty()
    }
}

/// The hashes of a file's first statement, its first two, and so on: what the ledger keeps of a file that is partly applied.
#[must_use]
pub fn partial_hashes(statements: &[Statement]) -> Vec<String> {
    let mut context = Context::new(&SHA256);
    let hashes = statements.iter().map(|statement| {
        context.update(statement.text.as_bytes());
        format!("h1:{}", STANDARD.encode(context.clone().finish()))
    });
    hashes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> Folder {
        let files = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        Folder::of(Path::new("migrations"), files.collect())
    }

    #[test]
    fn names_are_ordered_by_their_bytes_and_say_version_and_description() {
        let folder = folder(&[("2_b.sql", ""), ("10_a_b.sql", ""), ("1.sql", "")]);
        let told: Vec<(&str, &str)> = folder.files().iter().map(|file| (file.version(), file.description())).collect();
        assert_eq!(told, [("1", ""), ("10", "a_b"), ("2", "b")]);
        assert!(folder.distinct().is_ok());
        let twice = vec![("1_a.sql".to_owned(), String::new()), ("1_b.sql".to_owned(), String::new())];
        assert!(matches!(Folder::of(Path::new("m"), twice).distinct(), Err(Error::Twice { .. })));
    }

    /// Worked out with `printf … | openssl dgst -sha256 -binary | base64`, as docs/migrate.md shows.
    #[test]
    fn the_sum_is_what_a_calculation_by_hand_gives() {
        let two = folder(&[("1_a.sql", "CREATE TABLE a (x int);\n"), ("2_b.sql", "DROP TABLE a;\n")]);
        let by_hand = |text: &str| STANDARD.encode(digest(&SHA256, text.as_bytes()));
        let first = by_hand("1_a.sqlCREATE TABLE a (x int);\n");
        let second = by_hand("1_a.sqlCREATE TABLE a (x int);\n2_b.sqlDROP TABLE a;\n");
        let total = by_hand(&format!("1_a.sql{first}2_b.sql{second}"));
        assert_eq!(two.sum(), format!("h1:{total}\n1_a.sql h1:{first}\n2_b.sql h1:{second}\n"));
        // A file that is not summed has its name in the hashes of those behind it, and no line.
        let odd = folder(&[("1_a.sql", "-- atlas:sum ignore\nx\n"), ("2_b.sql", "y\n")]);
        let second = by_hand("1_a.sql2_b.sqly\n");
        assert_eq!(odd.sum(), format!("h1:{}\n2_b.sql h1:{second}\n", by_hand(&format!("2_b.sql{second}"))));
    }

    #[test]
    fn what_differs_from_the_sum_is_named() {
        let place = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(place.path().join(name), text).expect("written");
        let read = || Folder::read(place.path()).expect("a folder");
        assert!(read().check().is_ok(), "an empty folder needs no hashes");
        write("1_a.sql", "SELECT 1;");
        write("3_c.sql", "SELECT 3;");
        assert!(matches!(read().check(), Err(Error::NoSum { .. })));
        read().write_sum().expect("written");
        read().check().expect("as it was hashed");
        let changed = || match read().check() {
            Err(Error::Changed { file, how, line, .. }) => (file, how, line),
            other => panic!("{other:?}"),
        };
        write("2_b.sql", "SELECT 2;");
        assert_eq!(changed(), ("2_b.sql".to_owned(), How::Added, 3));
        std::fs::remove_file(place.path().join("2_b.sql")).expect("removed");
        write("3_c.sql", "SELECT 4;");
        assert_eq!(changed(), ("3_c.sql".to_owned(), How::Edited, 3));
        std::fs::remove_file(place.path().join("3_c.sql")).expect("removed");
        assert_eq!(changed(), ("3_c.sql".to_owned(), How::Removed, 3));
        write(SUM_FILE, "nonsense\n");
        assert!(matches!(read().check(), Err(Error::Sum { line: 1, .. })));
    }

    #[test]
    fn directives_of_a_file_stand_apart_from_its_first_statement() {
        let file = |text: &str| folder(&[("1.sql", text)]).files()[0].clone();
        let none = file("-- atlas:txmode none\n\nSELECT 1;");
        assert_eq!(none.transactions().expect("a mode"), Some(Transactions::None));
        assert_eq!(file("-- atlas:txmode none\nSELECT 1;").transactions().expect("no mode"), None);
        assert_eq!(file("SELECT 1;\n-- atlas:txmode none\n\n").transactions().expect("no mode"), None);
        for refused in ["-- atlas:txmode all\n\n", "-- atlas:txmode none\n-- atlas:txmode none\n\n"] {
            assert!(file(refused).transactions().is_err(), "{refused}");
        }
        assert!(file("-- atlas:checkpoint\n\nSELECT 1;").is_checkpoint());
    }

    #[test]
    fn hashes_of_statements_add_up() {
        let statements = split("SELECT 1; SELECT 2;", Language::Postgres).expect("statements");
        let hashes = partial_hashes(&statements);
        let by_hand = |text: &str| format!("h1:{}", STANDARD.encode(digest(&SHA256, text.as_bytes())));
        assert_eq!(hashes, [by_hand("SELECT 1;"), by_hand("SELECT 1;SELECT 2;")]);
    }
}
