//! What `compose.yaml` says, done without Docker: the programs of its services, with their arguments and environment, over a
//! Postgres and a Redis that are started as it has them. What images and networks do is not seen here.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::Executor as _;

use crate::postgres::Postgres;
use crate::programs::{Running, free_port, martello, run};
use crate::support::{repository, variable};

/// The services, and where on this machine the names are that they use.
struct Compose {
    services: Value,
    places: Vec<(&'static str, String)>,
}

impl Compose {
    /// A text of the file, as compose would hand it on: no variable without a value, nor one that nobody asks for.
    fn text(&self, text: &str) -> String {
        let mut parts = text.split("${");
        let mut whole = parts.next().expect("a beginning").to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}').expect("an end");
            let (name, reason) = name.split_once(":?").expect("what it is, for whoever has none");
            assert!(!reason.is_empty() && self.places.iter().all(|(other, _)| *other != name));
            whole += &format!("{name}-of-thirty-two-bytes-or-more");
            whole += rest;
        }
        self.places.iter().fold(whole, |text, (name, place)| text.replace(name, place))
    }

    fn texts(&self, service: &str, key: &str) -> Vec<String> {
        let texts = self.services[service][key].as_array().into_iter().flatten();
        texts.map(|text| self.text(text.as_str().expect("a text"))).collect()
    }

    fn environment(&self, service: &str) -> BTreeMap<String, String> {
        let variables = self.services[service]["environment"].as_object().expect("variables");
        variables.iter().map(|(name, text)| (name.clone(), self.text(text.as_str().expect("a text")))).collect()
    }

    /// What a container of the service runs; the image's entry point is the program, and it serves unless told otherwise.
    fn command(&self, service: &str, more: &[&str]) -> Command {
        let entry = self.texts(service, "entrypoint");
        let said = if entry.is_empty() { self.texts(service, "command") } else { entry[1..].to_vec() };
        let said = if said.is_empty() && more.is_empty() { vec!["serve".to_owned()] } else { said };
        let mut command = martello(&said.iter().map(String::as_str).chain(more.iter().copied()).collect::<Vec<_>>());
        command.envs(self.environment(service));
        command
    }
}

/// The database, as its image makes one: by the scripts that are mounted for it, in the name of the owner.
async fn postgres_of(compose: &Compose, postgres: &Postgres) {
    let environment = compose.environment("postgres");
    assert_eq!((&environment["POSTGRES_USER"][..], &environment["POSTGRES_DB"][..]), ("marts_owner", "marts"));
    let pool = postgres.pool().await;
    pool.execute("CREATE ROLE marts_owner LOGIN SUPERUSER; ALTER DATABASE marts OWNER TO marts_owner")
        .await
        .expect("done");
    let scripts = compose.texts("postgres", "volumes").into_iter().filter_map(|volume| {
        let (file, place) = volume.strip_suffix(":ro")?.split_once(':').expect("two places");
        place.starts_with("/docker-entrypoint-initdb.d/").then(|| repository().join(file))
    });
    let scripts: Vec<_> = scripts.collect();
    assert!(!scripts.is_empty());
    for script in scripts {
        let mut psql = Command::new(Path::new(&variable("MARTELLO_TEST_PG_BIN")).join("psql"));
        psql.args(["-X", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname"]);
        psql.arg(postgres.url("marts").replace("postgres@", "marts_owner@")).arg("--file").arg(script);
        run_with(psql, &environment);
    }
    pool.close().await;
}

fn run_with(mut command: Command, environment: &BTreeMap<String, String>) {
    command.envs(environment);
    run(command).well();
}

async fn json_of(request: reqwest::RequestBuilder, expected: StatusCode) -> Value {
    let answer = request.send().await.expect("an answer");
    let status = answer.status();
    let text = answer.text().await.expect("a text");
    assert_eq!(status, expected, "{text}");
    serde_json::from_str(&text).expect("JSON")
}

#[tokio::test]
async fn the_services_of_compose_work_together() {
    let postgres = Postgres::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let redis_port = free_port();
    let text = std::fs::read_to_string(repository().join("compose.yaml")).expect("a file");
    let parsed: Value = serde_saphyr::from_str(&text).expect("YAML");
    let postgres_at = postgres.url("").replace("postgres://postgres@", "@");
    let places = vec![
        ("@postgres/", postgres_at),
        ("redis:6379", format!("127.0.0.1:{redis_port}")),
        ("/srv/martello/files", folder.path().display().to_string()),
    ];
    let compose = Compose { services: parsed["services"].clone(), places };
    postgres_of(&compose, &postgres).await;
    for name in ["assets", "spool"] {
        std::fs::create_dir(folder.path().join(name)).expect("a folder, as the image has it");
    }
    // Where the image works, and what a volume keeps of it.
    let kept = tempfile::tempdir().expect("a folder");
    assert_eq!(compose.texts("redis", "volumes"), ["redis:/data"]);
    let redis = || {
        let command = compose.texts("redis", "command");
        let mut server = Command::new(&command[0]);
        server.args(&command[1..]).args(["--bind", "127.0.0.1", "--port", &redis_port.to_string()]);
        Running(server.current_dir(kept.path()).stdout(Stdio::null()).spawn().expect("a Redis"))
    };
    let redis_server = redis();

    // A second `up` finds everything done.
    for service in ["migrate", "control", "migrate", "control"] {
        run(compose.command(service, &[])).well();
    }
    for (dataset, file) in [("price_daily", "price_daily"), ("company_profile", "profile")] {
        let file = format!("demo/data/{file}.parquet");
        run(compose.command("load", &["--dataset", dataset, &file])).well();
    }
    let mut serve = compose.command("martello", &[]);
    serve.env("MARTELLO__HTTP__LISTEN", "127.0.0.1:0").env("MARTELLO__ADMIN__LISTEN", "127.0.0.1:0");
    serve.env("MARTELLO__LOG__FORMAT", "json").stdout(Stdio::null()).stderr(Stdio::piped());
    let mut server = Running(serve.spawn().expect("a server"));
    let log = BufReader::new(server.0.stderr.take().expect("a log")).lines();
    let mut log = log.map(|line| serde_json::from_str::<Value>(&line.expect("a line")).expect("JSON"));
    let address = log.find_map(|line| line["public"].as_str().map(str::to_owned)).expect("a server that serves");
    let log = std::thread::spawn(move || log.filter(|line| line["level"] == "ERROR").collect::<Vec<_>>());

    let mut mint = compose.command("martello", &["token", "mint", "--role", "client_pro"]);
    mint.env("MARTELLO__LOG__FORMAT", "json");
    let token = run(mint).well().trim().to_owned();
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    let get = |path: &str| client.get(format!("http://{address}{path}")).bearer_auth(&token);
    let rows = json_of(get("/v1/datasets/price_daily/rows?symbol=AAPL&limit=2"), StatusCode::OK).await;
    assert_eq!((&rows["page"]["count"], &rows["meta"]["version"]), (&json!(2), &json!(1)), "{rows}");
    // Redis counts, and has an answer for others to find.
    let redis_cli = |arguments: &[&str]| {
        let mut cli = Command::new("redis-cli");
        cli.args(["-p", &redis_port.to_string(), "--raw"]).args(arguments);
        run(cli).well().trim().to_owned()
    };
    assert_ne!(redis_cli(&["dbsize"]), "0");
    // The control store has the export, and the folder its file.
    let ask = client.post(format!("http://{address}/v1/exports")).bearer_auth(&token);
    let asked = ask.json(&json!({"dataset": "company_profile", "format": "csv"}));
    let export = json_of(asked, StatusCode::ACCEPTED).await["data"].clone();
    let path = export["href"].as_str().expect("a path").to_owned();
    let done = async {
        loop {
            let told = json_of(get(&path), StatusCode::OK).await["data"].clone();
            if told["state"] != "queued" && told["state"] != "running" {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(60), done).await.expect("an end");
    assert_eq!(told["state"], "done", "{told}");
    assert!(folder.path().join("assets/company_profile").is_dir());
    // What is revoked outlives a Redis that is killed, and is not what makes room for answers.
    run(compose.command("martello", &["token", "revoke", "--subject", "somebody"])).well();
    assert!(!redis_cli(&["config", "get", "maxmemory-policy"]).contains("allkeys"));
    let ended = Command::new("kill").arg(server.0.id().to_string()).status().expect("kill");
    assert!(ended.success() && server.0.wait().expect("an end").success());
    assert_eq!(log.join().expect("a log"), Vec::<Value>::new());
    drop(redis_server);
    let _redis = redis();
    let again = async {
        while !run(compose.command("martello", &["token", "revoked"])).out.contains("somebody") {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), again).await.expect("what was revoked");
}
