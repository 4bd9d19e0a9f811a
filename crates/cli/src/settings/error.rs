//! What can be wrong with a setting.

use super::{Setting, TABLE};
use std::path::PathBuf;

/// Where a value came from.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// The flag of this name, without the hyphens.
    Flag(String),
    /// The variable of this name.
    Environment(String),
    /// A line of the file.
    File {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// The key there.
        key: &'static str,
    },
    /// Nobody said anything.
    Default,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "--{flag}"),
            Self::Environment(name) => write!(f, "{name} in the environment"),
            Self::File { path, line, key } => write!(f, "{key} in {}, line {line}", path.display()),
            Self::Default => f.write_str("its default"),
        }
    }
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// A value that the setting does not take.
    #[error("{name} cannot be {shown} (given by {origin}): {right}")]
    Value {
        /// Which setting.
        name: String,
        /// What was given.
        shown: String,
        /// Where.
        origin: Origin,
        /// What would be right.
        right: String,
    },
    /// A secret that does not fit; its value is not repeated.
    #[error("{name} is wrong (given by {origin}): {right}")]
    Secret {
        /// Which setting.
        name: String,
        /// Where.
        origin: Origin,
        /// What would be right.
        right: String,
    },
    /// A key of the file that is no setting.
    #[error("{}, line {line}: there is no setting '{key}'. {hint}", path.display())]
    UnknownKey {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// The key.
        key: String,
        /// What there is.
        hint: String,
    },
    /// The file is not TOML.
    #[error("{}, line {line}: {problem}", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What the reader says.
        problem: String,
    },
    /// The file cannot be read.
    #[error("{} cannot be read: {error}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
}

/// What to say about a key that is not there.
pub(super) fn hint(key: &str) -> String {
    match nearest(key) {
        Some(setting) => format!("Did you mean '{}'?", setting.key),
        None => format!("There are {}", TABLE.iter().map(|s| s.key).collect::<Vec<_>>().join(", ")),
    }
}

/// The setting that a mistyped key was meant to be, if one is near enough.
pub(super) fn nearest(key: &str) -> Option<&'static Setting> {
    let key = key.to_ascii_lowercase().replace('-', "_");
    let near = TABLE.iter().map(|s| (distance(&key, s.key), s)).min_by_key(|(d, _)| *d)?;
    (near.0 <= 2).then_some(near.1)
}

/// How many letters to add, leave out or change to get from one word to the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.chars().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[row.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_letters() {
        assert_eq!(distance("listen", "listen"), 0);
        assert_eq!(distance("lisen", "listen"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert!(nearest("Retry-Schedules").is_some_and(|s| s.key == "retry_schedule"));
        assert!(nearest("colour").is_none());
    }
}
