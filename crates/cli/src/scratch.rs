//! A folder for what a command needs only while it runs.

use crate::commands::Failure;
use std::{
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

/// A folder of its own that only its owner can read, removed at the end.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes one in a folder, named after its purpose.
    pub(crate) fn make(within: &Path, purpose: &str) -> Result<Self, Failure> {
        let mut unique = [0; 8];
        store::seal::fill_random(&mut unique);
        let path = within.join(format!("schoolbell-{purpose}-{:016x}", u64::from_le_bytes(unique)));
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|e| Failure::other(format!("cannot make the scratch folder {}: {e}", path.display())))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("schoolbell: the scratch folder {} could not be removed: {error}", self.0.display());
        }
    }
}
