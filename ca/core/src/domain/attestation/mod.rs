//! Evidence of where a key was born, and what is made of it.
//!
//! Evidence counts only for the key that it names: the certification request and the signed challenge must be that
//! key's. `yubikey` and `tpm` know the devices, `certificate` and `chain` the makers' certificates, `maker_crl` what makers
//! took back.

mod asserted;
mod certificate;
mod chain;
mod chain_error;
mod fields;
mod maker;
mod maker_crl;
mod memory;
mod proof;
mod request;
mod set_order;
#[cfg(test)]
mod tests;
pub mod tpm;
pub mod yubikey;

use ca_x509::KeyKind;
use jiff::Timestamp;

pub use chain::{Anchor, AnchorError, Anchors, Purpose, Trust};
pub use chain_error::ChainError;
pub use maker::MakerCertificate;
pub use maker_crl::{CrlRefusal, MAX_CRL_BYTES, MakerCrl};
pub use proof::{CHALLENGE_PREFIX, challenge_message};

use super::{
    csr::Csr,
    device::{Assurance, Device, DeviceKind},
    key_kind::key_name,
};
use tpm::{Tpm, TpmEvidence, TpmRefusal, TpmRules};
use yubikey::{Firmware, FormFactor, PinPolicy, Slot, TouchPolicy, YubiKey, YubiKeyEvidence, YubiKeyRules};

/// Evidence as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// YubiKey PIV attestation.
    YubiKeyPiv(YubiKeyEvidence),
    /// TPM 2.0 key attestation.
    Tpm(TpmEvidence),
    /// None: where the key lives is only claimed.
    Asserted,
}

impl Evidence {
    /// The stable name of its format.
    pub fn format(&self) -> &'static str {
        match self {
            Self::YubiKeyPiv(_) => "yubikey-piv",
            Self::Tpm(_) => "tpm",
            Self::Asserted => "asserted",
        }
    }

    /// Its parts for storage. A YubiKey's: the slot's certificate, f9, intermediates. A TPM's: see
    /// [`TpmEvidence::parts`]. What is only asserted has none.
    pub fn parts(&self) -> Vec<Vec<u8>> {
        match self {
            Self::YubiKeyPiv(evidence) => {
                let own = [evidence.slot.clone(), evidence.f9.clone()];
                own.into_iter().chain(evidence.intermediates.iter().cloned()).collect()
            }
            Self::Tpm(evidence) => evidence.parts(),
            Self::Asserted => Vec::new(),
        }
    }

    /// What [`format`](Self::format) and [`parts`](Self::parts) of an earlier day say; `None` when they don't.
    pub fn from_parts(format: &str, parts: &[Vec<u8>]) -> Option<Self> {
        match (format, parts) {
            ("yubikey-piv", [slot, f9, intermediates @ ..]) => Some(Self::YubiKeyPiv(YubiKeyEvidence {
                slot: slot.clone(),
                f9: f9.clone(),
                intermediates: intermediates.to_vec(),
            })),
            ("tpm", parts) => TpmEvidence::from_parts(parts).map(Self::Tpm),
            ("asserted", []) => Some(Self::Asserted),
            _ => None,
        }
    }
}

/// What the evidence must agree with.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The verified certification request.
    pub csr: &'a Csr,
    /// The device that was claimed when the enrolment was opened.
    pub device: &'a Device,
    /// Whether the bank's token inventory has this device: what stands in for a maker's certificate where a TPM has none.
    pub is_inventoried: bool,
    /// The Name of the attestation key that the enrolment was opened with; a TPM's only.
    pub ak_name: Option<&'a [u8]>,
    /// The enrolment's challenge.
    pub challenge: &'a [u8; 32],
    /// The key's signature over [`challenge_message`].
    pub challenge_signature: &'a [u8],
}

/// Which devices and keys are accepted, as the judge needs it: borrowed from the bank's policy.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The kinds of device.
    pub kinds: &'a [DeviceKind],
    /// The kinds of key.
    pub algorithms: &'a [KeyKind],
    /// What is asked of YubiKeys.
    pub yubikey: &'a YubiKeyRules,
    /// What is asked of TPMs.
    pub tpm: &'a TpmRules,
}

/// What was proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attested {
    /// The device that made the key; where it is only asserted, the claimed one.
    pub device: Device,
    /// The level of assurance that follows.
    pub assurance: Assurance,
    /// SHA-256 of the trusted root's certificate, where one vouches for the device.
    pub root_sha256: Option<[u8; 32]>,
    /// What is particular to this kind of device.
    pub particulars: Particulars,
}

/// What is particular to a kind of device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Particulars {
    /// A key in a YubiKey.
    YubiKey(YubiKey),
    /// A key in a TPM.
    Tpm(Tpm),
    /// Nothing is known.
    Asserted,
}

impl Attested {
    /// What was decoded, as `name=value` lines for the ledger.
    pub fn decoded(&self) -> String {
        let mut lines =
            vec![format!("device={}", self.device.kind.as_str()), format!("serial={}", self.device.serial)];
        match &self.particulars {
            Particulars::YubiKey(yubikey) => lines.extend(yubikey.decoded()),
            Particulars::Tpm(tpm) => lines.extend(tpm.decoded()),
            Particulars::Asserted => {}
        }
        lines.push(format!("assurance={}", self.assurance.as_str()));
        lines.extend(self.root_sha256.map(|root| format!("root_sha256={}", hex::encode(root))));
        lines.join("\n")
    }
}

/// Why evidence is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A kind of device that isn't accepted.
    #[error("devices of the kind {} are not accepted", found.as_str())]
    DeviceKind {
        /// The kind.
        found: DeviceKind,
    },
    /// Evidence of another kind than the claimed device.
    #[error("the evidence is of the kind {found}, which is not that of the claimed device")]
    Format {
        /// The evidence's format.
        found: &'static str,
    },
    /// A certificate is larger than any genuine one.
    #[error("a certificate of the evidence is larger than {limit} octets")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// More certificates than any genuine chain has.
    #[error("the evidence has more than {limit} certificates")]
    TooManyCertificates {
        /// The limit.
        limit: usize,
    },
    /// A certificate doesn't parse.
    #[error("the {which} is not a certificate that can be read")]
    Malformed {
        /// Which one.
        which: &'static str,
    },
    /// The slot's certificate isn't signed by the f9 certificate that came with it.
    #[error("the slot's certificate is not signed by the device's attestation key")]
    SlotNotSignedByF9,
    /// The f9 certificate doesn't lead to a trusted root.
    #[error("the device's attestation certificate doesn't lead to a trusted maker")]
    Untrusted(#[source] ChainError),
    /// An extension of the maker is missing, double or malformed.
    #[error("the attestation's {extension} extension is {problem}")]
    Extension {
        /// Which.
        extension: &'static str,
        /// What is wrong with it.
        problem: ExtensionProblem,
    },
    /// The slot's certificate doesn't say which slot it is for.
    #[error("the attestation doesn't name a PIV slot")]
    NoSlot,
    /// Slot and f9 certificates speak of different firmware.
    #[error("slot and attestation certificates name different firmware")]
    FirmwareMismatch,
    /// The request's key isn't the attested one.
    #[error("the request is for another key than the attested one")]
    KeyMismatch,
    /// The challenge wasn't signed by the key.
    #[error("the challenge was not signed by the attested key")]
    ChallengeSignature,
    /// Another device than claimed.
    #[error("the attestation is of device {found}, not of the claimed one")]
    WrongDevice {
        /// The attested serial number.
        found: String,
    },
    /// A slot that isn't permitted.
    #[error("keys in slot {found} are not accepted")]
    WrongSlot {
        /// The attested slot.
        found: Slot,
    },
    /// A kind of key that isn't accepted.
    #[error("keys of the kind {} are not accepted", key_name(*found))]
    Algorithm {
        /// The kind.
        found: KeyKind,
    },
    /// Only devices of a certified series are accepted.
    #[error("the device is not of the {series} series, and no others are accepted")]
    NotOfSeries {
        /// The series.
        series: &'static str,
    },
    /// A shape that isn't accepted.
    #[error("devices of the shape {found} are not accepted")]
    FormFactor {
        /// The attested shape.
        found: FormFactor,
    },
    /// A PIN policy that isn't accepted, such as that the device would use the key without its PIN.
    #[error("the key's PIN policy {found} is not accepted")]
    PinPolicy {
        /// The attested policy.
        found: PinPolicy,
    },
    /// A touch policy that isn't accepted.
    #[error("the key's touch policy {found} is not accepted")]
    TouchPolicy {
        /// The attested policy.
        found: TouchPolicy,
    },
    /// Firmware too old for this kind of key.
    #[error("firmware {found} is too old for such a key; {lowest} or later is needed")]
    FirmwareTooOld {
        /// The attested firmware.
        found: Firmware,
        /// The lowest accepted.
        lowest: Firmware,
    },
    /// A TPM's evidence isn't good.
    #[error(transparent)]
    Tpm(#[from] TpmRefusal),
}

/// What can be wrong with an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtensionProblem {
    /// It isn't there.
    Missing,
    /// It is there twice.
    Twice,
    /// Its content isn't of its form.
    Malformed,
}

impl std::fmt::Display for ExtensionProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::Twice => "there twice",
            Self::Malformed => "malformed",
        })
    }
}

impl Refusal {
    /// The stable code, for the ledger, the audit trail and programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::DeviceKind { .. } => "evidence-device-kind",
            Self::Format { .. } => "evidence-format",
            Self::TooLarge { .. } => "evidence-too-large",
            Self::TooManyCertificates { .. } => "evidence-too-many-certificates",
            Self::Malformed { .. } => "evidence-malformed",
            Self::SlotNotSignedByF9 => "evidence-slot-not-signed-by-f9",
            Self::Untrusted(error) => error.code(),
            Self::Extension { problem: ExtensionProblem::Missing, .. } => "evidence-extension-missing",
            Self::Extension { problem: ExtensionProblem::Twice, .. } => "evidence-extension-twice",
            Self::Extension { problem: ExtensionProblem::Malformed, .. } => "evidence-extension-malformed",
            Self::NoSlot => "evidence-no-slot",
            Self::FirmwareMismatch => "evidence-firmware-mismatch",
            Self::KeyMismatch => "evidence-key-mismatch",
            Self::ChallengeSignature => "evidence-challenge-signature",
            Self::WrongDevice { .. } => "evidence-wrong-device",
            Self::WrongSlot { .. } => "evidence-wrong-slot",
            Self::Algorithm { .. } => "evidence-algorithm",
            Self::NotOfSeries { .. } => "evidence-not-of-series",
            Self::FormFactor { .. } => "evidence-form-factor",
            Self::PinPolicy { .. } => "evidence-pin-policy",
            Self::TouchPolicy { .. } => "evidence-touch-policy",
            Self::FirmwareTooOld { .. } => "evidence-firmware-too-old",
            Self::Tpm(refusal) => refusal.code(),
        }
    }
}

/// Judges evidence: the chain to the maker's root, what the device says, that it is the claimed device and key, and
/// the device policy.
///
/// # Errors
/// The first [`Refusal`].
pub fn verify(
    evidence: &Evidence,
    claim: &Claim<'_>,
    anchors: &Anchors,
    rules: Rules<'_>,
    now: Timestamp,
) -> Result<Attested, Refusal> {
    let kind = claim.device.kind;
    if !rules.kinds.contains(&kind) {
        return Err(Refusal::DeviceKind { found: kind });
    }
    let key = claim.csr.key_kind();
    if !rules.algorithms.contains(&key) {
        return Err(Refusal::Algorithm { found: key });
    }
    match (evidence, kind) {
        (Evidence::YubiKeyPiv(evidence), DeviceKind::YubiKeyPiv) => {
            let statement = yubikey::examine(evidence, anchors, now)?;
            proof::same_key_and_device(&statement.public_key, &statement.device, claim)?;
            statement.judge(key, rules.yubikey)
        }
        (Evidence::Tpm(evidence), DeviceKind::Tpm) => {
            let statement = tpm::examine(evidence, claim, anchors, now)?;
            proof::same_key_and_device(&statement.key.public_key, &statement.device, claim)?;
            Ok(statement.judge(rules.tpm)?)
        }
        (Evidence::Asserted, DeviceKind::Piv | DeviceKind::Pkcs11) => asserted::judge(claim),
        (evidence, _) => Err(Refusal::Format { found: evidence.format() }),
    }
}
