//! The agent's packages for the download page, as their list says, read once: what is sent is what was checked.

use std::path::Path;

use anyhow::{Context, bail};
use bytes::Bytes;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use x509_cert::der::pem;

use super::{certificate, read};
use crate::config;

const KEY: &str = "enrolment.agent_packages";
const SIGNER_KEY: &str = "enrolment.agent_packages_signer_file";
/// Bytes of a file at the most: they are kept in memory.
const MAX_OCTETS: u64 = 64 * 1024 * 1024;

const LIST: &str = "packages.json";
const SUMS: &str = "SHA256SUMS";
const SIGNATURE: &str = "SHA256SUMS.p7s";

/// What is offered of the agent.
#[derive(Debug, Default)]
pub(crate) struct Packages {
    /// Of the packages; `None` when there are none.
    pub(crate) version: Option<String>,
    pub(crate) offered: Vec<Package>,
    /// The list, and what proves it.
    pub(crate) files: Vec<(&'static str, Bytes)>,
    /// Whose signature was checked.
    pub(crate) signed_by: Option<String>,
}

/// What a package runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Platform {
    #[serde(rename = "windows-x86_64")]
    Windows,
    #[serde(rename = "linux-x86_64")]
    Linux,
    #[serde(rename = "linux-aarch64")]
    LinuxArm,
}

impl Platform {
    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Windows => "Windows 10, 11",
            Self::Linux => "Debian, Ubuntu (x86-64)",
            Self::LinuxArm => "Debian, Ubuntu (ARM64)",
        }
    }
}

/// A file of the agent. What is sent is what the checksum was computed over.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) platform: Platform,
    pub(crate) octets: Bytes,
    /// Lower-case hexadecimal.
    pub(crate) sha256: String,
}

/// `packages.json`, as `token-agent/packaging/manifest.sh` writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    version: String,
    packages: Vec<Listed>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    file: String,
    version: String,
    platform: Platform,
    size: u64,
    sha256: String,
}

/// Reads them.
///
/// # Errors
/// When one isn't as listed, or the list isn't as signed; the key is named.
pub(crate) fn packages(enrolment: &config::Enrolment) -> anyhow::Result<Packages> {
    let Some(folder) = &enrolment.agent_packages else { return Ok(Packages::default()) };
    let path = folder.join(LIST);
    let octets = read(KEY, &path)?;
    let list: List = serde_json::from_slice(&octets).with_context(|| {
        format!(
            "{KEY}: {} isn't a list of packages; make it anew: token-agent/packaging/manifest.sh",
            path.display()
        )
    })?;
    let (mut files, signed_by) = match &enrolment.agent_packages_signer {
        Some(signer) => {
            let (files, name) = signed(folder, &octets, signer)?;
            (files, Some(name))
        }
        None => (Vec::new(), None),
    };
    files.push((LIST, octets.into()));
    if numbers(&list.version) < numbers(&enrolment.lowest_agent) {
        bail!(
            "{KEY}: {} offers {}, but enrolment.lowest_agent refuses what is older than {}; put newer packages there",
            path.display(),
            list.version,
            enrolment.lowest_agent
        );
    }
    let packages: anyhow::Result<Vec<Package>> =
        list.packages.into_iter().map(|listed| package(folder, listed)).collect();
    let packages = packages?;
    for (position, package) in packages.iter().enumerate() {
        if packages[..position].iter().any(|other| other.name == package.name) {
            bail!("{KEY}: {} lists {} twice; make it anew", path.display(), package.name);
        }
    }
    Ok(Packages { version: Some(list.version), offered: packages, files, signed_by })
}

fn package(folder: &Path, listed: Listed) -> anyhow::Result<Package> {
    let Listed { file, version, platform, size, sha256 } = listed;
    // The name stands in an address and in a header.
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.+~".contains(&b);
    if file.is_empty() || file.starts_with('.') || !file.bytes().all(plain) {
        bail!("{KEY}: {file:?} isn't a name for a package; make the list anew");
    }
    let path = folder.join(&file);
    if size > MAX_OCTETS {
        bail!("{KEY}: {} has {size} bytes, more than {MAX_OCTETS}; offer it elsewhere", path.display());
    }
    let octets = read(KEY, &path)?;
    if octets.len() as u64 != size || hex::encode(Sha256::digest(&octets)) != sha256 {
        bail!(
            "{KEY}: {} isn't as {LIST} lists it: it was changed since. Find out by whom; then put back the package, or \
             make packages and list anew",
            path.display()
        );
    }
    Ok(Package { name: file, version, platform, octets: octets.into(), sha256 })
}

type Files = Vec<(&'static str, Bytes)>;

/// Checks the signature under the list; returns the files that prove it, and the signer's name.
fn signed(folder: &Path, list: &[u8], signer: &Path) -> anyhow::Result<(Files, String)> {
    let sums = read(KEY, &folder.join(SUMS))?;
    let file = read(KEY, &folder.join(SIGNATURE)).with_context(|| {
        format!("{SIGNER_KEY} is set, but the list isn't signed; give manifest.sh the release key")
    })?;
    let path = folder.join(SIGNATURE);
    let (_, der) = pem::decode_vec(&file)
        .map_err(|error| anyhow::anyhow!("{KEY}: {} isn't PEM: {error}", path.display()))?;
    let checked = ca_x509::cms::check(&der, &sums)
        .map_err(|problem| anyhow::anyhow!("{KEY}: {} {problem}", path.display()))?;
    if checked.certificate != certificate(SIGNER_KEY, signer)? {
        bail!(
            "{SIGNER_KEY}: the packages are signed by {}, who isn't the one in {}; find out why",
            checked.subject,
            signer.display()
        );
    }
    let expected = format!("{}  {LIST}", hex::encode(Sha256::digest(list)));
    if !String::from_utf8_lossy(&sums).lines().any(|line| line == expected) {
        bail!("{KEY}: {LIST} isn't as {SUMS} lists it: it was changed after it was signed");
    }
    Ok((vec![(SUMS, sums.into()), (SIGNATURE, file.into())], checked.subject))
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').filter_map(|part| part.parse().ok()).collect()
}
