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

use super::{Findings, certificate::Read, entry};
use crate::messages::told;

fn digest(text: &str) -> Option<[u8; 32]> {
    hex::decode(text).ok()?.try_into().ok()
}

/// Each row by its own hash, and by the row before where that is here too. Returns the row of the intent.
pub(super) fn audit<'a>(export: &'a EvidenceExport, findings: &mut Findings) -> Option<&'a ExportedAuditRow> {
    let all_fit = are_chained(export, findings);
    let serial = &export.certificate.serial;
    let find = |action: &str| export.audit.iter().find(|row| row.action == action && row.subject == *serial);
    for action in ["certificate.intended", "certificate.issued"] {
        let Some(row) = find(action) else {
            findings.wrong(told!(
                "audit: there is no row {action} for this certificate",
                "audit: この証明書の {action} の記録がありません",
            ));
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
                let number = row.sequence;
                told!(
                    "audit row {number}: {name} is {found:?}, the certificate's part of the file says {said:?}",
                    "監査記録 {number}: {name} は {found:?} ですが、ファイルの証明書の部分では {said:?} です",
                )
            });
        }
    }
    revocation(export, find("certificate.revoked"), findings);
    if all_fit && !export.audit.is_empty() {
        let count = export.audit.len();
        findings.proven(told!(
            "{count} rows of the audit trail are as their hashes say",
            "監査記録 {count} 件の内容はハッシュ値と一致します",
        ));
    }
    findings.claimed(told!(
        "the rows' places in the bank's whole audit trail: `inro-ca audit verify` there says so",
        "監査記録全体の中での位置(銀行で `inro-ca audit verify` により確認できます)",
    ));
    find("certificate.intended")
}

/// Whether each row's hash follows from what it says and from the row before, where that is in the file.
fn are_chained(export: &EvidenceExport, findings: &mut Findings) -> bool {
    let mut last: Option<&ExportedAuditRow> = None;
    let mut all_fit = true;
    for row in &export.audit {
        let fits = match read(row) {
            None => findings.fits(false, || {
                let number = row.sequence;
                told!(
                    "audit row {number}: its hashes can't be read",
                    "監査記録 {number}: ハッシュ値を読み取れません",
                )
            }),
            Some((previous, read)) => {
                // Rows are numbered from 1.
                let follows = |sequence| verify(AuditPosition { sequence, hash: previous }, &read).is_ok();
                findings.fits(read.sequence.checked_sub(1).is_some_and(follows), || {
                    let number = row.sequence;
                    told!(
                        "audit row {number} was changed: its hash doesn't follow from what it says",
                        "監査記録 {number} は変更されています(内容とハッシュ値が一致しません)",
                    )
                })
            }
        };
        all_fit &= fits;
        if let Some(last) = last {
            all_fit &= findings.fits(last.sequence < row.sequence, || {
                let (number, last) = (row.sequence, last.sequence);
                told!(
                    "audit row {number} stands after row {last}",
                    "監査記録 {number} が記録 {last} の後にあります"
                )
            });
            // The last number there is has none after it.
            if last.sequence.checked_add(1) == Some(row.sequence) {
                all_fit &= findings.fits(last.hash == row.previous_hash, || {
                    let (number, last) = (row.sequence, last.sequence);
                    told!(
                        "audit row {number} doesn't follow row {last}",
                        "監査記録 {number} が記録 {last} に続いていません",
                    )
                });
            }
        }
        last = Some(row);
    }
    all_fit
}

/// What the file's certificate says of its revocation, against the row of it.
fn revocation(export: &EvidenceExport, revoked: Option<&ExportedAuditRow>, findings: &mut Findings) {
    let same_state = revoked.is_some() == export.certificate.revoked_at.is_some();
    findings.fits(same_state || restored(export), || {
        told!(
            "certificate.revoked_at doesn't agree with the rows of the audit trail",
            "certificate.revoked_at が監査記録と一致しません",
        )
    });
    if let (Some(row), Some(said)) = (revoked, &export.certificate.revocation_reason) {
        let found = detail(row, "reason");
        findings.fits(found == Some(said), || {
            let number = row.sequence;
            told!(
                "certificate.revocation_reason is {said:?}, audit row {number} says {found:?}",
                "certificate.revocation_reason は {said:?} ですが、監査記録 {number} では {found:?} です",
            )
        });
    }
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
        return findings
            .wrong(told!("policy.name isn't a policy's name", "policy.name はポリシー名ではありません"));
    };
    let record = StoredEvidence {
        format: export.evidence.format.clone(),
        parts: export.evidence.parts.iter().map(|part| part.0.clone()).collect(),
        csr: export.request.csr.0.clone(),
        challenge,
        challenge_signature: export.request.challenge_signature.0.clone(),
        predecessor_signature: export
            .request
            .predecessor_signature
            .as_ref()
            .map(|signature| signature.0.clone()),
        policy: PolicyVersion { name, version: export.policy.version },
        trust_version: export.trust.version,
        verdict: export.verdict.verdict.clone(),
        decoded: export.verdict.decoded.join("\n"),
        judged_at: export.verdict.judged_at,
    };
    let found = hex::encode(record.sha256());
    let as_said = findings.fits(found == export.verdict.record_sha256, || {
        told!(
            "verdict.record_sha256 isn't the hash of request, evidence, policy version, trust version and verdict as they \
             stand in the file",
            "verdict.record_sha256 が、ファイルにある申請・証拠・ポリシー・トラスト・判定のハッシュ値と一致しません",
        )
    });
    let Some(row) = intended else { return };
    let named = detail(row, "evidence");
    let as_written = findings.fits(named == Some(&found), || {
        let number = row.sequence;
        told!(
            "audit row {number} names another record of evidence than the one in the file",
            "監査記録 {number} が示す証拠の記録は、ファイルのものと異なります",
        )
    });
    if as_said && as_written {
        let number = row.sequence;
        findings.proven(told!(
            "request, evidence and verdict are those that audit row {number} was written for",
            "申請・証拠・判定は監査記録 {number} が示すものです",
        ));
    }
}

/// The entry holds exactly this certificate, and the trail and it name each other.
pub(super) fn journal(export: &EvidenceExport, certificate: &Read, findings: &mut Findings) {
    let Some(journal) = &export.journal else {
        return findings.claimed(told!(
            "the signer's journal couldn't be asked: its entry is missing",
            "署名装置のジャーナルを参照できなかったため、該当する記録がありません",
        ));
    };
    let before = findings.wrong.len();
    entry::fits(export, journal, certificate, findings);
    let is_hashed = entry::hashes(journal, findings);
    let issued = export.audit.iter().find(|row| row.action == "certificate.issued");
    let named = issued.and_then(|row| Some((row, detail(row, "journal")?, detail(row, "journal_sha256")?)));
    if let Some((row, sequence, hash)) = named {
        let number = row.sequence;
        let fits = sequence == journal.sequence.to_string() && hash == journal.hash;
        findings.fits(fits, || {
            told!(
                "audit row {number} names entry {sequence} of the journal with the hash {hash}, the file another",
                "監査記録 {number} が示すジャーナルの記録は {sequence}(ハッシュ値 {hash})で、ファイルと異なります",
            )
        });
    }
    if findings.wrong.len() > before {
        return;
    }
    let (sequence, signer, at) = (journal.sequence, &journal.signer, journal.entry.at);
    let (anchor, hash) = (journal.entry.audit_sequence, &journal.hash);
    findings.proven(told!(
        "the entry of the journal holds exactly this certificate, and names audit row {anchor} by its hash",
        "ジャーナルの記録はこの証明書そのもので、監査記録 {anchor} をハッシュ値で示します",
    ));
    match (is_hashed, named) {
        (true, Some((row, ..))) => {
            let number = row.sequence;
            findings.proven(told!(
                "audit row {number} names entry {sequence} of the journal by its hash {hash}, which is that of this very entry",
                "監査記録 {number} はジャーナルの記録 {sequence} をハッシュ値 {hash} で示し、それはこの記録のものです",
            ));
        }
        (true, None) => findings.proven(told!(
            "the hash {hash} is that of this very entry after the hash before it",
            "ハッシュ値 {hash} は、直前のハッシュ値に続くこの記録のものです",
        )),
        (false, _) => findings.claimed(told!(
            "the entry's hash is {hash}: what it is over isn't in the file",
            "記録のハッシュ値は {hash}(計算の元になるデータはファイルにありません)",
        )),
    }
    findings.claimed(told!(
        "it is entry {sequence} of the journal of {signer}, of {at}, and all others follow as they should: `inro-hsm journal \
         verify` there says so",
        "{signer} のジャーナルの記録 {sequence}({at})であり、他の記録も正しく連なっている(銀行で `inro-hsm journal \
         verify` により確認できます)",
    ));
}
