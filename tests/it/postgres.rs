//! A Postgres of one test's own, which it may kill.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use sqlx::Executor as _;
use sqlx::postgres::PgPool;

use crate::programs::free_port;
use crate::support::{repository, variable};

/// A private server; stopped and removed when dropped.
pub struct Postgres {
    folder: tempfile::TempDir,
    bin: PathBuf,
    port: u16,
}

impl Postgres {
    /// A server with an empty database `marts`.
    pub async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("martello-pg-").tempdir().expect("a folder");
        let port = free_port();
        let server = Self { folder, bin: variable("MARTELLO_TEST_PG_BIN").into(), port };
        if is_root() {
            run(Command::new("chown").arg("postgres:").arg(server.folder.path()));
        }
        let data = server.data();
        run(server
            .command("initdb")
            .args(["--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"])
            .arg("--pgdata")
            .arg(&data));
        server.up();
        let pool = PgPool::connect(&server.url("postgres")).await.expect("a connection");
        pool.execute("CREATE DATABASE marts").await.expect("a database");
        pool.close().await;
        server
    }

    /// Starts the server, also after [`Self::down`].
    pub fn up(&self) {
        let options = format!(
            "-c port={} -c listen_addresses=127.0.0.1 -c unix_socket_directories='{}' -c fsync=off",
            self.port,
            self.folder.path().display()
        );
        let log = self.folder.path().join("log");
        run(self
            .command("pg_ctl")
            .args(["start", "--silent", "--wait"])
            .arg("--pgdata")
            .arg(self.data())
            .arg("--log")
            .arg(log)
            .arg("--options")
            .arg(options));
    }

    /// Kills the server as a crash would.
    pub fn down(&self) {
        run(self.command("pg_ctl").args(["stop", "--silent", "--mode=immediate"]).arg("--pgdata").arg(self.data()));
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// A pool that may write.
    pub async fn pool(&self) -> PgPool {
        PgPool::connect(&self.url("marts")).await.expect("a connection")
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A program of the server, as a user that it accepts.
    fn command(&self, program: &str) -> Command {
        let program = self.bin.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self
            .command("pg_ctl")
            .args(["stop", "--silent", "--mode=immediate"])
            .arg("--pgdata")
            .arg(self.data())
            .status();
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id");
    id.stdout.trim_ascii() == b"0"
}

fn run(command: &mut Command) {
    let status = command.status().expect("a program");
    assert!(status.success(), "{command:?}: {status}");
}

/// The repository's definition of a mart, and its rows from the demo data.
pub async fn price_daily(pool: &PgPool) {
    let mut files: Vec<PathBuf> = std::fs::read_dir(repository().join("schema/postgres"))
        .expect("a schema")
        .map(|entry| entry.expect("a file").path())
        .collect();
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a text");
        pool.execute(sqlx::AssertSqlSafe(text)).await.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}
