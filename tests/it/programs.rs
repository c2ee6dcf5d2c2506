//! Runs other programs: the built binary, Python and Node.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::support::{Backend, repository, variable};

/// The built binary, started in the repository, with no setting from the caller's environment.
pub fn martello(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_martello"));
    command.args(arguments).current_dir(repository()).env_clear().stdin(Stdio::null());
    command
}

/// A Python that has `tests/requirements.txt`; its folder comes first on the path, since tools call each other.
pub fn python(arguments: &[&str]) -> Command {
    let python = variable("MARTELLO_TEST_PYTHON");
    let folder = Path::new(&python).parent().expect("a folder").to_owned();
    let mut command = Command::new(&python);
    command.args(arguments).current_dir(repository()).stdin(Stdio::null());
    command.env("PATH", format!("{}:{}", folder.display(), variable("PATH")));
    // The scripts' folder is the repository's: nothing is left in it.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// A program that goes on until its test ends.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Nothing of it is to be kept; where it has ended already, that is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that is free now, for a program that must be told one.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

/// A program that goes on, and where it is: that stands at the end of a line that it writes, behind some words.
pub fn started(command: &mut Command, said: &str) -> (Running, String) {
    let mut running = Running(command.stdout(Stdio::piped()).spawn().expect("a program"));
    let lines = BufReader::new(running.0.stdout.take().expect("an output")).lines();
    let mut lines = lines.map(|line| line.expect("a line"));
    let url = lines.find_map(|line| line.split_once(said).map(|(_, url)| url.to_owned()));
    (running, url.expect("a program that says where it is"))
}

/// A statement in the ClickHouse of the tests, as a user who may do everything.
pub fn clickhouse(statement: &str) -> Command {
    python(&["tests/support/apply.py", &Backend::ClickHouse.url(), "--query", statement])
}

/// Node, in the repository.
pub fn node(arguments: &[&str]) -> Command {
    let mut command = Command::new("node");
    command.args(arguments).current_dir(repository()).stdin(Stdio::null());
    command
}

/// What a program that has ended said.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

impl Ran {
    /// What it wrote, after it has ended well.
    #[track_caller]
    pub fn well(&self) -> &str {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        &self.out
    }

    /// Its one line of complaint, after it has failed.
    #[track_caller]
    pub fn complaint(&self) -> &str {
        assert_eq!(self.code, Some(1), "{}{}", self.out, self.err);
        assert!(self.err.starts_with("error: failed to "), "{}", self.err);
        self.err.trim_end()
    }
}

/// Runs a program to its end.
pub fn run(mut command: Command) -> Ran {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}")).into()
}

/// Runs a program to its end while this test's server goes on.
pub async fn ran(command: Command) -> Ran {
    tokio::task::spawn_blocking(|| run(command)).await.expect("a program that ends")
}
