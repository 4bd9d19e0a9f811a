//! The settings file: any bytes are settings within their limits, or an error that names the place and no secret.
#![no_main]

use libfuzzer_sys::fuzz_target;
use settings::{Flags, Settings};
use std::{fs, path::PathBuf, sync::LazyLock, time::Duration};

// The module itself, because a program cannot be a dependency.
#[allow(dead_code, unused_imports)]
#[path = "../../crates/cli/src/settings/mod.rs"]
mod settings;

static FILE: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let path = folder.path().join("schoolbell.toml");
    (folder, path)
});

fuzz_target!(|data: &[u8]| {
    let path = &FILE.1;
    fs::write(path, data).unwrap();
    let flags = Flags { config: Some(path.clone()), ..Flags::default() };
    let shown = match Settings::load(&flags) {
        Ok(s) => {
            assert!((1..=256).contains(&s.endpoint_concurrency) && s.memory_budget >= 4_000_000);
            assert!(s.request_timeout > Duration::ZERO && s.request_timeout <= Duration::from_secs(300));
            assert!((1..=90).contains(&s.payload_retention) && s.max_connections >= 1);
            assert!(s.retry_schedule.waits().len() <= 64);
            format!("{s:?}")
        }
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains(&*path.to_string_lossy()), "{text}");
            text
        }
    };
    if let Some(secrets) = std::str::from_utf8(data).ok().and_then(|t| t.parse::<toml::Table>().ok()) {
        for name in ["jwt_secret", "main_key"] {
            // Shorter texts may be parts of other words.
            if let Some(secret) = secrets.get(name).and_then(|v| v.as_str()).filter(|s| s.len() > 30) {
                assert!(!shown.contains(secret), "{name} is shown: {shown}");
            }
        }
    }
});
