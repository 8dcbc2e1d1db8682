//! Checks an exported proof offline and on its own: nobody is asked, and nothing that the file says is believed because the
//! file says it.
//!
//! The judging itself is the authority's (`ca-core`, which does no I/O): a second implementation of TPM structures and
//! makers' chains would only be a second place for mistakes. Independence comes from the trust: makers' and authority's
//! certificates count by fingerprints that whoever verifies brings along or that the agent ships, and the makers' own
//! signatures are checked again. `ca/docs/evidence-export.md` does the essential part with openssl alone.

mod anchors;
mod certificate;
mod entry;
mod key;
mod records;
#[cfg(test)]
mod tests;
mod trust;

pub(crate) use anchors::Trusted;

use ca_wire::evidence::{EVIDENCE_EXPORT, EvidenceExport};

use crate::messages::{Told, told};

/// What was found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    /// What follows from signatures by keys that whoever verifies trusts, and from hashes.
    pub(crate) proven: Vec<Told>,
    /// What only the file says, or what is signed by keys that nobody here vouches for.
    pub(crate) claimed: Vec<Told>,
    /// What doesn't fit together: each entry names one thing.
    pub(crate) wrong: Vec<Told>,
}

/// What it comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The key lives where the certificate says: proven up to a maker that is trusted here.
    Proven,
    /// Everything fits together, but no maker that is trusted here vouches for the key.
    OnlyClaimed,
    /// Something doesn't fit.
    Refused,
}

impl Verdict {
    /// The stable name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::OnlyClaimed => "only-claimed",
            Self::Refused => "refused",
        }
    }
}

impl Findings {
    fn proven(&mut self, what: Told) {
        self.proven.push(what);
    }

    fn claimed(&mut self, what: Told) {
        self.claimed.push(what);
    }

    fn wrong(&mut self, what: Told) {
        self.wrong.push(what);
    }

    /// Notes what is wrong unless it fits.
    fn fits(&mut self, fits: bool, wrong: impl FnOnce() -> Told) -> bool {
        if !fits {
            self.wrong.push(wrong());
        }
        fits
    }
}

/// Checks the file's octets.
pub(crate) fn verify(file: &[u8], trusted: &Trusted) -> (Verdict, Findings, Option<EvidenceExport>) {
    let mut findings = Findings::default();
    let export: EvidenceExport = match serde_json::from_slice(file) {
        Ok(export) => export,
        Err(error) => {
            findings.wrong(told!(
                "the file doesn't have the known form: {error}",
                "ファイルの形式が正しくありません: {error}",
            ));
            return (Verdict::Refused, findings, None);
        }
    };
    if export.format != EVIDENCE_EXPORT {
        let format = &export.format;
        findings.wrong(told!(
            "the file's format is {format:?}; this program knows {EVIDENCE_EXPORT:?}",
            "ファイルの形式は {format:?} ですが、このプログラムが扱う形式は {EVIDENCE_EXPORT:?} です",
        ));
        return (Verdict::Refused, findings, Some(export));
    }
    let is_vouched_for = examine(&export, trusted, &mut findings);
    let verdict = match (findings.wrong.is_empty(), is_vouched_for) {
        (false, _) => Verdict::Refused,
        (true, true) => Verdict::Proven,
        (true, false) => Verdict::OnlyClaimed,
    };
    (verdict, findings, Some(export))
}

/// True when a maker that is trusted here vouches for the key.
fn examine(export: &EvidenceExport, trusted: &Trusted, findings: &mut Findings) -> bool {
    let Some(certificate) = certificate::examine(&export.certificate, trusted, findings) else {
        return false;
    };
    let anchors = anchors::of_file(&export.trust, findings);
    trust::examine(export, &anchors, findings);
    let is_vouched_for = key::examine(export, &certificate, &anchors, trusted, findings);
    let row = records::audit(export, findings);
    records::record(export, row, findings);
    records::journal(export, &certificate, findings);
    let at = export.exported_at;
    findings.claimed(told!("exported at {at}", "出力日時: {at}"));
    let name = export.policy.name.as_deref().unwrap_or("bank");
    let (version, note) = (export.policy.version, &export.policy.note);
    findings.claimed(told!(
        "the text of the policy {name}/{version} ({note}); its name and version are part of the record",
        "ポリシー {name}/{version} の本文({note})。名称とバージョンは記録に含まれます",
    ));
    is_vouched_for
}
