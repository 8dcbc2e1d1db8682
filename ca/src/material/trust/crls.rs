//! The makers' CRLs: a folder that the operator fills. What is in it is believed for an anchor's signature alone.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context, bail};
use ca_core::{
    app::trust::CrlFile,
    domain::attestation::{Anchors, MAX_CRL_BYTES, MakerCrl},
};
use rustls_pki_types::{CertificateRevocationListDer, pem::PemObject};

use super::import::Fault;
use crate::config;

const KEY: &str = "trust.maker_crls";
/// Files in the folder at the most: makers have some dozens of CRLs.
const MAX_FILES: usize = 1000;

/// What is in the folder, without a look into its files: another list means that something changed.
pub(crate) type Listing = Vec<(PathBuf, u64, Option<SystemTime>)>;

/// The CRLs that could be read, and the files that couldn't.
#[derive(Debug, Default)]
pub(crate) struct CrlHaul {
    pub(crate) found: Vec<CrlFile>,
    pub(crate) faults: Vec<Fault>,
}

/// Lists the folder; hidden files are somebody else's.
///
/// # Errors
/// When it can't be listed.
pub(crate) fn list(folder: &Path) -> anyhow::Result<Listing> {
    let shown = folder.display();
    let entries = fs::read_dir(folder)
        .with_context(|| format!("{KEY}: can't list {shown}; make the folder, readable for this account"))?;
    let mut listing = Listing::new();
    for entry in entries {
        let path = entry.with_context(|| format!("{KEY}: can't list {shown}"))?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        // A file that went away meanwhile isn't there.
        if let Ok(metadata) = fs::metadata(&path)
            && metadata.is_file()
            && !is_hidden
        {
            listing.push((path, metadata.len(), metadata.modified().ok()));
        }
    }
    if listing.len() > MAX_FILES {
        bail!("{KEY}: {shown} holds more than {MAX_FILES} files; put nothing but makers' CRLs there");
    }
    listing.sort();
    Ok(listing)
}

/// Reads what was listed.
pub(crate) fn read(listing: &Listing) -> CrlHaul {
    let mut haul = CrlHaul::default();
    for (path, length, _) in listing {
        let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        match crl(path, *length) {
            Ok(crl) => haul.found.push(CrlFile { file, crl }),
            Err(error) => haul.faults.push(Fault { from: file, problem: format!("{error:#}") }),
        }
    }
    haul
}

/// DER, or PEM with one CRL.
fn crl(path: &Path, length: u64) -> anyhow::Result<MakerCrl> {
    // PEM is a third longer.
    if length > 2 * MAX_CRL_BYTES as u64 {
        bail!("it is too large");
    }
    let octets = fs::read(path)?;
    let der = CertificateRevocationListDer::from_pem_slice(&octets).map_or(octets, |crl| crl.to_vec());
    Ok(MakerCrl::read(&der)?)
}

/// All CRLs of the configured folder; none where none is configured.
///
/// # Errors
/// When the folder can't be listed.
pub(crate) fn all(trust: &config::Trust) -> anyhow::Result<CrlHaul> {
    trust.maker_crls.as_deref().map_or_else(|| Ok(CrlHaul::default()), |folder| Ok(read(&list(folder)?)))
}

/// These anchors with what the makers' CRLs revoke, for a judgement outside of the running authority. What can't be used is
/// in the log.
///
/// # Errors
/// When the folder can't be listed.
pub(crate) fn applied(trust: &config::Trust, anchors: &Anchors) -> anyhow::Result<Anchors> {
    let haul = all(trust)?;
    for Fault { from, problem } in &haul.faults {
        tracing::warn!(file = from, problem, "a maker's CRL can't be read");
    }
    let crls: Vec<MakerCrl> = haul.found.iter().map(|found| found.crl.clone()).collect();
    let (anchors, refused) = anchors.with_crls(&crls);
    for (number, refusal) in refused {
        tracing::warn!(file = haul.found[number].file, %refusal, "a maker's CRL counts for nothing");
    }
    Ok(anchors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_crl_is_told_with_its_file() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("b.crl"), b"no CRL").expect("a file");
        fs::write(folder.path().join("a.pem"), b"-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n")
            .expect("a file");
        fs::write(folder.path().join(".b.crl.swp"), b"an editor's").expect("a file");
        fs::create_dir(folder.path().join("older")).expect("a folder");
        let haul = read(&list(folder.path()).expect("a list"));
        let files: Vec<&str> = haul.faults.iter().map(|fault| fault.from.as_str()).collect();
        assert_eq!((haul.found.len(), files), (0, vec!["a.pem", "b.crl"]));
        let missing = list(&folder.path().join("missing")).expect_err("no folder").to_string();
        assert!(missing.contains("trust.maker_crls"), "{missing}");
    }
}
