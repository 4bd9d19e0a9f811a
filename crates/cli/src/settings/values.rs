//! How the text of a setting becomes a value. Every error says what would be right.

use domain::{RetrySchedule, retry::parse_duration};
use ipnet::IpNet;
use outbound::SignatureKind;
use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};
use store::MainKey;
use url::Url;

const DAY: Duration = Duration::from_secs(86_400);

/// Where everything is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Database {
    /// The embedded store, in this file.
    Sqlite(PathBuf),
    /// PostgreSQL at this address, which may hold a password.
    Postgres(Hidden),
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object on each line.
    Json,
}

/// What protected fields may do all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AllowProtected {
    /// Leave with payloads.
    pub(crate) leave: bool,
    /// Be set by answers.
    pub(crate) set: bool,
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Hidden(String);

impl Hidden {
    /// Hides a text.
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }
    /// The text.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(…)")
    }
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let numeric = text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    numeric.parse().map_err(|_| "use an IP address and a port, such as 127.0.0.1:8484, 0.0.0.0:80 or [::]:8484".into())
}

/// Where everything is kept, as it is written in settings and on command lines.
pub(crate) fn database(text: &str) -> Result<Database, String> {
    let right = "use sqlite: and the name of a file, such as sqlite:schoolbell.db, or the address of a PostgreSQL \
                 database, such as postgres://schoolbell:secret@db.example.edu/schoolbell";
    if text.starts_with("postgres:") || text.starts_with("postgresql:") {
        // The rest is checked by whoever connects, who knows all that may stand there.
        return match Url::parse(text) {
            Ok(url) if url.has_host() => Ok(Database::Postgres(Hidden::new(text.to_owned()))),
            _ => Err(right.into()),
        };
    }
    let path = text.strip_prefix("sqlite:").map(|rest| rest.strip_prefix("//").unwrap_or(rest));
    match path {
        Some(path) if !path.is_empty() && !path.starts_with(':') && !path.contains('?') => {
            Ok(Database::Sqlite(PathBuf::from(path)))
        }
        _ => Err(right.into()),
    }
}

/// A name among nodes; the empty one stands for the host's.
pub(super) fn node(text: &str) -> Result<Option<String>, String> {
    if text.chars().count() <= 100 && !text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        Ok((!text.is_empty()).then(|| text.to_owned()))
    } else {
        Err("use up to 100 characters without spaces, such as bell-1".into())
    }
}

pub(super) fn hidden(text: &str) -> Result<Option<Hidden>, String> {
    Ok((!text.is_empty()).then(|| Hidden::new(text.to_owned())))
}

pub(super) fn main_key(text: &str) -> Result<Option<MainKey>, String> {
    if text.is_empty() { Ok(None) } else { text.parse().map(Some) }
}

pub(super) fn schedule(text: &str) -> Result<RetrySchedule, String> {
    text.parse().map_err(|e: <RetrySchedule as FromStr>::Err| e.to_string())
}

fn between(text: &str, least: Duration, most: Duration, range: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Some(d) if d >= least && d <= most => Ok(d),
        Some(_) => Err(format!("use {}", range.trim_start_matches("use "))),
        None => Err(format!("use a number with a unit, such as 100ms, 15s, 5m, 2h or 1d; {range}")),
    }
}

pub(super) fn request_timeout(text: &str) -> Result<Duration, String> {
    between(text, Duration::from_millis(1), Duration::from_secs(300), "1ms to 5m")
}

pub(super) fn some_time(text: &str) -> Result<Duration, String> {
    between(text, Duration::from_millis(1), 3650 * DAY, "1ms to 3650d")
}

/// In days, since that is how finely payloads are removed.
pub(super) fn payload_retention(text: &str) -> Result<u16, String> {
    let right = "use whole days, 1d to 90d";
    let days = between(text, DAY, 90 * DAY, right)?.as_secs_f64() / DAY.as_secs_f64();
    if days.fract() == 0.0 { Ok(days as u16) } else { Err(right.into()) }
}

pub(super) fn attempt_retention(text: &str) -> Result<Duration, String> {
    between(text, Duration::from_secs(1), 3650 * DAY, "1s to 3650d")
}

pub(super) fn subnets(text: &str) -> Result<Vec<IpNet>, String> {
    let read = |word: &str| {
        let one_address = || word.parse::<std::net::IpAddr>().ok().map(IpNet::from);
        word.parse()
            .ok()
            .or_else(one_address)
            .ok_or_else(|| format!("'{word}' is not a network; use a list such as 127.0.0.0/8,10.1.0.0/16,fd00::/8"))
    };
    text.split(',').map(str::trim).filter(|w| !w.is_empty()).map(read).collect()
}

pub(super) fn origins(text: &str) -> Result<Vec<String>, String> {
    let read = |word: &str| match Url::parse(word) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.origin().is_tuple() && url.path() == "/" => {
            Ok(url.origin().ascii_serialization())
        }
        _ => Err(format!("'{word}' is no origin; use a list such as https://lms.example.edu,https://my.example.edu")),
    };
    text.split(',').map(str::trim).filter(|w| !w.is_empty()).map(read).collect()
}

pub(super) fn any_text(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

pub(super) fn signature(text: &str) -> Result<SignatureKind, String> {
    text.parse().map_err(|_| "use hmac256 or ed25519".into())
}

pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" | "true" | "yes" | "1" => Ok(true),
        "off" | "false" | "no" | "0" => Ok(false),
        _ => Err("use on or off".into()),
    }
}

pub(super) fn public_url(text: &str) -> Result<Option<Url>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none() => {
            Ok(Some(url))
        }
        _ => Err("use an address such as https://hooks.example.edu".into()),
    }
}

pub(super) fn concurrency(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(n @ 1..=256) => Ok(n),
        _ => Err("use a whole number from 1 to 256".into()),
    }
}

pub(super) fn connections(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 1..=1_000_000) => Ok(n),
        _ => Err("use a whole number from 1 to 1000000".into()),
    }
}

fn bytes(text: &str) -> Option<usize> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let unit = match text[digits..].trim_start() {
        "" | "B" => Some(1),
        "KB" | "kB" => Some(1_000),
        "MB" => Some(1_000_000),
        "GB" => Some(1_000_000_000),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        _ => None,
    };
    text[..digits].parse::<usize>().ok().zip(unit).and_then(|(n, unit)| n.checked_mul(unit))
}

pub(super) fn memory(text: &str) -> Result<usize, String> {
    match bytes(text) {
        Some(n) if n >= 4_000_000 => Ok(n),
        Some(_) => Err("use at least 4MB, so that the greatest payload fits".into()),
        None => Err("use a number with a unit, such as 64MB or 1GiB".into()),
    }
}

pub(super) fn webfilter_timeout(text: &str) -> Result<Duration, String> {
    between(text, Duration::from_millis(1), Duration::from_secs(60), "1ms to 60s")
}

pub(super) fn answer_limit(text: &str) -> Result<usize, String> {
    match bytes(text) {
        Some(n @ 1_000..=16_777_216) => Ok(n),
        _ => Err("use a number with a unit, 1KB to 16MiB".into()),
    }
}

pub(super) fn names(text: &str) -> Result<Vec<String>, String> {
    let words: Vec<String> = text.split(',').map(str::trim).filter(|w| !w.is_empty()).map(str::to_owned).collect();
    match words.iter().find(|w| w.contains(char::is_whitespace)) {
        Some(word) => Err(format!("'{word}' is not a name; use a list such as ssn,birthday")),
        None => Ok(words),
    }
}

pub(super) fn allow_protected(text: &str) -> Result<AllowProtected, String> {
    match text {
        "none" => Ok(AllowProtected { leave: false, set: false }),
        "send" => Ok(AllowProtected { leave: true, set: false }),
        "set" => Ok(AllowProtected { leave: false, set: true }),
        "both" => Ok(AllowProtected { leave: true, set: true }),
        _ => Err("use none, send, set or both".into()),
    }
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("use text or json".into()),
    }
}

pub(super) fn log_level(text: &str) -> Result<String, String> {
    let right = "use error, warn, info, debug or trace, or a list such as info,delivery=debug";
    // A single unknown word would be taken for the name of a part of the program, and nothing would be logged.
    let single_word = !text.contains(['=', ',']);
    let level = ["error", "warn", "info", "debug", "trace", "off"].contains(&text);
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) if level || !single_word => Ok(text.to_owned()),
        _ => Err(right.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_files_or_addresses_of_postgresql() {
        for right in ["postgres://me@localhost/db", "postgresql://me:secret@[::1]:5433/db?sslmode=verify-full"] {
            assert_eq!(database(right), Ok(Database::Postgres(Hidden::new(right.to_owned()))));
        }
        assert!(!format!("{:?}", database("postgres://me:secret@h/db")).contains("secret"));

        let file = |p: &str| Ok(Database::Sqlite(PathBuf::from(p)));
        assert_eq!(database("sqlite:schoolbell.db"), file("schoolbell.db"));
        assert_eq!(database("sqlite:/var/lib/x.db"), file("/var/lib/x.db"));
        assert_eq!(database("sqlite:///var/lib/x.db"), file("/var/lib/x.db"));
        for wrong in [
            "",
            "schoolbell.db",
            "sqlite:",
            "sqlite::memory:",
            "mysql://x",
            "sqlite:x.db?mode=ro",
            "postgres:x",
            "postgres://",
        ] {
            assert!(database(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn memory_has_units() {
        assert_eq!(memory("64MB"), Ok(64_000_000));
        assert_eq!(memory("64 MiB"), Ok(64 << 20));
        assert_eq!(memory("8000000"), Ok(8_000_000));
        for wrong in ["", "MB", "64mb", "-1MB", "1MB", "99999999999GB"] {
            assert!(memory(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn subnets_take_single_addresses_too() {
        assert_eq!(subnets("").unwrap(), []);
        assert_eq!(subnets("10.0.0.1, fd00::/8").unwrap().len(), 2);
        assert!(subnets("10.0.0.0/33").unwrap_err().starts_with("'10.0.0.0/33' is not a network"));
    }

    #[test]
    fn log_levels_are_levels_or_lists() {
        for right in ["info", "off", "warn,delivery=trace", "delivery=debug"] {
            assert!(log_level(right).is_ok(), "{right}");
        }
        for wrong in ["", "loud", "info,=="] {
            assert!(log_level(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn limits_are_kept() {
        assert!(request_timeout("0s").is_err() && request_timeout("6m").is_err() && request_timeout("300ms").is_ok());
        assert!(payload_retention("91d").is_err() && payload_retention("48h") == Ok(2));
        assert!(payload_retention("36h").is_err() && payload_retention("90d") == Ok(90));
        assert!(concurrency("0").is_err() && concurrency("257").is_err() && concurrency("1").is_ok());
        assert!(public_url("ftp://x").is_err() && public_url("https://x/base").is_ok());
        assert!(answer_limit("999").is_err() && answer_limit("17MiB").is_err() && answer_limit("1KB") == Ok(1_000));
        assert!(webfilter_timeout("61s").is_err() && allow_protected("all").is_err() && names("a b").is_err());
        assert!(address("8484").is_err() && address("localhost:1").is_ok());
    }
}
