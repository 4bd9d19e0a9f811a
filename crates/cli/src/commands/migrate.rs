//! `schoolbell migrate`: from the embedded database to PostgreSQL.

use super::{Failure, say};
use crate::{
    secrets,
    settings::{Database, Flags, Settings, read_database},
};
use clap::Args;
use std::{
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};
use store::moving::{Progress, sqlite_to_postgres};

/// Between two drawings of the bar.
const REDRAW: Duration = Duration::from_millis(100);
/// Characters of the bar.
const WIDTH: usize = 30;

/// From where to where.
#[derive(Args, Debug)]
pub(crate) struct MigrateArgs {
    /// The embedded database, sqlite:FILE; its server must be stopped
    #[arg(long, value_name = "DATABASE")]
    from: String,
    /// An empty PostgreSQL database, postgres://USER:PASSWORD@HOST/NAME; its nodes start afterwards
    #[arg(long, value_name = "DATABASE")]
    to: String,
}

/// Moves everything, and says what was moved.
pub(crate) async fn run(args: MigrateArgs, flags: &Flags) -> Result<(), Failure> {
    let wrong = |what: &str, right: String| Failure::Usage(format!("{what} is not understood: {right}"));
    let from = read_database(&args.from).map_err(|e| wrong("--from", e))?;
    let to = read_database(&args.to).map_err(|e| wrong("--to", e))?;
    let (Database::Sqlite(file), Database::Postgres(url)) = (&from, &to) else {
        return Err(Failure::Usage("it goes from sqlite:FILE to postgres://…, and no other way".into()));
    };
    if !file.exists() {
        return Err(Failure::Usage(format!("{} is not there", file.display())));
    }
    let settings = Settings { database: from.clone(), ..Settings::load(flags)? };
    let key = secrets::main_key(&settings)?;
    let mut bar = Bar::new();
    let moved = sqlite_to_postgres(file, url.expose(), &key, |p| bar.show(&p)).await;
    bar.end();
    let moved = moved.map_err(Failure::other)?;
    let rows: u64 = moved.tables.iter().map(|(_, rows)| rows).sum();
    for (table, rows) in moved.tables.iter().filter(|(_, rows)| *rows > 0) {
        say(format_args!("{table}: {rows} rows, the same on both sides"));
    }
    say(format_args!("Moved {rows} rows in {} tables; counts and hashes agree.", moved.tables.len()));
    say(
        "Give every node the MAIN_KEY and the JWT_SECRET of the old server, and keep its database until you are content.",
    );
    Ok(())
}

/// Draws on a terminal; elsewhere says each table once.
struct Bar {
    drawn: Option<Instant>,
    on_terminal: bool,
    said: String,
}

impl Bar {
    fn new() -> Self {
        Self { drawn: None, on_terminal: std::io::stderr().is_terminal(), said: String::new() }
    }

    fn show(&mut self, p: &Progress) {
        let mut out = std::io::stderr();
        // That nobody watches is no reason to stop.
        if self.on_terminal {
            let done = p.rows >= p.of;
            if done || self.drawn.is_none_or(|at| at.elapsed() > REDRAW) {
                self.drawn = Some(Instant::now());
                let _ = write!(out, "\r{}\x1b[K", line(p));
                let _ = out.flush();
            }
        } else {
            let title = format!("{} {}", p.doing, p.table);
            if title != self.said {
                let _ = writeln!(out, "{title}: {} rows", p.of);
                self.said = title;
            }
        }
    }

    fn end(&self) {
        if self.on_terminal && self.drawn.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(p: &Progress) -> String {
    let share = if p.of == 0 { 1.0 } else { (p.rows as f64 / p.of as f64).min(1.0) };
    let full = (share * WIDTH as f64) as usize;
    let (bar, rest) = ("#".repeat(full), " ".repeat(WIDTH - full));
    format!("[{bar}{rest}] {:3.0} % {} {}: {} of {} rows", share * 100.0, p.doing, p.table, p.rows, p.of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_full_at_the_end_and_for_nothing() {
        let at = |rows, of| line(&Progress { doing: "copying", table: "message".into(), rows, of });
        assert!(at(1, 2).starts_with("[###############               ]  50 % copying message: 1 of 2"));
        assert!(at(2, 2).contains("100 %") && at(0, 0).contains("100 %") && at(3, 2).contains("100 %"));
    }
}
