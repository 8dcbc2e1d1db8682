//! An entry of the signer's journal: what it says, and what its hash is over.

use ca_core::domain::trust::sha256;
use ca_wire::evidence::{EvidenceExport, ExportedEntry, ExportedJournal};
use ciborium::Value;

use super::{Findings, certificate::Read};
use crate::messages::told;

fn digest(text: &str) -> Option<[u8; 32]> {
    hex::decode(text).ok()?.try_into().ok()
}

/// Whether it is of this certificate, and carries a row of the trail that is here too.
pub(super) fn fits(
    export: &EvidenceExport,
    journal: &ExportedJournal,
    certificate: &Read,
    findings: &mut Findings,
) {
    let entry = &journal.entry;
    findings.fits(entry.tbs.0 == certificate.tbs, || {
        told!(
            "journal.entry.tbs isn't what the certificate's signature is over",
            "journal.entry.tbs が、証明書の署名対象と異なります",
        )
    });
    findings.fits(entry.signature.0 == certificate.signature, || {
        told!(
            "journal.entry.signature isn't the certificate's",
            "journal.entry.signature が証明書の署名と異なります",
        )
    });
    findings.fits(entry.intent == export.certificate.intent, || {
        told!(
            "journal.entry.intent isn't the certificate's",
            "journal.entry.intent が証明書のものと異なります"
        )
    });
    findings.fits(journal.sequence > 0 && digest(&journal.hash).is_some(), || {
        told!(
            "journal.sequence and journal.hash name no place",
            "journal.sequence と journal.hash が位置を表していません",
        )
    });
    let number = entry.audit_sequence;
    match export.audit.iter().find(|row| row.sequence == number) {
        None => findings.wrong(told!(
            "journal.entry names audit row {number}, which is missing",
            "journal.entry が示す監査記録 {number} がありません",
        )),
        Some(row) => {
            findings.fits(row.hash == entry.audit_hash, || {
                told!(
                    "journal.entry names audit row {number} with another hash",
                    "journal.entry が示す監査記録 {number} のハッシュ値が異なります",
                )
            });
        }
    }
}

/// True when the file holds what the entry's hash is over, and it fits: SHA-256 of the hash before and the entry's octets,
/// which say what the entry says.
pub(super) fn hashes(journal: &ExportedJournal, findings: &mut Findings) -> bool {
    let (Some(previous), Some(octets)) = (&journal.previous_hash, &journal.entry.octets) else {
        return false;
    };
    let found = digest(previous).map(|previous| hex::encode(sha256(&[&previous[..], &octets.0].concat())));
    let is_hash = findings.fits(found.as_ref() == Some(&journal.hash), || {
        told!(
            "journal.hash isn't that of journal.entry.octets after journal.previous_hash",
            "journal.hash が、journal.previous_hash と journal.entry.octets のハッシュ値と一致しません",
        )
    });
    let is_said = findings.fits(says(&octets.0, &journal.entry) == Some(true), || {
        told!(
            "journal.entry.octets say something else than journal.entry",
            "journal.entry.octets の内容が journal.entry と異なります",
        )
    });
    is_hash && is_said
}

/// Whether the signer's octets (CBOR) say of a certificate what the entry does; `None` when they are of another form.
fn says(octets: &[u8], entry: &ExportedEntry) -> Option<bool> {
    let record: Value = ciborium::from_reader(octets).ok()?;
    let certificate = member(member(&record, "body")?, "Certificate")?;
    let head = member(certificate, "audit_head")?;
    let bytes = |of: &Value, name: &str| member(of, name)?.as_bytes().cloned();
    let number = |of: &Value, name: &str| member(of, name)?.as_integer().map(i128::from);
    Some(
        bytes(certificate, "tbs")? == entry.tbs.0
            && bytes(certificate, "signature")? == entry.signature.0
            && hex::encode(bytes(certificate, "intent")?) == entry.intent.replace('-', "")
            && hex::encode(bytes(head, "hash")?) == entry.audit_hash
            && number(head, "sequence")? == i128::from(entry.audit_sequence)
            && number(&record, "at")? == i128::from(entry.at.as_microsecond()),
    )
}

fn member<'a>(of: &'a Value, name: &str) -> Option<&'a Value> {
    let found = of.as_map()?.iter().find(|(key, _)| key.as_text() == Some(name));
    found.map(|(_, value)| value)
}
