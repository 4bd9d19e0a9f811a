//! Where settings come from: flags, the environment, the file.

use super::{
    Setting, TABLE,
    error::{Origin, SettingsError, hint, nearest},
};
use clap::{Arg, ArgMatches, Command, builder::OsStringValueParser, parser::ValueSource};
use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};
use toml::de::{DeTable, DeValue};

/// The file that is read if none is named and it is there.
const FILE: &str = "schoolbell.toml";
/// Names the file, like `--config`.
const CONFIG_VARIABLE: &str = "SCHOOLBELL_CONFIG";

/// What the command line says about settings.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    /// The file to read.
    pub(crate) config: Option<PathBuf>,
    /// By the flag's name.
    pub(crate) values: BTreeMap<String, OsString>,
}

/// Adds a flag for each of these settings, and `--config`, to a command. All settings if no key is named.
pub(crate) fn add_flags(command: Command, keys: &[&str]) -> Command {
    let wanted = |s: &&Setting| keys.is_empty() || keys.contains(&s.key);
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(OsStringValueParser::new())
        .help(format!("File with settings [default: {FILE}, if it is there; env: {CONFIG_VARIABLE}]"));
    TABLE.iter().filter(wanted).fold(command.arg(config), |command, setting| {
        let default =
            if setting.default.is_empty() { String::new() } else { format!("default: {}; ", setting.default) };
        let arg = Arg::new(setting.flag())
            .long(setting.flag())
            .value_name("VALUE")
            .value_parser(OsStringValueParser::new())
            .allow_hyphen_values(true)
            .help_heading("Settings")
            .help(format!("{} [{default}env: {}]", setting.help.trim(), setting.variable()));
        command.arg(arg)
    })
}

impl Flags {
    /// From what was given on the command line.
    pub(crate) fn read(matches: &ArgMatches) -> Self {
        let given = |id: &str| match matches.try_get_one::<OsString>(id) {
            Ok(value) if matches.value_source(id) == Some(ValueSource::CommandLine) => value.cloned(),
            // A command that does not have this flag.
            _ => None,
        };
        Self {
            config: given("config").map(PathBuf::from),
            values: TABLE.iter().filter_map(|s| given(&s.flag()).map(|v| (s.flag(), v))).collect(),
        }
    }
}

/// Variables that were probably meant to be settings, each with the right name. Others that begin like ours are left
/// alone: Kubernetes makes some for every service.
pub(crate) fn stray_variables(names: impl Iterator<Item = String>) -> impl Iterator<Item = (String, String)> {
    names.filter_map(|name| {
        let key = name.strip_prefix("SCHOOLBELL_")?.to_ascii_lowercase();
        let meant = nearest(&key)?;
        (meant.key != key).then(|| (name, meant.variable()))
    })
}

struct Value {
    text: OsString,
    origin: Origin,
}

/// What was given for each setting, by key.
#[derive(Default)]
pub(super) struct Given(BTreeMap<&'static str, Value>);

impl Given {
    /// Gathers from all places; `env` looks a variable up.
    pub(super) fn gather(flags: &Flags, env: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, SettingsError> {
        Self::gather_in(Path::new(FILE), flags, env)
    }

    /// As [`Self::gather`], with another place for the file that need not be there.
    pub(super) fn gather_in(
        usual: &Path,
        flags: &Flags,
        env: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Self, SettingsError> {
        let mut given = match flags.config.clone().or_else(|| env(CONFIG_VARIABLE).map(PathBuf::from)) {
            Some(path) => read_file(&path)?,
            None if usual.exists() => read_file(usual)?,
            None => BTreeMap::new(),
        };
        for setting in TABLE {
            if let Some(text) = env(&setting.variable()) {
                given.insert(setting.key, Value { text, origin: Origin::Environment(setting.variable()) });
            }
            if let Some(text) = flags.values.get(&setting.flag()) {
                given.insert(setting.key, Value { text: text.clone(), origin: Origin::Flag(setting.flag()) });
            }
        }
        Ok(Self(given))
    }

    /// One setting, checked by `parse`, whose error says what would be right.
    pub(super) fn read<T>(
        &self,
        setting: &Setting,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, SettingsError> {
        let (text, origin) = match self.0.get(setting.key) {
            Some(value) => (value.text.as_os_str(), value.origin.clone()),
            None => (OsStr::new(setting.default), Origin::Default),
        };
        let read = text.to_str().ok_or_else(|| "use text in UTF-8".to_owned()).and_then(parse);
        read.map_err(|right| {
            let name = setting.name();
            match setting.secret {
                true => SettingsError::Secret { name, origin, right },
                false => SettingsError::Value { name, shown: shown(&text.to_string_lossy()), origin, right },
            }
        })
    }
}

/// A value for an error: short, and without the credentials that an address may hold.
fn shown(text: &str) -> String {
    match text.split_once("://") {
        Some((scheme, rest)) if rest.contains('@') => format!("'{scheme}:…'"),
        _ if text.chars().count() > 80 => format!("'{}…'", text.chars().take(80).collect::<String>()),
        _ => format!("'{text}'"),
    }
}

fn read_file(path: &Path) -> Result<BTreeMap<&'static str, Value>, SettingsError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| SettingsError::Unreadable { path: path.to_owned(), error })?;
    let line_of = |at: usize| 1 + text.bytes().take(at).filter(|b| *b == b'\n').count();
    let table = DeTable::parse(&text).map_err(|e| SettingsError::Syntax {
        path: path.to_owned(),
        line: line_of(e.span().map_or(0, |s| s.start)),
        problem: e.message().to_owned(),
    })?;
    let mut given = BTreeMap::new();
    for (key, value) in table.get_ref() {
        let line = line_of(key.span().start);
        let name: &str = key.get_ref();
        let Some(setting) = TABLE.iter().find(|s| s.key == name) else {
            let (path, key) = (path.to_owned(), name.to_owned());
            return Err(SettingsError::UnknownKey { path, line, hint: hint(&key), key });
        };
        let origin = Origin::File { path: path.to_owned(), line, key: setting.key };
        match plain(value.get_ref()) {
            Some(text) => given.insert(setting.key, Value { text: text.into(), origin }),
            None => {
                let shown = format!("a {}", value.get_ref().type_str());
                let right = "use a text, a number, true or false, or a list of these".to_owned();
                return Err(SettingsError::Value { name: setting.name(), shown, origin, right });
            }
        };
    }
    Ok(given)
}

/// A value of the file as one would write it on the command line.
fn plain(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(s) => Some(s.to_string()),
        DeValue::Integer(n) => Some(n.as_str().to_owned()),
        DeValue::Boolean(b) => Some(if *b { "on" } else { "off" }.to_owned()),
        DeValue::Array(items) => {
            let items: Option<Vec<_>> = items.iter().map(|v| plain(v.get_ref())).collect();
            items.map(|i| i.join(","))
        }
        _ => None,
    }
}
