//! Where pictures of what was seen are kept, for people to look at: `target/screenshots`.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};

use crate::binaries;

/// The folder for the pictures of one test.
pub(super) fn folder(name: &str) -> Result<PathBuf> {
    let folder = binaries::target()?.join("screenshots").join(name);
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    Ok(folder)
}
