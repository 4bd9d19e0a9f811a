//! `schoolbell doctor`: looks at what a server needs (settings, secrets, database, clock, names, the way out) and says
//! what to do about what it finds. Changes nothing.

use super::{Failure, say};
use crate::{
    clock::SystemClock,
    secrets,
    settings::{Database, Flags, Settings},
};
use clap::Args;
use domain::{Clock as _, Timestamp};
use http_body_util::Empty;
use hyper::{Request, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use outbound::Guard;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::ConfigVerifierExt as _;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::TlsConnector;
use url::Url;

/// How long each look at something far away may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// A commit slower than this limits how much is accepted one after the other.
const SLOW_COMMIT: Duration = Duration::from_millis(20);
/// Clocks that differ by more than this make signatures look old and tokens not yet valid.
const CLOCK_OFF: Duration = Duration::from_secs(5);
/// Sessions of a node.
const SESSIONS: i64 = 10;

/// What to look at.
#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// Addresses of receivers to try to reach, such as https://hooks.example.edu; nothing is sent but a HEAD request
    #[arg(value_name = "URL")]
    reach: Vec<Url>,
}

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    Doubtful,
    Bad,
}

/// Says what was found, line by line.
#[derive(Default)]
struct Report {
    bad: usize,
}

impl Report {
    fn say(&mut self, verdict: Verdict, what: &str, found: impl std::fmt::Display) {
        let word = match verdict {
            Verdict::Good => "ok  ",
            Verdict::Doubtful => "look",
            Verdict::Bad => "BAD ",
        };
        self.bad += usize::from(verdict == Verdict::Bad);
        say(format_args!("{word}  {what:<9} {found}"));
    }
    fn good(&mut self, what: &str, found: impl std::fmt::Display) {
        self.say(Verdict::Good, what, found);
    }
    fn doubtful(&mut self, what: &str, found: impl std::fmt::Display) {
        self.say(Verdict::Doubtful, what, found);
    }
    fn bad(&mut self, what: &str, found: impl std::fmt::Display) {
        self.say(Verdict::Bad, what, found);
    }
}

/// Looks at everything. Fails if something has to be done before the server can work.
pub(crate) async fn run(args: DoctorArgs, flags: &Flags) -> Result<(), Failure> {
    let mut report = Report::default();
    let settings = Settings::load(flags)?;
    report.good("settings", "every value is one that its setting takes");
    look_at_secrets(&mut report, &settings);
    match &settings.database {
        Database::Sqlite(file) => look_at_file(&mut report, file),
        Database::Postgres(url) => look_at_postgres(&mut report, url.expose()).await,
    }
    if let Some(url) = &settings.public_url {
        look_up(&mut report, "PUBLIC_URL", url).await;
    }
    let guard = Guard::new(settings.allow_subnets.clone());
    for url in &args.reach {
        reach(&mut report, &guard, url).await;
    }
    if args.reach.is_empty() {
        report
            .doubtful("outbound", "not tried: name a receiver, such as `schoolbell doctor https://hooks.example.edu`");
    }
    match report.bad {
        0 => Ok(()),
        n => Err(Failure::other(format_args!("{n} of these must be put right before the server can work"))),
    }
}

fn look_at_secrets(report: &mut Report, settings: &Settings) {
    for (name, set, ending) in [
        ("JWT_SECRET", settings.jwt_secret.is_some(), ".jwt-secret"),
        ("MAIN_KEY", settings.main_key.is_some(), ".main-key"),
    ] {
        let path = secrets::kept_in(settings, ending);
        match (set, path.exists()) {
            (true, _) => report.good("secrets", format_args!("{name} is set")),
            (false, true) => report.good("secrets", format_args!("{name} is kept in {}", path.display())),
            (false, false) => {
                report.doubtful("secrets", format_args!("{name} is not set; the first start makes {}", path.display()));
            }
        }
    }
    if secrets::jwt_secret_is_short(settings) {
        report.doubtful("secrets", secrets::JWT_SECRET_IS_SHORT);
    }
    // Reads them as a start would, but makes none.
    let there = |ending| secrets::kept_in(settings, ending).exists();
    let read = [
        (there(".jwt-secret") || settings.jwt_secret.is_some()).then(|| secrets::jwt_secret(settings).map(|_| ())),
        (there(".main-key") || settings.main_key.is_some()).then(|| secrets::main_key(settings).map(|_| ())),
    ];
    for error in read.into_iter().flatten().filter_map(Result::err) {
        report.bad("secrets", error);
    }
    if matches!(settings.database, Database::Postgres(_))
        && (settings.jwt_secret.is_none() || settings.main_key.is_none())
    {
        report.doubtful(
            "secrets",
            "every node needs the same two: set JWT_SECRET and MAIN_KEY where nodes run on several machines",
        );
    }
}

fn look_at_file(report: &mut Report, file: &Path) {
    if !file.exists() {
        report.doubtful("database", format_args!("{} is not there; the first start makes it", file.display()));
    } else {
        match store::sqlite::check(file) {
            Ok(()) => report.good("database", format_args!("{} is sound", file.display())),
            Err(e) => report.bad("database", format_args!("{e}. Stop the server and put your last copy in its place")),
        }
    }
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match time_of_sync(folder) {
        Ok(took) if took > SLOW_COMMIT => report.doubtful(
            "disk",
            format_args!("a sync takes {took:.1?}: every event waits for one, a faster disk would be felt"),
        ),
        Ok(took) => report.good("disk", format_args!("a sync takes {took:.1?}")),
        Err(e) => {
            report.bad("disk", format_args!("{} cannot be written: {e}. The server needs to own it", folder.display()))
        }
    }
}

/// The median time of writing a page and syncing it.
fn time_of_sync(folder: &Path) -> std::io::Result<Duration> {
    use std::io::Write as _;
    let path: PathBuf = folder.join(format!(".schoolbell-doctor-{}", std::process::id()));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
    let mut took = Vec::new();
    let mut written = Ok(());
    for _ in 0..9 {
        let begun = Instant::now();
        written = file.write_all(&[0; 4096]).and_then(|()| file.sync_data());
        took.push(begun.elapsed());
    }
    std::fs::remove_file(&path)?;
    written?;
    took.sort_unstable();
    Ok(took[took.len() / 2])
}

async fn look_at_postgres(report: &mut Report, url: &str) {
    let found = match store::postgres::examine(url).await {
        Ok(found) => found,
        Err(e) => return report.bad("database", e),
    };
    report.good("database", format_args!("PostgreSQL {}, answers in {:.1?}", found.version, found.answer));
    if found.read_only {
        report.bad("database", "it is a standby, which cannot be written: give the address of the primary");
    }
    if !found.may_create {
        report.bad("database", "the role may not make tables: let it own the database, or its schema");
    }
    if found.commit > SLOW_COMMIT {
        report.doubtful(
            "database",
            format_args!("a commit takes {:.1?}: its disk or a synchronous standby is slow", found.commit),
        );
    } else {
        report.good("database", format_args!("a commit takes {:.1?}", found.commit));
    }
    let free = found.max_connections - found.connections;
    if free < SESSIONS {
        report.bad(
            "database",
            format_args!("{free} connections are free and a node needs {SESSIONS}: raise max_connections"),
        );
    } else {
        report.good(
            "database",
            format_args!("{} of {} connections are in use", found.connections, found.max_connections),
        );
    }
    for (node, seconds) in &found.nodes {
        match seconds {
            ..10 => report.good("nodes", format_args!("{node} was seen {seconds} s ago")),
            _ => report.doubtful("nodes", format_args!("{node} was not seen for {seconds} s; others take its work")),
        }
    }
    compare_clocks(report, "the database's", found.clock);
}

fn compare_clocks(report: &mut Report, whose: &str, theirs: Timestamp) {
    let ours = SystemClock.now();
    let off = ours.since(theirs).max(theirs.since(ours));
    if off > CLOCK_OFF {
        report.doubtful("clock", format_args!("this machine's and {whose} differ by {off:.0?}: let NTP set both"));
    } else {
        report.good("clock", format_args!("as {whose}"));
    }
}

async fn look_up(report: &mut Report, what: &str, url: &Url) -> Vec<SocketAddr> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or(443);
    match timeout(PATIENCE, lookup_host((host, port))).await {
        Ok(Ok(found)) => {
            let found: Vec<SocketAddr> = found.collect();
            let addresses: Vec<String> = found.iter().map(|a| a.ip().to_string()).collect();
            report.good("names", format_args!("{what}: {host} is {}", addresses.join(", ")));
            found
        }
        Ok(Err(e)) => {
            report.bad("names", format_args!("{what}: {host} is not found ({e}): look at /etc/resolv.conf"));
            Vec::new()
        }
        Err(_) => {
            report.bad("names", format_args!("{what}: nobody answers what {host} is: look at /etc/resolv.conf"));
            Vec::new()
        }
    }
}

async fn reach(report: &mut Report, guard: &Guard, url: &Url) {
    for address in look_up(report, "receiver", url).await {
        if let Err(blocked) = guard.check(address.ip()) {
            report
                .bad("outbound", format_args!("{url}: {blocked}. If that is meant, add the network to ALLOW_SUBNETS"));
            continue;
        }
        match timeout(PATIENCE, head(url, address)).await {
            Ok(Ok((status, date))) => {
                report.good("outbound", format_args!("{url} answers {status} from {}", address.ip()));
                if let Some(date) = date {
                    compare_clocks(report, "the receiver's", date);
                }
            }
            Ok(Err(e)) => report.bad("outbound", format_args!("{url} at {}: {e}", address.ip())),
            Err(_) => report.bad(
                "outbound",
                format_args!("{url} at {} does not answer within {PATIENCE:?}: is there a firewall?", address.ip()),
            ),
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

type Trouble = Box<dyn std::error::Error + Send + Sync>;

/// One HEAD request; its status, and the other side's clock if it says.
async fn head(url: &Url, address: SocketAddr) -> Result<(u16, Option<Timestamp>), Trouble> {
    let tcp = TcpStream::connect(address).await?;
    let host = url.host_str().unwrap_or_default();
    let stream: Box<dyn Stream> = if url.scheme() == "https" {
        let config = rustls::ClientConfig::with_platform_verifier()?;
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
        Box::new(TlsConnector::from(Arc::new(config)).connect(name, tcp).await?)
    } else {
        Box::new(tcp)
    };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let request = Request::head(url.path()).header(header::HOST, host).body(Empty::<bytes::Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let date = response.headers().get(header::DATE).and_then(|d| d.to_str().ok()).and_then(instant);
    let status = response.status().as_u16();
    driver.abort();
    Ok((status, date))
}

fn instant(http_date: &str) -> Option<Timestamp> {
    let since = httpdate::parse_http_date(http_date).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_micros()).ok().map(Timestamp::from_micros)
}
