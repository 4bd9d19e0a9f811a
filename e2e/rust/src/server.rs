//! Starts and ends the real binary on a free port and in a folder of its own.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// One `schoolbell serve`, which ends with this value.
pub struct Server {
    /// Where it listens.
    pub url: String,
    folder: tempfile::TempDir,
    _process: Child,
}

fn binary() -> PathBuf {
    std::env::var_os("SCHOOLBELL_BIN")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/debug/schoolbell"), PathBuf::from)
}

impl Server {
    /// Starts it and waits for the line that says where it listens.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the database");
        let mut process = command(folder.path())
            .args(["serve", "--listen", "127.0.0.1:0", "--allow-subnets", "127.0.0.0/8"])
            .args(["--retry-schedule", "1ms,1ms", "--request-timeout", "2s"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("SCHOOLBELL_BIN, or target/debug/schoolbell, can be run");
        let mut lines = BufReader::new(process.stdout.take().expect("its output is piped")).lines();
        let line = tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await;
        let line = line.expect("it listens within 30 s").expect("its output is text").unwrap_or_default();
        let url = line.split(' ').find(|word| word.starts_with("http://"));
        let url = url.unwrap_or_else(|| panic!("it did not say where it listens, but: {line}")).to_owned();
        // Whoever writes to a pipe that nobody reads blocks at last.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { url, folder, _process: process }
    }

    /// What `schoolbell token` prints.
    pub async fn token(&self, organization: &str) -> String {
        let done = command(self.folder.path()).args(["token", organization]).output().await.expect("it runs");
        assert!(done.status.success(), "schoolbell token: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).expect("a token is text").trim().to_owned()
    }
}

/// The binary with nothing of the surrounding shell's settings.
fn command(folder: &Path) -> Command {
    let mut command = Command::new(binary());
    command.current_dir(folder);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SCHOOLBELL_") {
            command.env_remove(name);
        }
    }
    command.env("SCHOOLBELL_DATABASE", format!("sqlite:{}", folder.join("schoolbell.db").display()));
    command
}

/// An organization id that no other test of this run uses.
pub fn new_organization() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_nanos();
    format!("org_2{:026}", now % 10_u128.pow(26))
}
