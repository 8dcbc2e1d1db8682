//! One certificate's whole proof in one file.

use std::{
    io::{self, Write},
    path::Path,
};

use anyhow::Context;
use ca_core::{
    app::{
        export_evidence::{Entry, ExportError, Gathered},
        trust::BundleForm,
    },
    domain::{
        attestation::{Anchor, MakerCertificate},
        audit::AuditRow,
        certificate::CertificateState,
        ids::SerialNumber,
    },
};
use ca_wire::{
    Base64,
    evidence::{
        EVIDENCE_EXPORT, EvidenceExport, ExportedAuditRow, ExportedCertificate, ExportedEntry,
        ExportedEvidence, ExportedJournal, ExportedPolicy, ExportedRequest, ExportedTrust, ExportedVerdict,
    },
};

use crate::{
    cli::{
        certificate::pem,
        exit::{CliError, Exit},
        output::Output,
    },
    config::Config,
    material::{self, trust::bundle::Json},
    wiring::EvidenceDesk,
};

pub(super) async fn run(
    desk: &EvidenceDesk,
    config: &Config,
    serial: &SerialNumber,
    file: Option<&Path>,
    output: Output,
) -> Result<(), CliError> {
    let issuer = &config.customer_issuer().id;
    let mut told = 0;
    let mut tell = |looked: u64, all: u64| {
        if looked >= told + 200_000 {
            told = looked;
            output.progress(&format!("{looked} of {all} rows of the audit trail …"));
        }
    };
    let gathered = desk.export.run(issuer, serial, &mut tell).await?;
    let document = document(desk, config, &gathered)?;
    let mut json = serde_json::to_vec_pretty(&document).context("the file can't be composed")?;
    json.push(b'\n');
    match file {
        Some(path) => {
            std::fs::write(path, json).with_context(|| format!("can't write {}", path.display()))?;
            output.progress(&format!(
                "{} written; check it with: inro-agent verify-evidence {0}",
                path.display()
            ));
        }
        None => io::stdout().lock().write_all(&json)?,
    }
    Ok(())
}

fn document(desk: &EvidenceDesk, config: &Config, gathered: &Gathered) -> Result<EvidenceExport, CliError> {
    let (evidence, enrolment) = (&gathered.evidence, &gathered.enrolment);
    Ok(EvidenceExport {
        format: EVIDENCE_EXPORT.to_owned(),
        exported_at: desk.clock.now(),
        certificate: certificate(config, gathered)?,
        request: ExportedRequest {
            csr: Base64(evidence.csr.clone()),
            challenge: Base64(evidence.challenge.to_vec()),
            challenge_signature: Base64(evidence.challenge_signature.clone()),
            predecessor_signature: evidence.predecessor_signature.clone().map(Base64),
            binding: enrolment.binding.as_str().to_owned(),
            ak_name: enrolment.ak_name.clone().map(Base64),
        },
        evidence: ExportedEvidence {
            format: evidence.format.clone(),
            parts: evidence.parts.iter().cloned().map(Base64).collect(),
        },
        verdict: ExportedVerdict {
            verdict: evidence.verdict.clone(),
            decoded: evidence.decoded.lines().map(ToOwned::to_owned).collect(),
            judged_at: evidence.judged_at,
            record_sha256: hex::encode(evidence.sha256()),
        },
        policy: policy(config, gathered)?,
        trust: trust(config, gathered)?,
        audit: gathered.audit.iter().map(|(previous, row)| audit_row(*previous, row)).collect(),
        journal: gathered.journaled.as_ref().map(|entry| journal(gathered, entry)),
    })
}

fn certificate(config: &Config, gathered: &Gathered) -> Result<ExportedCertificate, CliError> {
    let record = &gathered.record;
    let issuer = config.issuers.iter().find(|issuer| issuer.id == record.issuer);
    let issuer = issuer.with_context(|| format!("the configuration has no issuer {}", record.issuer))?;
    let issuer = material::issuer(issuer).map_err(CliError::configuration)?;
    let chain = std::iter::once(&issuer.certificate).chain(&issuer.chain);
    let (revoked_at, reason) = match &record.state {
        CertificateState::Revoked { at, reason, .. } => (Some(*at), Some(reason.as_str().to_owned())),
        _ => (None, None),
    };
    Ok(ExportedCertificate {
        pem: pem(record.der().unwrap_or_default())?,
        chain: chain.map(|der| pem(der)).collect::<Result<_, _>>()?,
        issuer: record.issuer.to_string(),
        serial: record.serial.to_string(),
        intent: record.intent.to_string(),
        user: record.user.to_string(),
        contract: record.contract.to_string(),
        device_kind: record.device.kind.as_str().to_owned(),
        device_serial: record.device.serial.to_string(),
        assurance: record.assurance.as_str().to_owned(),
        revoked_at,
        revocation_reason: reason,
    })
}

/// A contract's policy stands in the ledger, octet for octet; the bank's own in the configuration, as it is today.
fn policy(config: &Config, gathered: &Gathered) -> Result<ExportedPolicy, CliError> {
    let id = &gathered.evidence.policy;
    let (name, version) = (Some(id.name.to_string()), id.version);
    if let Some(record) = &gathered.policy {
        let note = format!("as {} set it at {}", record.by, record.at);
        return Ok(ExportedPolicy { name, version, document: Some(record.text.clone()), note });
    }
    let text = std::fs::read_to_string(&config.path)
        .with_context(|| format!("can't read {}", config.path.display()))?;
    let table: toml::Table = text.parse().context("the configuration can't be read again")?;
    let section = table.get("policy").and_then(toml::Value::as_table).cloned().unwrap_or_default();
    let document = toml::to_string(&section).context("the policy can't be written")?;
    let today = &config.policy.id;
    let note = if today == id {
        "the bank's own, as the configuration has it today under the same version; what is left out is the default"
            .to_owned()
    } else {
        format!("the bank's own of version {}: the configuration has changed since", today.version)
    };
    Ok(ExportedPolicy { name, version, document: Some(document), note })
}

/// The bundle as it was signed, and of its anchors those that lead to this evidence.
fn trust(config: &Config, gathered: &Gathered) -> Result<ExportedTrust, CliError> {
    let version = gathered.evidence.trust_version;
    let anchors = match &gathered.trust {
        Some(record) => {
            let bundle = Json.read(&record.bundle).context("the trust bundle can't be read")?;
            bundle.anchors.into_iter().map(|anchor| anchor.anchor).collect()
        }
        None => material::anchors(config).map_err(CliError::configuration)?,
    };
    let used = leading_to(&gathered.evidence.parts, &anchors);
    Ok(ExportedTrust {
        version,
        bundle: gathered.trust.as_ref().map(|record| Base64(record.bundle.clone())),
        signatures: gathered
            .trust
            .iter()
            .flat_map(|record| [&record.first, &record.second].map(|signature| Base64(signature.cms.clone())))
            .collect(),
        anchors: used.into_iter().map(|anchor| pem(&anchor.der)).collect::<Result<_, _>>()?,
    })
}

/// The anchors above the evidence's own certificates, by name and signature, root first.
fn leading_to<'a>(parts: &[Vec<u8>], anchors: &'a [Anchor]) -> Vec<&'a Anchor> {
    let mut below: Vec<MakerCertificate> =
        parts.iter().filter_map(|part| MakerCertificate::read(part).ok()).collect();
    let mut left: Vec<(&Anchor, MakerCertificate)> = anchors
        .iter()
        .filter_map(|anchor| Some((anchor, MakerCertificate::read(&anchor.der).ok()?)))
        .collect();
    let mut used = Vec::new();
    loop {
        let leads =
            |(_, above): &(&Anchor, MakerCertificate)| below.iter().any(|below| below.is_issued_by(above));
        let (found, others): (Vec<_>, Vec<_>) = left.into_iter().partition(leads);
        if found.is_empty() {
            return used;
        }
        left = others;
        below = found.iter().map(|(_, certificate)| certificate.clone()).collect();
        used.splice(0..0, found.into_iter().map(|(anchor, _)| anchor));
    }
}

fn audit_row(previous: [u8; 32], row: &AuditRow) -> ExportedAuditRow {
    ExportedAuditRow {
        sequence: row.sequence,
        at_ms: row.at_ms,
        actor: row.actor.clone(),
        action: row.action.clone(),
        subject: row.subject.clone(),
        details: row.details.clone(),
        previous_hash: hex::encode(previous),
        hash: hex::encode(row.hash),
    }
}

fn journal(gathered: &Gathered, entry: &Entry) -> ExportedJournal {
    ExportedJournal {
        signer: gathered.record.signer.to_string(),
        sequence: entry.in_ledger.sequence,
        hash: hex::encode(entry.in_ledger.hash),
        previous_hash: entry.journaled.chained.as_ref().map(|chained| hex::encode(chained.previous)),
        entry: ExportedEntry {
            at: entry.journaled.at,
            intent: entry.journaled.intent.to_string(),
            tbs: Base64(entry.journaled.tbs.clone()),
            signature: Base64(entry.journaled.signature.signature.clone()),
            audit_sequence: entry.audit.sequence,
            audit_hash: hex::encode(entry.audit.hash),
            octets: entry.journaled.chained.as_ref().map(|chained| Base64(chained.octets.clone())),
        },
    }
}

impl From<ExportError> for CliError {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Unknown(_) | ExportError::NoEvidence(_) => Self::new(Exit::NotFound, error),
            ExportError::Failure(failure) => failure.into(),
        }
    }
}
