//! `schoolbell backup`: a consistent copy of the embedded database, while the server runs.

use super::{Failure, say};
use crate::settings::{Database, Flags, Settings};
use clap::Args;
use std::path::PathBuf;

/// Where the copy goes.
#[derive(Args, Debug)]
pub(crate) struct BackupArgs {
    /// Name of the copy; must not be there yet
    file: PathBuf,
}

/// Makes the copy and says how large it is.
pub(crate) fn run(args: &BackupArgs, flags: &Flags) -> Result<(), Failure> {
    let settings = Settings::load(flags)?;
    let Database::Sqlite(database) = &settings.database else {
        return Err(Failure::Usage(
            "DATABASE is PostgreSQL, which has its own means: pg_dump, pg_basebackup, or what your provider offers"
                .into(),
        ));
    };
    let bytes = store::sqlite::backup(database, &args.file).map_err(Failure::other)?;
    say(format_args!("{}: {bytes} bytes, checked", args.file.display()));
    say("It holds everything but the two secrets: keep copies of JWT_SECRET and MAIN_KEY elsewhere.");
    Ok(())
}
