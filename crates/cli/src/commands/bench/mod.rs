//! `schoolbell bench`: what the embedded server does on this machine, as a table.
//!
//! The server is a process of its own, the same program as anybody runs, and is driven over its public API only. Producers and
//! receiver live in this process; what they cost is not counted, but they take their share of the machine.

mod disk;
mod load;
mod process;
mod receiver;
mod report;

use super::{Failure, say};
use crate::{client::ApiClient, clock::SystemClock, scratch::Scratch, settings::Hidden, stop};
use clap::Args;
use disk::Syncs;
use domain::{Clock as _, OrganizationId, retry::parse_duration};
use hyper::Method;
use load::{Load, Producers};
use process::Server;
use receiver::Receiver;
use report::{Machine, Report, Row};
use serde_json::json;
use service::Tokens;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::sleep;

/// Applications with an endpoint each, where a row does not say otherwise.
const APPS: usize = 10;
/// Endpoints that a fanned-out message goes to.
const FAN_OUT: u64 = 100;
/// After the start, before the idle memory is read: the server has set up what it sets up.
const SETTLE: Duration = Duration::from_secs(1);
/// The shortest and the longest time of a row.
const FOR: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(600);

/// How to measure.
#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    /// How long each of the six rows publishes, from 100ms to 10m
    #[arg(long = "for", value_name = "TIME", default_value = "5s", value_parser = time)]
    duration: Duration,
    /// Prints one object of JSON instead of the table
    #[arg(long)]
    json: bool,
    /// Folder on the disk that is to be measured; a scratch folder is made in it and removed at the end
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
}

fn time(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|time| FOR.contains(time))
        .ok_or_else(|| "use a number with a unit from 100ms to 10m, such as 5s".into())
}

/// Measures until it is done, or until it is interrupted.
pub(crate) async fn run(args: BenchArgs) -> Result<(), Failure> {
    let stop = stop::listen();
    let folder = args
        .folder
        .canonicalize()
        .map_err(|e| Failure::Usage(format!("--folder {}: {e}. Name a folder that is there", args.folder.display())))?;
    let scratch = Scratch::make(&folder, "bench")?;
    // Whatever ends it, the server goes before its folder: it is dropped inside.
    let measured = tokio::select! {
        measured = measure(&args, &folder, scratch.path()) => measured,
        () = stop => Err(Failure::Interrupted),
    };
    drop(scratch);
    let report = measured?;
    if args.json {
        say(serde_json::to_string_pretty(&report).map_err(Failure::other)?);
    } else {
        say(report);
    }
    Ok(())
}

async fn measure(args: &BenchArgs, folder: &Path, scratch: &Path) -> Result<Report, Failure> {
    let machine = Machine {
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        folder: folder.to_owned(),
        sync: disk::idle(scratch)
            .map_err(|e| Failure::other(format!("{} cannot be written: {e}", scratch.display())))?,
    };
    let secret = secret();
    let server = Server::start(scratch, &secret).await?;
    let organization: OrganizationId = OrganizationId::DEFAULT.parse().map_err(Failure::other)?;
    let token = Hidden::new(Tokens::new(secret.expose()).for_organization(&organization, SystemClock.now()));
    let client = ApiClient::new(&format!("http://{}", server.address()), token.clone()).map_err(Failure::other)?;
    let receiver = Receiver::start().await.map_err(Failure::other)?;
    let apps = set_up(&client, &receiver).await?;
    sleep(SETTLE).await;
    let idle_memory = server.memory();

    let producers = Producers { server: &server, receiver: &receiver, token: &token };
    let mut rows: Vec<Row> = Vec::new();
    for load in loads(&apps, args.duration) {
        let load = match load {
            Planned::Load(load) => load,
            // What "full" is has just been seen.
            Planned::Quarter(load) => load.at_rate(rows.last().map_or(1.0, |full| full.accepted_per_second / 4.0)),
        };
        eprintln!("{}: {}", load.name, report::time(load.duration));
        let syncs = Syncs::begin(scratch);
        let mut row = producers.run(&load).await?;
        row.sync = syncs.end();
        rows.push(row);
    }
    Ok(Report {
        version: env!("CARGO_PKG_VERSION"),
        machine,
        start: server.start_time(),
        idle_memory,
        loaded_memory: server.peak_memory(),
        rows,
    })
}

/// A secret for the tokens of this run.
fn secret() -> Hidden {
    let mut unique = [0; 32];
    store::seal::fill_random(&mut unique);
    Hidden::new(unique.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Applications by what their messages go to.
struct Apps {
    one_endpoint: Vec<String>,
    no_endpoint: Vec<String>,
    many_endpoints: Vec<String>,
}

async fn set_up(client: &ApiClient, receiver: &Receiver) -> Result<Apps, Failure> {
    let make = async |name: String, endpoints: u64| -> Result<String, Failure> {
        let post = async |path: &str, body: serde_json::Value| {
            client.call(Method::POST, path, Some(body.to_string().into())).await.map_err(Failure::other)
        };
        post("/app/", json!({ "name": name, "uid": name })).await?;
        for n in 0..endpoints {
            let url = format!("http://{}/{name}/{n}", receiver.address());
            post(&format!("/app/{name}/endpoint/"), json!({ "url": url })).await?;
        }
        Ok(name)
    };
    let mut apps = Apps { one_endpoint: Vec::new(), no_endpoint: Vec::new(), many_endpoints: Vec::new() };
    for n in 0..APPS {
        apps.one_endpoint.push(make(format!("one-{n}"), 1).await?);
        apps.no_endpoint.push(make(format!("none-{n}"), 0).await?);
    }
    apps.many_endpoints.push(make("many".into(), FAN_OUT).await?);
    Ok(apps)
}

/// A row that is known beforehand, or one that depends on the row before it.
enum Planned<'a> {
    Load(Load<'a>),
    Quarter(Load<'a>),
}

/// The rows of the table, in their order.
fn loads<'a>(apps: &'a Apps, duration: Duration) -> [Planned<'a>; 6] {
    let load = |name, apps: &'a [String], endpoints, batch| Load { name, apps, endpoints, batch, duration, rate: None };
    [
        Planned::Load(load("one event per request", &apps.one_endpoint, 1, 1)),
        Planned::Quarter(load("the same at a quarter of that rate", &apps.one_endpoint, 1, 1)),
        Planned::Load(load("batches of 100 events", &apps.one_endpoint, 1, 100)),
        Planned::Load(load("fan-out to 100 endpoints", &apps.many_endpoints, FAN_OUT, 1)),
        Planned::Load(load("accepting alone, one event per request", &apps.no_endpoint, 0, 1)),
        Planned::Load(load("accepting alone, batches of 100", &apps.no_endpoint, 0, 100)),
    ]
}
