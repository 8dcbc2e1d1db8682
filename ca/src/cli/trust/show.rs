//! Looking at bundles.

use std::{
    io::{self, Write},
    path::Path,
};

use anyhow::Context;
use ca_core::{
    app::trust::{TrustDesk, TrustError},
    domain::{
        attestation::MakerCertificate,
        trust::{Bundle, TrustedAnchor, sha256},
    },
};
use jiff::Timestamp;
use serde::Serialize;

use crate::cli::{
    certificate::pem,
    exit::CliError,
    output::{Output, facts, table},
};

#[derive(Serialize)]
struct AnchorView {
    sha256: String,
    purpose: &'static str,
    trust: &'static str,
    subject: String,
    issuer: String,
    not_after: String,
    source: String,
    note: String,
    added_at: Timestamp,
    retired_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pem: Option<String>,
}

impl AnchorView {
    fn of(anchor: &TrustedAnchor) -> Self {
        let certificate = MakerCertificate::read(&anchor.anchor.der).ok();
        let unreadable = || "(can't be read)".to_owned();
        let not_after = certificate.as_ref().map(MakerCertificate::not_after);
        Self {
            sha256: hex::encode(anchor.sha256()),
            purpose: anchor.anchor.purpose.as_str(),
            trust: anchor.anchor.trust.as_str(),
            subject: certificate.as_ref().map_or_else(unreadable, MakerCertificate::subject),
            issuer: certificate.as_ref().map_or_else(unreadable, MakerCertificate::issuer),
            not_after: not_after.map_or_else(unreadable, day),
            source: anchor.source.clone(),
            note: anchor.note.clone(),
            added_at: anchor.added_at,
            retired_at: anchor.retired_at,
            pem: None,
        }
    }
}

/// The year 9999 is beyond what jiff counts to in seconds of every zone.
fn day(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    at.map_or_else(|| "never".to_owned(), |at| at.strftime("%Y-%m-%d").to_string())
}

/// An anchor in a line.
pub(super) fn line(anchor: &TrustedAnchor) -> String {
    let view = AnchorView::of(anchor);
    format!("{} ({} {}, {})", view.sha256, view.purpose, view.trust, view.subject)
}

#[derive(Serialize)]
struct BundleView {
    version: u32,
    comment: String,
    anchors: Vec<AnchorView>,
}

pub(super) fn list(bundle: &Bundle, all: bool, output: Output) -> Result<(), CliError> {
    let wanted = bundle.anchors.iter().filter(|anchor| all || anchor.retired_at.is_none());
    let anchors: Vec<AnchorView> = wanted.map(AnchorView::of).collect();
    let view = BundleView { version: bundle.version, comment: bundle.comment.clone(), anchors };
    output.result(&view, |out| {
        writeln!(out, "trust version {}", view.version)?;
        let heading = ["SHA-256", "PURPOSE", "TRUST", "SUBJECT", "VALID UNTIL", "STATE"];
        let mut rows = vec![heading.map(String::from).to_vec()];
        rows.extend(view.anchors.iter().map(|anchor| {
            let state = anchor.retired_at.map_or_else(|| "stands".to_owned(), |at| format!("retired {at}"));
            vec![
                anchor.sha256.clone(),
                anchor.purpose.to_owned(),
                anchor.trust.to_owned(),
                anchor.subject.clone(),
                anchor.not_after.clone(),
                state,
            ]
        }));
        table(out, &rows)
    })
}

pub(super) fn one(bundle: &Bundle, wanted: &str, output: Output) -> Result<(), CliError> {
    let wanted = wanted.replace(':', "").to_ascii_lowercase();
    let found: Vec<&TrustedAnchor> =
        bundle.anchors.iter().filter(|anchor| hex::encode(anchor.sha256()).starts_with(&wanted)).collect();
    let [anchor] = found.as_slice() else {
        let count = found.len();
        return Err(CliError::not_found(format_args!(
            "{count} anchors have a SHA-256 that begins with {wanted}"
        )));
    };
    let view = AnchorView { pem: Some(pem(&anchor.anchor.der)?), ..AnchorView::of(anchor) };
    output.result(&view, |out| {
        facts(
            out,
            &[
                ("sha256", view.sha256.clone()),
                ("purpose", view.purpose.to_owned()),
                ("trust", view.trust.to_owned()),
                ("subject", view.subject.clone()),
                ("issuer", view.issuer.clone()),
                ("valid until", view.not_after.clone()),
                ("source", view.source.clone()),
                ("note", view.note.clone()),
                ("added", view.added_at.to_string()),
                ("retired", view.retired_at.map_or_else(|| "-".to_owned(), |at| at.to_string())),
            ],
        )?;
        write!(out, "{}", view.pem.as_deref().unwrap_or_default())
    })
}

pub(super) fn export(
    document: &[u8],
    bundle: &Bundle,
    as_pem: bool,
    file: Option<&Path>,
) -> Result<(), CliError> {
    let octets = if as_pem {
        let all =
            bundle.standing().iter().map(|anchor| pem(&anchor.der)).collect::<Result<String, CliError>>();
        all?.into_bytes()
    } else {
        document.to_vec()
    };
    match file {
        Some(path) => {
            std::fs::write(path, octets).with_context(|| format!("can't write {}", path.display()))?;
        }
        None => io::stdout().lock().write_all(&octets)?,
    }
    Ok(())
}

#[derive(Serialize)]
struct VersionView {
    version: u32,
    sha256: String,
    staged_by: String,
    staged_at: Timestamp,
    approved_by: String,
    approved_at: Timestamp,
    anchors: usize,
    comment: String,
    /// `None` when both signatures hold and it follows the version before.
    trouble: Option<String>,
}

pub(super) async fn history(desk: &TrustDesk, output: Output) -> Result<(), CliError> {
    let failed = ca_core::app::failure::Failure::from;
    let head = desk.read.store.trust_head().await.map_err(failed)?.unwrap_or(0);
    let mut views = Vec::new();
    let mut previous: Option<(Bundle, [u8; 32])> = None;
    for version in 1..=head {
        let record = desk.read.store.trust(version).await.map_err(failed)?;
        let record = record.ok_or(TrustError::Unknown(version))?;
        let hash = sha256(&record.bundle);
        let mut view = VersionView {
            version,
            sha256: hex::encode(hash),
            staged_by: record.first.officer.clone(),
            staged_at: record.first.at,
            approved_by: record.second.officer.clone(),
            approved_at: record.second.at,
            anchors: 0,
            comment: String::new(),
            trouble: None,
        };
        match desk.read.version(version).await {
            Ok(verified) => {
                let before = previous.as_ref().map(|(bundle, hash)| (bundle, *hash));
                view.trouble = verified.bundle.follows(before).err().map(|error| error.to_string());
                view.anchors = verified.bundle.standing().len();
                view.comment.clone_from(&verified.bundle.comment);
                previous = Some((verified.bundle, hash));
            }
            Err(error) => view.trouble = Some(crate::logging::chain(&error)),
        }
        views.push(view);
    }
    output.result(&views, |out| {
        for view in &views {
            writeln!(out, "version {} (SHA-256 {})", view.version, view.sha256)?;
            writeln!(out, "  staged by {} at {}", view.staged_by, view.staged_at)?;
            writeln!(out, "  approved by {} at {}", view.approved_by, view.approved_at)?;
            match &view.trouble {
                None => writeln!(out, "  both signatures hold; {} anchors stand", view.anchors)?,
                Some(trouble) => writeln!(out, "  WRONG: {trouble}")?,
            }
            view.comment.lines().try_for_each(|line| writeln!(out, "  {line}"))?;
        }
        Ok(())
    })?;
    match views.iter().find_map(|view| view.trouble.as_ref().map(|trouble| (view.version, trouble))) {
        Some((version, trouble)) => Err(CliError::new(
            crate::cli::exit::Exit::CheckFailed,
            anyhow::anyhow!("trust version {version}: {trouble}"),
        )),
        None => Ok(()),
    }
}
