//! What the authority wrote down: the record that the audit trail names, the trail's rows with their hashes, the journal's
//! entry with the row that it is anchored to.

use ca_core::{
    domain::{
        audit::{AuditPosition, AuditRow, verify},
        ids::PolicyName,
        policy::PolicyVersion,
    },
    ports::store::StoredEvidence,
};
use ca_wire::evidence::{EvidenceExport, ExportedAuditRow};

use super::{Findings, certificate::Read};

fn digest(text: &str) -> Option<[u8; 32]> {
    hex::decode(text).ok()?.try_into().ok()
}

/// Each row by its own hash, and by the row before where that is here too. Returns the row of the intent.
pub(super) fn audit<'a>(export: &'a EvidenceExport, findings: &mut Findings) -> Option<&'a ExportedAuditRow> {
    let mut last: Option<&ExportedAuditRow> = None;
    let mut all_fit = true;
    for row in &export.audit {
        let fits = match read(row) {
            None => findings.fits(false, || format!("audit row {}: its hashes can't be read", row.sequence)),
            Some((previous, read)) => {
                let before = AuditPosition { sequence: read.sequence.wrapping_sub(1), hash: previous };
                findings.fits(verify(before, &read).is_ok(), || {
                    format!(
                        "audit row {} was changed: its hash doesn't follow from what it says",
                        row.sequence
                    )
                })
            }
        };
        all_fit &= fits;
        if let Some(last) = last {
            all_fit &= findings.fits(last.sequence < row.sequence, || {
                format!("audit row {} stands after row {}", row.sequence, last.sequence)
            });
            if last.sequence + 1 == row.sequence {
                all_fit &= findings.fits(last.hash == row.previous_hash, || {
                    format!("audit row {} doesn't follow row {}", row.sequence, last.sequence)
                });
            }
        }
        last = Some(row);
    }
    let serial = &export.certificate.serial;
    let find = |action: &str| export.audit.iter().find(|row| row.action == action && row.subject == *serial);
    for action in ["certificate.intended", "certificate.issued"] {
        let Some(row) = find(action) else {
            findings.wrong(format!("audit: there is no row {action} for this certificate"));
            continue;
        };
        for (name, said) in [
            ("enrolment", &export.certificate.intent),
            ("user", &export.certificate.user),
            ("device", &export.certificate.device_serial),
            ("assurance", &export.certificate.assurance),
            ("issuer", &export.certificate.issuer),
        ] {
            let found = detail(row, name);
            findings.fits(found == Some(said), || {
                format!(
                    "audit row {}: {name} is {found:?}, the certificate's part of the file says {said:?}",
                    row.sequence
                )
            });
        }
    }
    let revoked = find("certificate.revoked");
    let same_state = revoked.is_some() == export.certificate.revoked_at.is_some();
    findings.fits(same_state || restored(export), || {
        "certificate.revoked_at doesn't agree with the rows of the audit trail".to_owned()
    });
    if let (Some(row), Some(said)) = (revoked, &export.certificate.revocation_reason) {
        let found = detail(row, "reason");
        findings.fits(found == Some(said), || {
            format!("certificate.revocation_reason is {said:?}, audit row {} says {found:?}", row.sequence)
        });
    }
    if all_fit && !export.audit.is_empty() {
        findings.proven(format!("{} rows of the audit trail are as their hashes say", export.audit.len()));
    }
    findings
        .claimed("the rows' places in the bank's whole audit trail: `inro-ca audit verify` there says so");
    find("certificate.intended")
}

/// A revocation that came back from a journal has a row of another name.
fn restored(export: &EvidenceExport) -> bool {
    export.audit.iter().any(|row| row.action.starts_with("revocation."))
}

fn detail<'a>(row: &'a ExportedAuditRow, name: &str) -> Option<&'a str> {
    row.details.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

fn read(row: &ExportedAuditRow) -> Option<([u8; 32], AuditRow)> {
    let read = AuditRow {
        sequence: row.sequence,
        at_ms: row.at_ms,
        actor: row.actor.clone(),
        action: row.action.clone(),
        subject: row.subject.clone(),
        details: row.details.clone(),
        hash: digest(&row.hash)?,
    };
    Some((digest(&row.previous_hash)?, read))
}

/// Request, evidence and verdict are what the authority kept, by the hash in the row of the intent.
pub(super) fn record(export: &EvidenceExport, intended: Option<&ExportedAuditRow>, findings: &mut Findings) {
    let name = export.policy.name.as_deref().unwrap_or("bank");
    let (Ok(name), Ok(challenge)) =
        (PolicyName::parse(name), <[u8; 32]>::try_from(export.request.challenge.0.as_slice()))
    else {
        return findings.wrong("policy.name isn't a policy's name");
    };
    let record = StoredEvidence {
        format: export.evidence.format.clone(),
        parts: export.evidence.parts.iter().map(|part| part.0.clone()).collect(),
        csr: export.request.csr.0.clone(),
        challenge,
        challenge_signature: export.request.challenge_signature.0.clone(),
        predecessor_signature: export.request.predecessor_signature.as_ref().map(|signature| signature.0.clone()),
        policy: PolicyVersion { name, version: export.policy.version },
        trust_version: export.trust.version,
        verdict: export.verdict.verdict.clone(),
        decoded: export.verdict.decoded.join("\n"),
        judged_at: export.verdict.judged_at,
    };
    let found = hex::encode(record.sha256());
    let as_said = findings.fits(found == export.verdict.record_sha256, || {
        "verdict.record_sha256 isn't the hash of request, evidence, policy version, trust version and verdict as they \
         stand in the file"
            .to_owned()
    });
    let Some(row) = intended else { return };
    let named = detail(row, "evidence");
    let as_written = findings.fits(named == Some(&found), || {
        format!("audit row {} names another record of evidence than the one in the file", row.sequence)
    });
    if as_said && as_written {
        findings.proven(format!(
            "request, evidence and verdict are those that audit row {} was written for",
            row.sequence
        ));
    }
}

/// The entry holds exactly this certificate, and carries a row of the trail that is here too.
pub(super) fn journal(export: &EvidenceExport, certificate: &Read, findings: &mut Findings) {
    let Some(journal) = &export.journal else {
        return findings.claimed("the signer's journal couldn't be asked: its entry is missing");
    };
    let entry = &journal.entry;
    let mut fits = findings.fits(entry.tbs.0 == certificate.tbs, || {
        "journal.entry.tbs isn't what the certificate's signature is over".to_owned()
    });
    fits &= findings.fits(entry.signature.0 == certificate.signature, || {
        "journal.entry.signature isn't the certificate's".to_owned()
    });
    fits &= findings.fits(entry.intent == export.certificate.intent, || {
        "journal.entry.intent isn't the certificate's".to_owned()
    });
    fits &= findings.fits(journal.sequence > 0 && digest(&journal.hash).is_some(), || {
        "journal.sequence and journal.hash name no place".to_owned()
    });
    let anchored = export.audit.iter().find(|row| row.sequence == entry.audit_sequence);
    fits &= match anchored {
        None => findings.fits(false, || {
            format!("journal.entry names audit row {}, which is missing", entry.audit_sequence)
        }),
        Some(row) => findings.fits(row.hash == entry.audit_hash, || {
            format!("journal.entry names audit row {} with another hash", entry.audit_sequence)
        }),
    };
    if fits {
        findings.proven(format!(
            "the entry of the journal holds exactly this certificate, and names audit row {} by its hash",
            entry.audit_sequence
        ));
        findings.claimed(format!(
            "it is entry {} of the journal of {}, with the hash {}, of {}: `inro-hsm journal verify` there says so",
            journal.sequence, journal.signer, journal.hash, entry.at
        ));
    }
}
