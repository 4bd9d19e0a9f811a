//! `schoolbell import`: makes at a running server what another system was set up with, through its API.

mod openedx;

use super::{Failure, send::Server};
use crate::settings::Flags;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// From where.
#[derive(Args, Debug)]
pub(crate) struct ImportArgs {
    #[command(subcommand)]
    from: Source,
}

#[derive(Subcommand, Debug)]
enum Source {
    /// Open edX's webhook plugin, from the output of its platform's `dumpdata openedx_webhooks`
    Openedx(OpenedxArgs),
}

/// What to import, and where to.
#[derive(Args, Debug)]
struct OpenedxArgs {
    /// File that `manage.py lms dumpdata openedx_webhooks` wrote; - reads standard input
    file: PathBuf,
    /// Id or uid of the application; one with this uid is made if it is not there
    #[arg(long, value_name = "APP")]
    app: String,
    /// What the receivers were written for: the plugin's version 22, or one before
    #[arg(long, value_enum, default_value_t = Wire::V22)]
    wire: Wire,
    /// Reads the file and says what would be made, without calling the server
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    server: Server,
}

/// A shape of bodies.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Wire {
    /// From version 22 on
    V22,
    /// Versions 2 to 21
    V21,
    /// Versions before 2
    V1,
}

/// Imports, and says what became of each thing.
pub(crate) async fn run(args: ImportArgs, flags: &Flags) -> Result<(), Failure> {
    match args.from {
        Source::Openedx(args) => openedx::run(args, flags).await,
    }
}
