//! One certificate's whole proof in one file, to be checked years later by somebody who doesn't trust the bank:
//! `inro-ca evidence export` writes it, `inro-agent verify-evidence` checks it. Certificates are PEM, other octets base64
//! with padding, hashes lower-case hexadecimal.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Base64;

/// The value of [`EvidenceExport::format`]. Another number is another schema.
pub const EVIDENCE_EXPORT: &str = "inro-evidence-1";

/// The file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceExport {
    /// [`EVIDENCE_EXPORT`].
    pub format: String,
    /// When it was exported, by the authority's clock.
    pub exported_at: Timestamp,
    /// The certificate.
    pub certificate: ExportedCertificate,
    /// What the key's owner sent.
    pub request: ExportedRequest,
    /// What the device's maker says of the key.
    pub evidence: ExportedEvidence,
    /// What the authority made of it.
    pub verdict: ExportedVerdict,
    /// The policy that it was held against.
    pub policy: ExportedPolicy,
    /// The makers' certificates that were believed.
    pub trust: ExportedTrust,
    /// The rows of the audit trail that concern it, in order.
    pub audit: Vec<ExportedAuditRow>,
    /// Its entry in the signer's journal; missing where the signer couldn't be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<ExportedJournal>,
}

/// The certificate and what the ledger says of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedCertificate {
    /// PEM.
    pub pem: String,
    /// The certificates above it, root last, PEM.
    pub chain: Vec<String>,
    /// The issuer's name in the ledger.
    pub issuer: String,
    /// Its serial number, lower-case hexadecimal.
    pub serial: String,
    /// The intent, which is the enrolment.
    pub intent: String,
    /// ログインID.
    pub user: String,
    /// The contract's number.
    pub contract: String,
    /// `yubikey-piv`, `tpm`, `piv` or `pkcs11`.
    pub device_kind: String,
    /// The device's serial number.
    pub device_serial: String,
    /// `attested-pin`, `attested` or `asserted`.
    pub assurance: String,
    /// Since when it is revoked, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// Why, by its name in RFC 5280.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation_reason: Option<String>,
}

/// What the key's owner sent, raw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedRequest {
    /// PKCS#10, DER.
    pub csr: Base64,
    /// 32 octets.
    pub challenge: Base64,
    /// The key's signature over [`crate::enrolment::challenge_message`].
    pub challenge_signature: Base64,
    /// For a renewal: the predecessor's key's signature over [`crate::enrolment::renewal_message`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predecessor_signature: Option<Base64>,
    /// How the user was bound to the device: `assigned-serial`, `acquisition-code` or `first-come`.
    pub binding: String,
    /// The Name of the attestation key that the enrolment was opened with; a TPM's only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ak_name: Option<Base64>,
}

/// What the device's maker says of the key, raw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedEvidence {
    /// `yubikey-piv`, `tpm` or `asserted`.
    pub format: String,
    /// A YubiKey's: the slot's certificate, f9, intermediates, DER.
    pub parts: Vec<Base64>,
}

/// What the authority made of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedVerdict {
    /// `accepted`, or a refusal's code.
    pub verdict: String,
    /// What was decoded, `name=value`.
    pub decoded: Vec<String>,
    /// When.
    pub judged_at: Timestamp,
    /// SHA-256 over request, evidence and verdict as the ledger keeps them; the audit row of the intent names it.
    pub record_sha256: String,
}

/// The policy that it was held against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedPolicy {
    /// Its name; missing for the bank's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its version.
    pub version: u32,
    /// The document, where the ledger has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// Says so where the document is today's and not that version's.
    pub note: String,
}

/// The makers' certificates that were believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedTrust {
    /// The version of the trust bundle; 0 for files that the configuration named, which the ledger doesn't keep.
    pub version: u32,
    /// The bundle as the officers signed it ([`crate::trust::TrustBundle`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Base64>,
    /// The two officers' signatures: CMS `SignedData`, detached, DER.
    pub signatures: Vec<Base64>,
    /// The certificates from the root down that lead to the evidence, PEM.
    pub anchors: Vec<String>,
}

/// A row of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedAuditRow {
    /// Counts from 1 without gaps.
    pub sequence: u64,
    /// Milliseconds since 1970-01-01T00:00Z.
    pub at_ms: i64,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// About what.
    pub subject: String,
    /// Particulars, a `name=value` a line.
    pub details: String,
    /// The hash of the row before.
    pub previous_hash: String,
    /// SHA-256 over `inro-audit-v1`, the hash of the row before and the row.
    pub hash: String,
}

/// The certificate's place in the signer's journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedJournal {
    /// The signer.
    pub signer: String,
    /// The entry's number, as the ledger has it.
    pub sequence: u64,
    /// Its hash, as the ledger has it: SHA-256 over the hash before and the entry's octets. The audit row of the issuance names
    /// both number and hash.
    pub hash: String,
    /// The hash of the entry before, or the journal's first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_hash: Option<String>,
    /// The entry.
    pub entry: ExportedEntry,
}

/// The journal's entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedEntry {
    /// When, by the signer's clock.
    pub at: Timestamp,
    /// The intent.
    pub intent: String,
    /// DER of the `TBSCertificate`.
    pub tbs: Base64,
    /// The signature.
    pub signature: Base64,
    /// The audit trail's row that the intent carried into the journal.
    pub audit_sequence: u64,
    /// That row's hash.
    pub audit_hash: String,
    /// The entry as the signer keeps it: CBOR of all this and the label of the issuing key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub octets: Option<Base64>,
}
