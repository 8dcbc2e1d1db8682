//! Drafts: files that nobody trusts until two officers have signed them.

use std::path::Path;

use anyhow::Context;
use ca_core::{
    app::trust::{BundleForm, TrustDesk, TrustError},
    domain::trust::{Bundle, sha256},
};

use super::{Draft, show::line};
use crate::{
    cli::{exit::CliError, output::Output},
    material::trust::bundle::{self, Json},
};

/// The draft's octets.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    let read = std::fs::read(path).with_context(|| {
        format!("can't read the draft {}; `inro-ca trust import` or `add` makes one", path.display())
    });
    Ok(read?)
}

/// The draft as it stands; where there is none, what would follow the newest version.
pub(super) async fn open(desk: &TrustDesk, path: &Path) -> Result<Bundle, CliError> {
    if path.exists() {
        return Ok(Json.read(&read(path)?).map_err(TrustError::Unfit)?);
    }
    Ok(match desk.read.newest().await? {
        None => Bundle { version: 1, previous_sha256: None, comment: String::new(), anchors: Vec::new() },
        Some(newest) => Bundle {
            version: newest.record.version + 1,
            previous_sha256: Some(sha256(&newest.record.bundle)),
            comment: String::new(),
            anchors: newest.bundle.anchors,
        },
    })
}

/// Writes the draft.
pub(super) fn save(path: &Path, bundle: &Bundle) -> Result<(), CliError> {
    bundle.check().map_err(TrustError::Unfit)?;
    let document = bundle::write(bundle).context("the draft can't be written")?;
    let written =
        std::fs::write(path, document).with_context(|| format!("can't write the draft {}", path.display()));
    Ok(written?)
}

/// Adds a line to what the draft says of itself.
pub(super) fn comment(bundle: &mut Bundle, line: &str) {
    if !bundle.comment.is_empty() {
        bundle.comment.push('\n');
    }
    bundle.comment.push_str(line);
}

/// Retires an anchor.
pub(super) async fn retire(
    desk: &TrustDesk,
    anchor: &[u8; 32],
    note: &str,
    draft: &Draft,
    output: Output,
) -> Result<(), CliError> {
    let mut bundle = open(desk, &draft.draft).await?;
    let found = bundle.anchors.iter_mut().find(|known| known.sha256() == *anchor);
    let Some(found) = found.filter(|known| known.retired_at.is_none()) else {
        let what = hex::encode(anchor);
        return Err(CliError::not_found(format_args!("no standing anchor has the SHA-256 {what}")));
    };
    found.retired_at = Some(desk.clock.now());
    found.note = [found.note.as_str(), note].join(if found.note.is_empty() { "" } else { "; " });
    let (retired, shown) = (serde_json::json!({ "retired": hex::encode(anchor) }), line(found));
    comment(&mut bundle, &format!("retired {}: {note}", hex::encode(anchor)));
    save(&draft.draft, &bundle)?;
    output.result(&retired, |out| {
        writeln!(out, "retired {shown}")?;
        next(out, &draft.draft)
    })
}

/// What comes next.
pub(super) fn next(out: &mut dyn std::io::Write, draft: &Path) -> std::io::Result<()> {
    let draft = draft.display();
    writeln!(out, "The draft is {draft}. Sign and stage it as an officer:")?;
    writeln!(out, "  inro-ca trust stage --draft {draft} --certificate YOURS.pem --key YOURS.key")?;
    writeln!(out, "or with a key on a token, see ca/docs/trust.md:")?;
    writeln!(out, "  openssl cms -sign -binary -in {draft} -signer YOURS.pem … -outform DER -out draft.p7s")?;
    writeln!(out, "  inro-ca trust stage --draft {draft} --signature draft.p7s")
}
