//! The custody keys: the one thing without which the kept PUKs are noise, so the one thing that must not lie open.

use std::os::unix::fs::MetadataExt;

use anyhow::{Context, bail};
use ca_core::app::custody::seal::CustodyKeys;
use zeroize::Zeroizing;

use super::read;
use crate::config::Config;

const KEY: &str = "token_custody.key_file";

/// Reads them, where `[token_custody]` names a file.
///
/// # Errors
/// When it can't be read, others can read it, or it holds no keys.
pub(crate) fn custody_keys(config: &Config) -> anyhow::Result<Option<CustodyKeys>> {
    let Some(custody) = &config.token_custody else { return Ok(None) };
    let path = &custody.key_file;
    let shown = path.display();
    let octets = Zeroizing::new(read(KEY, path).with_context(|| {
        format!("{KEY}: make the first key with: (umask 077; inro-ca token custody new-key >{shown})")
    })?);
    let metadata = std::fs::metadata(path).with_context(|| format!("{KEY}: can't look at {shown}"))?;
    if metadata.mode() & 0o007 != 0 {
        bail!("{KEY}: everybody can use {shown}; run: chmod o= {shown}");
    }
    let text = std::str::from_utf8(&octets).ok().with_context(|| format!("{KEY}: {shown} isn't text"))?;
    let keys = CustodyKeys::parse(text).with_context(|| format!("{KEY}: {shown} can't be used"))?;
    Ok(Some(keys))
}
