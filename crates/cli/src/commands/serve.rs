//! `schoolbell serve`: the server.

use super::{Failure, say};
use crate::{
    app::{App, StartError},
    logging, secrets, server,
    settings::{Flags, Settings, stray_variables},
    stop,
};
use std::io::IsTerminal as _;

/// Serves until it is asked to stop.
pub(crate) async fn run(flags: &Flags) -> Result<(), Failure> {
    let settings = Settings::load(flags)?;
    logging::start(&settings);
    for (name, meant) in stray_variables(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok())) {
        tracing::warn!("{name} in the environment is no setting; {meant} is");
    }
    if secrets::jwt_secret_is_short(&settings) {
        tracing::warn!("{}", secrets::JWT_SECRET_IS_SHORT);
    }
    let stop = stop::listen();
    let app = App::start(&settings, server::bind).await?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), address = %app.address(), "started");
    say(format_args!("Schoolbell listens on http://{}", app.address()));
    // The link is a key: it belongs on a screen, not into a journal. `schoolbell sign-in` prints one at any time.
    if std::io::stdout().is_terminal()
        && let Some(link) = app.sign_in_link()
    {
        say(format_args!("Sign in to the dashboard, once, within 15 minutes: {link}"));
    }
    app.run(stop).await;
    Ok(())
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Secrets(e) => e.into(),
            e => Self::other(e),
        }
    }
}
