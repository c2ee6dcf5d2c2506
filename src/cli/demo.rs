//! `martello demo`: the whole product on real data, with nothing to set up.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::load::progress;
use super::say;
use super::serve::until_told;
use super::token::minter;
use crate::app::{self, House};
use crate::auth::Claims;
use crate::config::{self, Config, LogFormat, Source};
use crate::publish::{Input, Mode};
use crate::random;
use crate::telemetry;

/// Long enough for a day of trying.
const TOKEN_TTL: Duration = Duration::from_secs(24 * 3600);
/// The name of the source in every demo contract.
const SOURCE: &str = "marts";

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where probes and metrics listen [default: 127.0.0.1:9090, or a free port when that is taken].
    #[arg(long)]
    admin_listen: Option<SocketAddr>,
    /// Keep the store, its configuration and its keys in this folder [default: a temporary one].
    #[arg(long)]
    folder: Option<PathBuf>,
    /// The contracts and the access matrix.
    #[arg(long, default_value = "catalog")]
    catalog: PathBuf,
    /// The Parquet files.
    #[arg(long, default_value = "demo/data")]
    data: PathBuf,
    /// Write MARTELLO_URL, tokens and folders to this file, for scripts, once the server answers.
    #[arg(long)]
    env_file: Option<PathBuf>,
}

pub(super) async fn demo(arguments: Arguments) -> anyhow::Result<()> {
    let temporary;
    let folder = if let Some(folder) = &arguments.folder {
        std::fs::create_dir_all(folder).with_context(|| format!("make the folder {}", folder.display()))?;
        folder.clone()
    } else {
        temporary = tempfile::Builder::new().prefix("martello-demo-").tempdir().context("make a temporary folder")?;
        temporary.path().to_owned()
    };
    // Ctrl-C while it loads must leave no temporary folder behind.
    tokio::select! {
        served = run(&arguments, &folder) => served,
        told = until_told() => told,
    }
}

async fn run(arguments: &Arguments, folder: &Path) -> anyhow::Result<()> {
    let config = configure(arguments, folder)?;
    telemetry::log(&config.log.level, config.log.format == LogFormat::Json).context("set up logs")?;
    let house = House::load(&config)?;
    fill(&house, &arguments.data, folder).await?;
    if config.control.is_some() {
        super::publish::store(&config)?.init().await.context("make the control store")?;
    }

    let metrics = telemetry::collect().context("set up metrics")?;
    let url_of = |address: SocketAddr| format!("http://{address}");
    let running = Box::pin(app::start(config.clone(), metrics)).await.context("start")?;
    let minter = minter(&config)?;
    let mint = |role: &str| -> anyhow::Result<String> {
        let role = house.matrix.role(role).with_context(|| format!("find role {role} in the access matrix"))?;
        minter.mint(role, "demo", TOKEN_TTL, &Claims::new()).context("sign a token")
    };
    let (client, basic, internal) = (mint("client_pro")?, mint("client_basic")?, mint("internal_scientist")?);
    let url = url_of(running.public);
    if let Some(file) = &arguments.env_file {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut text = String::new();
        for (name, value) in [
            ("MARTELLO_URL", url.as_str()),
            ("MARTELLO_ADMIN_URL", &url_of(running.admin)),
            ("MARTELLO_CLIENT_TOKEN", &client),
            ("MARTELLO_BASIC_TOKEN", &basic),
            ("MARTELLO_INTERNAL_TOKEN", &internal),
            ("MARTELLO_DATA", &absolute(&arguments.data).display().to_string()),
            ("MARTELLO_FOLDER", &absolute(folder).display().to_string()),
        ] {
            let _ = writeln!(text, "{name}={value}");
        }
        write_whole(file, &text)?;
    }
    say(&format!(
        "Martello serves {} datasets at {url}\n\n\
         # What a client (client_pro) may see, and its first question:\n\
         export TOKEN={client}\n\
         curl -H \"Authorization: Bearer $TOKEN\" {url}/v1/datasets\n\
         curl -H \"Authorization: Bearer $TOKEN\" '{url}/v1/datasets/price_daily/rows?symbol=AAPL&sort=-date&limit=100'\n\n\
         # Revenue as it was known on a day, with an internal token:\n\
         export INTERNAL={internal}\n\
         curl -H \"Authorization: Bearer $INTERNAL\" '{url}/v1/datasets/fundamental/rows?symbol=AAPL&metric=revenue&period_type=fiscal_year&period_end=2009-09-26&as_of=2009-12-31'\n\n\
         # All bars as a file, made beside requests; then ask for what Location names:\n\
         curl -i -H \"Authorization: Bearer $INTERNAL\" --json '{{\"dataset\":\"price_daily\",\"format\":\"parquet\"}}' {url}/v1/exports\n\n\
         # The documentation, in a browser (paste a token there):\n\
         {url}/docs\n\n\
         # Health and metrics:\n\
         curl {}/readyz\n\n\
         Ctrl-C ends it.\n",
        house.catalog.iter().count(),
        url_of(running.admin),
    ))?;
    until_told().await?;
    running.stop().await;
    Ok(())
}

/// Writes a file so that a reader sees it whole or not at all.
fn write_whole(file: &Path, text: &str) -> anyhow::Result<()> {
    let partial = file.with_extension("partial");
    std::fs::write(&partial, text)
        .and_then(|()| std::fs::rename(&partial, file))
        .with_context(|| format!("write {}", file.display()))
}

/// The demo's configuration: the one in the folder, or a new one with keys of its own, so that tokens and cursors of a
/// named folder outlive a restart.
fn configure(arguments: &Arguments, folder: &Path) -> anyhow::Result<Config> {
    let file = folder.join("martello.yaml");
    if !file.is_file() {
        let absolute = std::path::absolute(&arguments.catalog).context("find the catalog")?;
        let store = std::path::absolute(folder.join("marts.sqlite")).context("find the folder")?;
        let control = std::path::absolute(folder.join("control.sqlite")).context("find the folder")?;
        let text = format!(
            "# Written by `martello demo`: try other commands with --config on this file.\n\
             catalog: {}\n\
             sources:\n  {SOURCE}: {{url: {}}}\n\
             auth: {{hs256: {}}}\n\
             control: {{url: {}}}\n\
             paging: {{cursor_key: {}}}\n\
             audit: {{to: off}}\n",
            quoted(&absolute.display().to_string()),
            quoted(&format!("sqlite:{}", store.display())),
            quoted(&secret()),
            quoted(&format!("sqlite:{}", control.display())),
            quoted(&secret()),
        );
        write_whole(&file, &text)?;
    }
    let mut config = config::load(Some(&file)).context("read the demo's configuration")?;
    config.catalog.clone_from(&arguments.catalog);
    config.http.listen = arguments.listen;
    config.log.format = LogFormat::Text;
    config.log.level = "warn".into();
    config.admin.listen = match arguments.admin_listen {
        Some(address) => address,
        None if std::net::TcpListener::bind(config.admin.listen).is_ok() => config.admin.listen,
        None => SocketAddr::from(([127, 0, 0, 1], 0)),
    };
    Ok(config)
}

/// A text as YAML takes it, whatever is in it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn secret() -> String {
    random::bytes::<32>().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Loads every dataset into a new store, which takes the old one's place only when it is whole.
async fn fill(house: &House, data: &Path, folder: &Path) -> anyhow::Result<()> {
    let mut inputs: Vec<(&str, Input<'_>)> = Vec::new();
    let mut missing = Vec::new();
    for dataset in house.catalog.iter() {
        // The profile's file keeps the name that it has in its source.
        let names = [format!("{}.parquet", dataset.name), format!("{}.parquet", dataset.name).replace("company_", "")];
        let file = names.iter().map(|name| data.join(name)).find(|file| file.is_file());
        match file {
            Some(file) => inputs.push((dataset.name.as_str(), Input::open(dataset, &file)?)),
            None => missing.push(dataset),
        }
    }
    // A second contract over a relation that another one fills needs no file.
    for dataset in missing {
        let filled = inputs
            .iter()
            .any(|(name, _)| house.catalog.get(name).is_some_and(|other| other.relation == dataset.relation));
        if !filled {
            let file = data.join(format!("{}.parquet", dataset.name));
            bail!("find the data of dataset {}: expected {}", dataset.name, file.display());
        }
    }
    let partial = folder.join("marts.sqlite.partial");
    if partial.exists() {
        std::fs::remove_file(&partial).with_context(|| format!("remove {}", partial.display()))?;
    }
    let source = Source::at(format!("sqlite:{}", partial.display()));
    let bar = progress(inputs.iter().map(|(_, input)| input.rows).sum());
    let mut before = 0;
    for (name, input) in inputs {
        bar.set_message(name.to_owned());
        before += input.load(&source, Mode::Replace, |rows| bar.set_position(before + rows)).await?;
    }
    bar.finish_and_clear();
    let store = folder.join("marts.sqlite");
    std::fs::rename(&partial, &store).with_context(|| format!("put {} in place", store.display()))
}
