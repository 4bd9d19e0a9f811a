//! What a sync costs on the disk that is measured: alone, and beside a load.

use super::report::Quantiles;
use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// What is written before each sync: a page.
const PAGE: [u8; 4096] = [0; 4096];
/// Syncs of the idle machine.
const IDLE: usize = 200;
/// Between two syncs beside a load: enough of them for a median, too few to be a load themselves.
const BETWEEN: Duration = Duration::from_millis(20);

fn one(file: &mut File) -> io::Result<Duration> {
    let begun = Instant::now();
    file.write_all(&PAGE)?;
    file.sync_data()?;
    Ok(begun.elapsed())
}

fn scratch_file(folder: &Path) -> io::Result<(File, PathBuf)> {
    let path = folder.join("syncs");
    Ok((File::create(&path)?, path))
}

/// Syncs one after the other, with nothing beside them.
pub(super) fn idle(folder: &Path) -> io::Result<Quantiles> {
    let (mut file, path) = scratch_file(folder)?;
    let took: io::Result<Vec<Duration>> = (0..IDLE).map(|_| one(&mut file)).collect();
    std::fs::remove_file(path)?;
    Ok(Quantiles::of(took?))
}

/// Syncs beside a load, until it ends.
pub(super) struct Syncs {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<Vec<Duration>>>>,
}

impl Syncs {
    pub(super) fn begin(folder: &Path) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (ended, folder) = (over.clone(), folder.to_owned());
        let thread = std::thread::spawn(move || {
            let (mut file, _) = scratch_file(&folder)?;
            let mut took = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                took.push(one(&mut file)?);
                std::thread::sleep(BETWEEN);
            }
            Ok(took)
        });
        Self { over, thread: Some(thread) }
    }

    /// What they took; nothing if the disk could not be written.
    pub(super) fn end(mut self) -> Quantiles {
        Quantiles::of(self.stop().unwrap_or_default())
    }

    fn stop(&mut self) -> Option<Vec<Duration>> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take()?.join().ok()?.ok()
    }
}

impl Drop for Syncs {
    /// Before its folder is removed.
    fn drop(&mut self) {
        self.stop();
    }
}
