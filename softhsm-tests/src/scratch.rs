//! A private directory per test: removed when the test succeeds, kept and named when it fails.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context, Result};
use tempfile::TempDir;

/// Set to anything, it keeps the directories of tests that succeed as well.
pub const KEEP: &str = "INRO_KEEP_SCRATCH";

/// A private directory. Its path is short, for Unix sockets live in it (108 bytes at most).
#[derive(Debug)]
pub struct Scratch {
    directory: Option<TempDir>,
    path: PathBuf,
}

impl Scratch {
    /// A new, empty directory, only open to this user. `name` is part of its path.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn new(name: &str) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix(&format!("inro-{name}-"))
            .tempdir()
            .context("making a scratch directory")?;
        Ok(Self { path: directory.path().to_owned(), directory: Some(directory) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path below it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// A directory below it, made where it doesn't exist.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(path)
    }

    /// Writes a file below it and returns its path.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.path.join(name);
        fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// Keeps the directory and returns its path.
    pub fn keep(mut self) -> PathBuf {
        self.release();
        self.path.clone()
    }

    fn release(&mut self) {
        if let Some(directory) = self.directory.take() {
            let _kept = directory.keep();
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if thread::panicking() || std::env::var_os(KEEP).is_some() {
            self.release();
            // Not a macro of the log: whoever reads a failed test needs the path without any set-up.
            let _ = io::Write::write_fmt(
                &mut io::stderr().lock(),
                format_args!("files of this test: {}\n", self.path.display()),
            );
        }
    }
}
