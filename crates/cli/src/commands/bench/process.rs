//! The server that is measured: a process of its own, with what the system says about it.

use crate::{commands::Failure, settings::Hidden};
use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

/// How long it may take to start.
const START_WITHIN: Duration = Duration::from_secs(30);
/// Between two questions whether it is ready.
const LOOK: Duration = Duration::from_millis(1);
/// Microseconds in a tick of the CPU times that Linux tells: a hundredth of a second on every machine.
const TICK: u64 = 10_000;

/// Runs until it is dropped.
pub(super) struct Server {
    child: Child,
    address: SocketAddr,
    start_time: Duration,
}

impl Server {
    /// Starts this very program as a server with an empty database in a folder, untouched by settings of the environment.
    pub(super) async fn start(folder: &Path, secret: &Hidden) -> Result<Self, Failure> {
        let log = folder.join("server.log");
        let mut command = Command::new(program()?);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SCHOOLBELL_") {
                command.env_remove(name);
            }
        }
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--allow-subnets", "127.0.0.0/8", "--log-level", "warn"])
            .args(["--database", "sqlite:bench.db"])
            .env("SCHOOLBELL_JWT_SECRET", secret.expose())
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).map_err(Failure::other)?);
        let begun = Instant::now();
        let mut server = Self {
            child: command.spawn().map_err(|e| Failure::other(format!("the server cannot be started: {e}")))?,
            address: ([127, 0, 0, 1], 0).into(),
            start_time: Duration::ZERO,
        };
        let Some(output) = server.child.stdout.take() else { return Err(did_not_start(&log)) };
        // It says where it listens in its first line, and nothing after it.
        let first_line = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(output).read_line(&mut line).map(|_| line)
        });
        let line = timeout(START_WITHIN, first_line).await.map_err(|_| did_not_start(&log))?;
        let line = line.map_err(Failure::other)?.map_err(Failure::other)?;
        let address = line.trim_end().rsplit_once("http://").and_then(|(_, address)| address.parse().ok());
        server.address = address.ok_or_else(|| did_not_start(&log))?;
        let ready = async {
            while !is_ready(server.address).await {
                sleep(LOOK).await;
            }
        };
        timeout(START_WITHIN, ready).await.map_err(|_| did_not_start(&log))?;
        server.start_time = begun.elapsed();
        Ok(server)
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From its first instruction until it said that it is ready.
    pub(super) fn start_time(&self) -> Duration {
        self.start_time
    }

    /// CPU time so far, where the system tells it as Linux does.
    pub(super) fn cpu(&self) -> Option<Duration> {
        let stat = std::fs::read_to_string(self.about("stat")).ok()?;
        cpu_in(&stat)
    }

    /// Bytes that it holds, where the system tells them as Linux does.
    pub(super) fn memory(&self) -> Option<u64> {
        self.status("VmRSS:")
    }

    /// Bytes that it held at most.
    pub(super) fn peak_memory(&self) -> Option<u64> {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> Option<u64> {
        kilobytes_in(&std::fs::read_to_string(self.about("status")).ok()?, name)
    }

    fn about(&self, what: &str) -> PathBuf {
        format!("/proc/{}/{what}", self.child.id()).into()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its database is removed next: there is nothing to end in order.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|e| Failure::other(format!("cannot tell where this program is: {e}")))
}

/// With the last thing that it said.
fn did_not_start(log: &Path) -> Failure {
    let said = std::fs::read_to_string(log).unwrap_or_default();
    let last = said.lines().last().unwrap_or("it said nothing");
    Failure::other(format!("the server did not start: {last}"))
}

async fn is_ready(address: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n").await?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await?;
        std::io::Result::Ok(answer.starts_with(b"HTTP/1.1 2"))
    };
    ask.await.unwrap_or(false)
}

/// User and system time in a line of `/proc/PID/stat`; the name of the process may hold anything, so from its end on.
fn cpu_in(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(11).map(str::parse::<u64>);
    let (user, system) = (times.next()?.ok()?, times.next()?.ok()?);
    Some(Duration::from_micros((user + system) * TICK))
}

fn kilobytes_in(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_read() {
        let stat = "12 (odd) name) S 1 2 3 4 5 6 7 8 9 10 250 50 7 8 20 0 4 0 100 200 300\n";
        assert_eq!(cpu_in(stat), Some(Duration::from_secs(3)));
        assert_eq!(cpu_in("12 (cut off) S 1 2"), None);
        let status = "Name:\tschoolbell\nVmHWM:\t   41000 kB\nVmRSS:\t   40000 kB\n";
        assert_eq!(kilobytes_in(status, "VmRSS:"), Some(40_000 * 1024));
        assert_eq!(kilobytes_in(status, "VmSwap:"), None);
    }
}
