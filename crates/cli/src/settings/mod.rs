//! Every setting: one table, three places to set it, one error that says which is wrong and what would be right.
//!
//! A setting that is called `RETRY_SCHEDULE` in the documents is the flag `--retry-schedule`, the variable
//! `SCHOOLBELL_RETRY_SCHEDULE` and the key `retry_schedule` of `schoolbell.toml`; the first of these that is there
//! counts. Must not act on a setting: what a value does is decided where it is used.

mod error;
mod sources;
mod values;

pub(crate) use error::SettingsError;
pub(crate) use sources::{Flags, add_flags, stray_variables};
pub(crate) use values::{AllowProtected, Database, Hidden, LogFormat, database as read_database};

use domain::RetrySchedule;
use ipnet::IpNet;
use outbound::SignatureKind;
use sources::Given;
use std::{net::SocketAddr, time::Duration};
use store::MainKey;
use url::Url;

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Setting {
    /// The key in the file; the flag and the variable follow from it.
    pub(crate) key: &'static str,
    /// What it does.
    pub(crate) help: &'static str,
    /// What holds if nobody says otherwise, as one would write it.
    pub(crate) default: &'static str,
    /// Whether its value must never be shown.
    pub(crate) secret: bool,
}

impl Setting {
    /// As the documents write it: `RETRY_SCHEDULE`.
    pub(crate) fn name(&self) -> String {
        self.key.to_ascii_uppercase()
    }
    /// In the environment: `SCHOOLBELL_RETRY_SCHEDULE`.
    pub(crate) fn variable(&self) -> String {
        format!("SCHOOLBELL_{}", self.name())
    }
    /// On the command line, without the two hyphens: `retry-schedule`.
    pub(crate) fn flag(&self) -> String {
        self.key.replace('_', "-")
    }
}

const SHOWN: bool = false;
const SECRET: bool = true;

/// Makes the struct, the table and the reading of one from the other, so that a setting is named in one place only.
macro_rules! settings {
    ($( $(#[doc = $help:literal])+ $key:ident: $type:ty = $default:literal, $parse:path, $secret:ident; )+) => {
        /// All settings, checked.
        #[derive(Clone, Debug, PartialEq)]
        pub(crate) struct Settings {
            $( $(#[doc = $help])+ pub(crate) $key: $type, )+
        }

        /// Every setting, in the order of the documents.
        pub(crate) const TABLE: &[Setting] = &[
            $( Setting {
                key: stringify!($key),
                help: concat!($($help),+),
                default: $default,
                secret: $secret,
            }, )+
        ];

        impl Settings {
            fn read(given: &Given) -> Result<Self, SettingsError> {
                let mut rows = TABLE.iter();
                let mut row = || rows.next().unwrap_or_else(|| unreachable!("the table has a row for every field"));
                Ok(Self { $( $key: given.read(row(), $parse)?, )+ })
            }
        }
    };
}

settings! {
    /// Address of everything HTTP
    listen: SocketAddr = "127.0.0.1:8484", values::address, SHOWN;
    /// Where everything is kept: sqlite:FILE, or postgres://USER:PASSWORD@HOST/NAME for several nodes
    database: Database = "sqlite:schoolbell.db", values::database, SHOWN;
    /// Signs API tokens (HS256). Made on first start and kept beside the database if not set
    jwt_secret: Option<Hidden> = "", values::hidden, SECRET;
    /// Encrypts secrets at rest: 32 bytes in base64. Made on first start and kept beside the database if not set
    main_key: Option<MainKey> = "", values::main_key, SECRET;
    /// Waits between the tries of a delivery; an empty list means one try
    retry_schedule: RetrySchedule = "5s,5m,30m,2h,5h,10h,10h", values::schedule, SHOWN;
    /// Time for a whole attempt: connect, head and body
    request_timeout: Duration = "15s", values::request_timeout, SHOWN;
    /// Private networks that endpoints may reach, such as 127.0.0.0/8
    allow_subnets: Vec<IpNet> = "", values::subnets, SHOWN;
    /// What signs for new endpoints: hmac256 or ed25519
    default_signature: SignatureKind = "hmac256", values::signature, SHOWN;
    /// An endpoint that only failed for this long is switched off
    disable_after: Duration = "5d", values::some_time, SHOWN;
    /// Keys that sign bodies are replaced when they have signed for this long
    signing_key_rotation: Duration = "30d", values::some_time, SHOWN;
    /// Events about endpoints and failing deliveries, as Svix sends them: on or off
    operational_webhooks: bool = "on", values::switch, SHOWN;
    /// Where others reach this server, for links; its own address if not set
    public_url: Option<Url> = "", values::public_url, SHOWN;
    /// Requests at the same time to one endpoint that says nothing else, 1 to 256
    endpoint_concurrency: u16 = "32", values::concurrency, SHOWN;
    /// Entries of the audit log are removed after this long, at most 3650d
    audit_retention: Duration = "730d", values::attempt_retention, SHOWN;
    /// Origins whose pages may show a portal in a frame, such as https://lms.example.edu
    portal_frame_origins: Vec<String> = "", values::origins, SHOWN;
    /// Proxies that are believed about where a request came from, such as 10.0.0.0/8
    trusted_proxies: Vec<IpNet> = "", values::subnets, SHOWN;
    /// An OpenID provider that people may sign in with, such as https://id.example.edu
    oidc_issuer: Option<Url> = "", values::public_url, SHOWN;
    /// What this server is called at the OpenID provider
    oidc_client_id: String = "", values::any_text, SHOWN;
    /// Its secret at the OpenID provider; a public client has none
    oidc_client_secret: Option<Hidden> = "", values::hidden, SECRET;
    /// A mail server for alerts, such as smtps://user:password@mail.example.edu
    smtp_url: Option<Hidden> = "", values::hidden, SECRET;
    /// Who mail comes from
    mail_from: String = "Schoolbell <schoolbell@localhost>", values::any_text, SHOWN;
    /// Memory for payloads that wait to be sent; the rest waits on disk
    memory_budget: usize = "64MB", values::memory, SHOWN;
    /// Payloads are removed after this many days, at most 90d
    payload_retention: u16 = "90d", values::payload_retention, SHOWN;
    /// Messages, deliveries and attempts are removed after this long, at most 3650d
    attempt_retention: Duration = "90d", values::attempt_retention, SHOWN;
    /// Refuse endpoints whose address is not https: on or off
    endpoint_https_only: bool = "off", values::switch, SHOWN;
    /// Time for a webfilter that says nothing else, at most 60s
    webfilter_timeout: Duration = "5s", values::webfilter_timeout, SHOWN;
    /// Time for a whole run of webfilters, at most 60s
    webfilter_run_timeout: Duration = "10s", values::webfilter_timeout, SHOWN;
    /// What is read of a webfilter's answer; a longer one is a failed call
    webfilter_answer_limit: usize = "1MB", values::answer_limit, SHOWN;
    /// Further fields that no webfilter gets or sets, beside password, is_staff and is_superuser
    webfilter_protected_fields: Vec<String> = "", values::names, SHOWN;
    /// What protected fields may do all the same: none, send (leave with payloads), set (by answers) or both
    webfilter_allow_protected: AllowProtected = "none", values::allow_protected, SHOWN;
    /// Write to queues (SQS) without a key of their own as this server, with its role or environment: on or off
    sqs_own_access: bool = "off", values::switch, SHOWN;
    /// Where queues are that are named by an ARN; Amazon's own if not set
    sqs_endpoint: Option<Url> = "", values::public_url, SHOWN;
    /// Connections that the server holds at the same time
    max_connections: usize = "10000", values::connections, SHOWN;
    /// This node's name among those on one PostgreSQL database; the host's name and the port of LISTEN if not set
    node: Option<String> = "", values::node, SHOWN;
    /// How log lines look on stderr: text or json
    log_format: LogFormat = "text", values::log_format, SHOWN;
    /// What is logged: error, warn, info, debug or trace, or per part of the program such as info,delivery=debug
    log_level: String = "info", values::log_level, SHOWN;
}

impl Settings {
    /// Reads all settings: a flag counts before the environment, that before the file, that before the default.
    pub(crate) fn load(flags: &Flags) -> Result<Self, SettingsError> {
        Self::read(&Given::gather(flags, &|name| std::env::var_os(name))?)
    }

    /// What holds if nobody says anything.
    pub(crate) fn defaults() -> Self {
        Self::read(&Given::default()).unwrap_or_else(|e| unreachable!("the defaults fit, as a test makes sure: {e}"))
    }

    /// This node's name among others: as set, else made of the host's name and the port, which differ for two nodes.
    pub(crate) fn node_name(&self) -> String {
        if let Some(name) = &self.node {
            return name.clone();
        }
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "node".to_owned());
        // Port 0 is any port: then the process tells two nodes apart.
        let port = match self.listen.port() {
            0 => format!("process-{}", std::process::id()),
            port => port.to_string(),
        };
        format!("{}:{port}", host.trim())
    }

    /// The address to give to others: `PUBLIC_URL`, or where this server listens. Without a slash at the end.
    pub(crate) fn address_for_others(&self, bound: SocketAddr) -> String {
        match &self.public_url {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None => format!("http://{bound}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

    fn load(flags: &[(&str, &str)], env: &[(&str, &str)], file: Option<&str>) -> Result<Settings, String> {
        let dir = tempfile::tempdir().unwrap();
        let config = file.map(|text| {
            let path = dir.path().join("schoolbell.toml");
            std::fs::write(&path, text).unwrap();
            path
        });
        let no_file = dir.path().join("none");
        let flags = Flags {
            config: config.clone(),
            values: flags.iter().map(|(k, v)| ((*k).to_owned(), OsString::from(v))).collect(),
        };
        let env: BTreeMap<String, OsString> = env.iter().map(|(k, v)| ((*k).to_owned(), OsString::from(v))).collect();
        Given::gather_in(&no_file, &flags, &|name| env.get(name).cloned())
            .and_then(|given| Settings::read(&given))
            .map_err(|e| e.to_string().replace(&format!("{}/", dir.path().display()), ""))
    }

    fn default() -> Settings {
        load(&[], &[], None).unwrap()
    }

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let s = default();
        assert_eq!(s.listen, "127.0.0.1:8484".parse().unwrap());
        assert_eq!(s.database, Database::Sqlite(PathBuf::from("schoolbell.db")));
        assert_eq!((s.jwt_secret.is_none(), s.main_key.is_none(), s.public_url.is_none()), (true, true, true));
        assert_eq!(s.retry_schedule, RetrySchedule::default());
        assert_eq!(s.request_timeout, Duration::from_secs(15));
        assert!(s.allow_subnets.is_empty() && s.operational_webhooks && !s.endpoint_https_only);
        assert_eq!(s.default_signature, SignatureKind::Hmac256);
        assert_eq!(s.disable_after, Duration::from_secs(5 * 86_400));
        assert_eq!((s.endpoint_concurrency, s.memory_budget, s.max_connections), (32, 64_000_000, 10_000));
        assert_eq!((s.log_format, s.log_level.as_str()), (LogFormat::Text, "info"));
    }

    #[test]
    fn a_flag_counts_before_the_environment_that_before_the_file_that_before_the_default() {
        let file = Some("listen = \"127.0.0.1:1\"\nrequest_timeout = \"1s\"\nendpoint_concurrency = 7\n");
        let env = [("SCHOOLBELL_LISTEN", "127.0.0.1:2"), ("SCHOOLBELL_REQUEST_TIMEOUT", "2s")];
        let s = load(&[("listen", "127.0.0.1:3")], &env, file).unwrap();
        assert_eq!(s.listen.port(), 3);
        assert_eq!(s.request_timeout, Duration::from_secs(2));
        assert_eq!(s.endpoint_concurrency, 7);
        assert_eq!(s.disable_after, default().disable_after);
    }

    #[test]
    fn the_file_takes_lists_numbers_and_switches_in_their_own_form() {
        let file = "retry_schedule = [\"1ms\", \"1ms\"]\nallow_subnets = [\"127.0.0.0/8\", \"::1\"]\n\
                    operational_webhooks = false\nmax_connections = 5\n";
        let s = load(&[], &[], Some(file)).unwrap();
        assert_eq!(s.retry_schedule, "1ms,1ms".parse().unwrap());
        assert_eq!(s.allow_subnets, ["127.0.0.0/8".parse().unwrap(), "::1/128".parse::<IpNet>().unwrap()]);
        assert!(!s.operational_webhooks);
        assert_eq!(s.max_connections, 5);
        assert!(load(&[], &[], Some("retry_schedule = []")).unwrap().retry_schedule.waits().is_empty());
    }

    #[test]
    fn an_empty_retry_schedule_means_one_try() {
        let s = load(&[], &[("SCHOOLBELL_RETRY_SCHEDULE", "")], None).unwrap();
        assert!(s.retry_schedule.waits().is_empty());
    }

    #[test]
    fn a_wrong_value_is_named_with_where_it_came_from_and_what_would_be_right() {
        for (given, want) in [
            (
                load(&[("retry-schedule", "5x")], &[], None),
                "RETRY_SCHEDULE cannot be '5x' (given by --retry-schedule): '5x' is not a wait",
            ),
            (
                load(&[], &[("SCHOOLBELL_LISTEN", "here")], None),
                "LISTEN cannot be 'here' (given by SCHOOLBELL_LISTEN in the environment): use an IP address and a port",
            ),
            (
                load(&[], &[], Some("# a comment\n\nlog_format = \"xml\"\n")),
                "LOG_FORMAT cannot be 'xml' (given by log_format in schoolbell.toml, line 3): use text or json",
            ),
            (
                load(&[], &[("SCHOOLBELL_DATABASE", "mysql://u:secret@db/x")], None),
                "DATABASE cannot be 'mysql:…' (given by SCHOOLBELL_DATABASE in the environment): \
                 use sqlite: and the name of a file",
            ),
            (
                load(&[], &[], Some("request_timeout = 15")),
                "REQUEST_TIMEOUT cannot be '15' (given by request_timeout in schoolbell.toml, line 1): \
                 use a number with a unit",
            ),
            (
                load(&[], &[], Some("[listen]\nport = 1")),
                "LISTEN cannot be a table (given by listen in schoolbell.toml",
            ),
        ] {
            let error = given.unwrap_err();
            assert!(error.starts_with(want), "{error}");
        }
    }

    #[test]
    fn a_wrong_secret_is_never_repeated() {
        let error = load(&[], &[("SCHOOLBELL_MAIN_KEY", "hunter2hunter2")], None).unwrap_err();
        assert!(error.starts_with("MAIN_KEY is wrong (given by SCHOOLBELL_MAIN_KEY in the environment)"), "{error}");
        assert!(!error.contains("hunter2"));
    }

    #[test]
    fn secrets_do_not_show_in_debug() {
        let env = [
            ("SCHOOLBELL_MAIN_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
            ("SCHOOLBELL_JWT_SECRET", "hunter2"),
        ];
        let shown = format!("{:?}", load(&[], &env, None).unwrap());
        assert!(!shown.contains("hunter2") && !shown.contains("AAEC"), "{shown}");
    }

    #[test]
    fn an_unknown_key_of_the_file_is_an_error_that_knows_the_nearest() {
        let error = load(&[], &[], Some("listen = \"127.0.0.1:1\"\nretry_shedule = \"5s\"\n")).unwrap_err();
        assert_eq!(
            error,
            "schoolbell.toml, line 2: there is no setting 'retry_shedule'. Did you mean 'retry_schedule'?"
        );
        let error = load(&[], &[], Some("colour = 1")).unwrap_err();
        assert!(
            error.starts_with("schoolbell.toml, line 1: there is no setting 'colour'. There are listen, "),
            "{error}"
        );
    }

    #[test]
    fn a_file_that_is_not_toml_or_not_there_is_an_error() {
        let error = load(&[], &[], Some("listen = \"127.0.0.1:1\"\nwhat is this\n")).unwrap_err();
        assert!(error.starts_with("schoolbell.toml, line 2: "), "{error}");
        let flags = Flags { config: Some(PathBuf::from("/nowhere/schoolbell.toml")), ..Flags::default() };
        let error = Given::gather(&flags, &|_| None).err().unwrap().to_string();
        assert!(error.starts_with("/nowhere/schoolbell.toml cannot be read"), "{error}");
    }

    #[test]
    fn the_example_file_has_every_setting_and_the_defaults() {
        let example = include_str!("../../../../config.example.toml");
        assert_eq!(load(&[], &[], Some(example)).unwrap(), default());
        let mut uncommented = String::new();
        for line in example.lines() {
            // Settings without a default stand in the example as comments.
            uncommented.push_str(line.strip_prefix("#= ").unwrap_or(line));
            uncommented.push('\n');
        }
        for setting in TABLE {
            let line = format!("\n{} = ", setting.key);
            assert_eq!(uncommented.matches(&line).count(), 1, "{} in config.example.toml", setting.key);
            assert!(example.contains(setting.help.trim()), "the sentence about {} in config.example.toml", setting.key);
        }
        load(&[], &[], Some(&uncommented)).expect("what stands in the comments can be used");
    }

    #[test]
    fn the_operators_page_has_every_setting_and_its_default() {
        let page = include_str!("../../../../docs/operating.md");
        for setting in TABLE {
            let row = match setting.default {
                "" => format!("\n| `{}` | ", setting.name()),
                default => format!("\n| `{}` | `{default}` |", setting.name()),
            };
            assert_eq!(page.matches(&row).count(), 1, "{row}");
        }
    }

    #[test]
    fn stray_variables_are_those_that_nearly_are_a_setting() {
        let names = ["SCHOOLBELL_RETRY_SHEDULE", "SCHOOLBELL_PORT_80_TCP", "SCHOOLBELL_LISTEN", "HOME"];
        let strays: Vec<_> = stray_variables(names.into_iter().map(String::from)).collect();
        assert_eq!(strays, [("SCHOOLBELL_RETRY_SHEDULE".to_owned(), "SCHOOLBELL_RETRY_SCHEDULE".to_owned())]);
    }
}
