//! The agent's files for the download page, read once: what is sent is what the checksum was computed over.

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

use super::read;
use crate::{config, http::portal::Package};

/// Bytes of a file at the most: they are kept in memory.
const MAX_OCTETS: u64 = 64 * 1024 * 1024;

/// Reads them.
///
/// # Errors
/// When one can't be read or is too large; the key is named.
pub(crate) fn packages(enrolment: &config::Enrolment) -> anyhow::Result<Vec<Package>> {
    const KEY: &str = "enrolment.agent_packages";
    let mut packages = Vec::new();
    for path in &enrolment.agent_packages {
        let octets = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        if octets > MAX_OCTETS {
            bail!("{KEY}: {} has {octets} bytes, more than {MAX_OCTETS}; offer it elsewhere", path.display());
        }
        let octets = read(KEY, path)?;
        let name = path.file_name().and_then(|name| name.to_str()).context("a file without a name")?;
        let sha256 = hex::encode(Sha256::digest(&octets));
        packages.push(Package { name: name.to_owned(), octets: octets.into(), sha256 });
    }
    Ok(packages)
}
