//! The one binary: reads settings, wires the rooms, runs the commands. Holds no rules of its own.

#![allow(rustdoc::bare_urls, reason = "what documents a setting is also the help that a terminal shows")]

mod app;
mod client;
mod clock;
mod commands;
mod logging;
mod scratch;
mod secrets;
mod server;
mod settings;
mod stop;
mod unread;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use commands::{
    Failure, backup::BackupArgs, bench::BenchArgs, demo::DemoArgs, doctor::DoctorArgs, import::ImportArgs,
    listen::ListenArgs, migrate::MigrateArgs, send::SendArgs, simulate::SimulateArgs,
};
use domain::OrganizationId;
use settings::Flags;
use std::{process::ExitCode, time::Duration};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Settings of the commands that need no more than the secret and the server's address.
const FEW: &[&str] = &["database", "jwt_secret"];
/// The same, and where people reach the server.
const SIGN_IN: &[&str] = &["database", "jwt_secret", "listen", "public_url"];

/// Schoolbell rings when something happens in a classroom: webhooks for learning platforms, from one binary.
#[derive(Parser, Debug)]
#[command(name = "schoolbell", version, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Shows everything at work, with no set-up: a server, a receiver, five platforms and their events
    ///
    /// Everything lives in a scratch folder that is removed at the end. Ctrl-C ends it.
    Demo(DemoArgs),
    /// Runs the server: API and delivery
    ///
    /// Prints one line that says where it listens; logs go to stderr. SIGTERM or Ctrl-C stops it within 10 seconds, a
    /// second one at once. Every setting is a flag, a variable of the environment, or a key of schoolbell.toml, in this
    /// order.
    Serve,
    /// Prints an organization token and nothing else; every Svix SDK takes it
    ///
    /// It is signed with JWT_SECRET, or with the secret that is kept beside the database (made now if it is not there).
    Token(TokenArgs),
    /// Prints a link that signs the operator in to the dashboard, once, within 15 minutes
    ///
    /// The server must use the same JWT_SECRET, or the secret that is kept beside the same database.
    SignIn(TokenArgs),
    /// Runs a receiver for development: prints what arrives and checks signatures
    ///
    /// The server only sends to it with --allow-subnets 127.0.0.0/8.
    Listen(ListenArgs),
    /// Publishes one event to a running server and prints the message's id
    Send(SendArgs),
    /// Makes the endpoints and webfilters that another system was set up with
    ///
    /// Doing it again changes what it made before to what the file says now; nothing is made twice.
    Import(ImportArgs),
    /// Plays a believable class of a platform to a running server: people come and go, hand in, take tracks
    ///
    /// The application should have the platform: then the events have their schemas and endpoints their format.
    Simulate(SimulateArgs),
    /// Copies the embedded database while the server runs
    ///
    /// The copy is that of one moment, is read through, and can be read by its owner only.
    Backup(BackupArgs),
    /// Moves everything from the embedded database to PostgreSQL
    ///
    /// The server must be stopped. What broke off goes on where it was when the same command is run again. At the end both
    /// sides are compared by counts and hashes.
    Migrate(MigrateArgs),
    /// Looks at settings, secrets, database, clock, names and the way out, and says what to do. Changes nothing
    Doctor(DoctorArgs),
    /// Measures the embedded server on this machine and prints a table. Takes about a minute
    ///
    /// Starts a server of its own in a scratch folder, publishes to it over HTTP, and removes everything at the end. Producers
    /// and receiver run on the same machine and take their share of it.
    Bench(BenchArgs),
}

#[derive(Args, Debug)]
struct TokenArgs {
    /// The organization that it is for
    #[arg(value_name = "ORG_ID", default_value = OrganizationId::DEFAULT)]
    organization: String,
}

fn command_line() -> clap::Command {
    Cli::command()
        .mut_subcommand("serve", |c| settings::add_flags(c, &[]))
        .mut_subcommand("token", |c| settings::add_flags(c, FEW))
        .mut_subcommand("sign-in", |c| settings::add_flags(c, SIGN_IN))
        .mut_subcommand("send", |c| settings::add_flags(c, FEW))
        .mut_subcommand("import", |c| c.mut_subcommand("openedx", |c| settings::add_flags(c, FEW)))
        .mut_subcommand("simulate", |c| settings::add_flags(c, FEW))
        .mut_subcommand("backup", |c| settings::add_flags(c, &["database"]))
        .mut_subcommand("migrate", |c| settings::add_flags(c, &["main_key"]))
        .mut_subcommand("doctor", |c| settings::add_flags(c, &[]))
}

fn main() -> ExitCode {
    // One provider of cryptography for the whole process, before anybody asks for TLS.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let matches = command_line().get_matches();
    // Flags of settings belong to the innermost command: `import openedx`.
    let innermost = |(_, m): (&str, &clap::ArgMatches)| m.subcommand().map_or_else(|| m.clone(), |(_, m)| m.clone());
    let flags = matches.subcommand().map(innermost).map(|m| Flags::read(&m)).unwrap_or_default();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|e| e.exit());
    match run(cli.command, &flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("schoolbell: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(command: Command, flags: &Flags) -> Result<(), Failure> {
    match command {
        Command::Token(args) => commands::token::run(&args.organization, flags),
        Command::SignIn(args) => commands::sign_in::run(&args.organization, flags),
        Command::Serve => on_runtime(commands::serve::run(flags)),
        Command::Listen(args) => on_runtime(commands::listen::run(args)),
        Command::Send(args) => on_runtime(commands::send::run(args, flags)),
        Command::Import(args) => on_runtime(commands::import::run(args, flags)),
        Command::Simulate(args) => on_runtime(commands::simulate::run(args, flags)),
        Command::Backup(args) => commands::backup::run(&args, flags),
        Command::Migrate(args) => on_runtime(commands::migrate::run(args, flags)),
        Command::Doctor(args) => on_runtime(commands::doctor::run(args, flags)),
        Command::Bench(args) => on_runtime(commands::bench::run(args)),
        Command::Demo(args) => on_runtime(commands::demo::run(args)),
    }
}

fn on_runtime(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    // Connections are open files. Where the limit cannot be raised, fewer must do.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::other)?;
    let result = runtime.block_on(command);
    // A query that still runs has nobody to answer to.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_well_formed() {
        super::command_line().debug_assert();
    }
}
