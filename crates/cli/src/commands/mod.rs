//! One module for each command. A command reads its flags, wires what it needs, and says what it did.

pub(crate) mod backup;
pub(crate) mod bench;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod import;
pub(crate) mod listen;
pub(crate) mod migrate;
pub(crate) mod send;
pub(crate) mod serve;
pub(crate) mod sign_in;
pub(crate) mod simulate;
pub(crate) mod token;

/// A line on standard output. That nobody reads it any more is no reason to stop: a server goes on.
pub(crate) fn say(line: impl std::fmt::Display) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Why a command did not do its work; printed once, as the last line on stderr.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line or the settings have to change.
    #[error("{0}")]
    Usage(String),
    /// Something else went wrong.
    #[error("{0}")]
    Other(String),
    /// Somebody stopped it before it was done.
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    /// Something that went wrong, in its own words.
    pub(crate) fn other(error: impl std::fmt::Display) -> Self {
        Self::Other(error.to_string())
    }
    /// What the process answers its caller.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Other(_) => 1,
            Self::Interrupted => 130,
        }
    }
}

impl From<crate::settings::SettingsError> for Failure {
    fn from(error: crate::settings::SettingsError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<crate::secrets::SecretsError> for Failure {
    fn from(error: crate::secrets::SecretsError) -> Self {
        Self::Usage(error.to_string())
    }
}
