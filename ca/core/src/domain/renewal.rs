//! 更新: which certificate may be renewed when (rules 1 and 5), what its key must sign, and when a renewal that nobody
//! confirms lapses.
//!
//! The old key signs over the new one: whoever renews holds both at the same time, so the old key isn't the one that was
//! replaced, and the user still has a certificate that works.

use ca_x509::{KeyKind, SignatureAlgorithm, verify::verify};
use der::Decode;
use jiff::{SignedDuration, Timestamp};
use x509_cert::Certificate;

use super::{
    attestation::{
        Attested, Particulars,
        yubikey::{Firmware, Slot},
    },
    certificate::{CertificateRecord, CertificateState},
    device::Device,
    ids::{EnrolmentId, SerialNumber},
    validity::{renewal_is_open, renewal_opens},
};

/// Begins the message that the old key signs. The wire's constant of the same name is equal.
pub const RENEWAL_PREFIX: &[u8] = b"inro-renewal-v1\0";

/// Rule 1: "unconfirmed after 72 hours it is revoked and the old one stays".
pub const UNCONFIRMED_LIFETIME: SignedDuration = SignedDuration::from_hours(72);

/// The first firmware that moves keys from slot to slot: what an attestation says of a slot was true when it was made, and
/// need not be true any more.
const MOVES_KEYS: Firmware = Firmware::new(5, 7, 0);

/// The message that the old key signs: [`RENEWAL_PREFIX`], the enrolment's challenge and the DER of the *new* key's
/// `SubjectPublicKeyInfo`, one after the other.
pub fn renewal_message(challenge: &[u8; 32], new_spki_der: &[u8]) -> Vec<u8> {
    [RENEWAL_PREFIX, challenge.as_slice(), new_spki_der].concat()
}

/// Why a certificate can't be renewed now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenewalRefusal {
    /// Rule 5: too early.
    #[error("the renewal of the certificate opens at {opens_at}")]
    NotYet {
        /// When it opens.
        opens_at: Timestamp,
    },
    /// Rule 5: past notAfter.
    #[error("the certificate {serial} has expired; it is revoked first, then a new one is obtained")]
    Expired {
        /// Its serial number.
        serial: SerialNumber,
    },
    /// Revoked, superseded, not issued, or a renewal that isn't confirmed itself.
    #[error("the certificate that was to be renewed isn't the user's valid one")]
    NotValid,
    /// Its key lives elsewhere: a new token is enrolled anew.
    #[error("the certificate {serial} is on another token; a renewal stays on its token")]
    OtherDevice {
        /// Its serial number.
        serial: SerialNumber,
    },
    /// Rule 1: there is an unconfirmed renewal already.
    #[error("the renewal {serial} awaits its confirmation and lapses at {lapses_at}")]
    Pending {
        /// Its serial number.
        serial: SerialNumber,
        /// When it is revoked if nobody confirms it.
        lapses_at: Timestamp,
    },
    /// The policy permits only the slot that the old key is in.
    #[error("keys are permitted in slot {slot} only, which the certificate that was to be renewed occupies")]
    NoSlot {
        /// The slot.
        slot: Slot,
    },
}

impl RenewalRefusal {
    /// The stable code, for the ledger, the audit trail and programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotYet { .. } => "renewal-not-yet",
            Self::Expired { .. } => "renewal-expired",
            Self::NotValid => "renewal-predecessor-invalid",
            Self::OtherDevice { .. } => "renewal-other-device",
            Self::Pending { .. } => "renewal-pending",
            Self::NoSlot { .. } => "renewal-no-slot",
        }
    }
}

/// The certificate that a user names for renewal: one that was issued to them, on this device.
pub fn named<'a>(
    certificates: &'a [CertificateRecord],
    serial: &SerialNumber,
    device: &Device,
) -> Option<&'a CertificateRecord> {
    certificates.iter().find(|record| {
        record.serial == *serial
            && record.device == *device
            && matches!(record.state, CertificateState::Issued { .. } | CertificateState::Revoked { .. })
    })
}

/// The certificate that may be renewed at `now` on this device: `predecessor`, among all of a user's certificates.
///
/// # Errors
/// The first [`RenewalRefusal`].
pub fn renewable<'a>(
    certificates: &'a [CertificateRecord],
    predecessor: EnrolmentId,
    device: &Device,
    now: Timestamp,
) -> Result<&'a CertificateRecord, RenewalRefusal> {
    let record = certificates.iter().find(|record| record.intent == predecessor);
    let record = record.ok_or(RenewalRefusal::NotValid)?;
    let serial = record.serial.clone();
    if record.device != *device {
        return Err(RenewalRefusal::OtherDevice { serial });
    }
    if !matches!(record.state, CertificateState::Issued { .. }) || record.is_unconfirmed_renewal() {
        return Err(RenewalRefusal::NotValid);
    }
    if now > record.not_after {
        return Err(RenewalRefusal::Expired { serial });
    }
    if !renewal_is_open(now, record.not_after) {
        return Err(RenewalRefusal::NotYet { opens_at: renewal_opens(record.not_after) });
    }
    match certificates.iter().find(|record| record.is_unconfirmed_renewal()) {
        None => Ok(record),
        Some(pending) => {
            Err(RenewalRefusal::Pending { serial: pending.serial.clone(), lapses_at: lapses_at(pending) })
        }
    }
}

/// When a renewal is revoked if nobody confirms it: 72 hours after it was drafted.
pub fn lapses_at(renewal: &CertificateRecord) -> Timestamp {
    unconfirmed_until(renewal.not_before)
}

/// How long a renewal with this notBefore can be confirmed.
pub fn unconfirmed_until(not_before: Timestamp) -> Timestamp {
    not_before.checked_add(UNCONFIRMED_LIFETIME).unwrap_or(Timestamp::MAX)
}

/// Whether nobody confirmed it in time, also when it isn't revoked yet.
pub fn has_lapsed(record: &CertificateRecord, now: Timestamp) -> bool {
    record.is_unconfirmed_renewal() && now > lapses_at(record)
}

/// Why the word of the old key doesn't count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureRefusal {
    /// It isn't there.
    #[error("the signature by the key of the certificate to be renewed is missing")]
    Missing,
    /// It isn't by that key, or is over something else.
    #[error("the signature is not by the key of the certificate to be renewed over this new key")]
    Wrong,
    /// This enrolment renews nothing.
    #[error("there is a signature by another certificate's key, but the enrolment isn't a renewal")]
    NotAsked,
}

impl SignatureRefusal {
    /// The stable code, for the ledger, the audit trail and programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "predecessor-signature-missing",
            Self::Wrong => "predecessor-signature-wrong",
            Self::NotAsked => "predecessor-signature-not-asked",
        }
    }
}

/// Checks the old key's signature over [`renewal_message`], with the algorithm that keys of its kind sign requests with.
///
/// # Errors
/// [`SignatureRefusal`].
pub fn check_signature(
    predecessor_der: &[u8],
    challenge: &[u8; 32],
    new_spki_der: &[u8],
    signature: Option<&[u8]>,
) -> Result<(), SignatureRefusal> {
    let signature = signature.ok_or(SignatureRefusal::Missing)?;
    let predecessor = Certificate::from_der(predecessor_der).map_err(|_| SignatureRefusal::Wrong)?;
    let key = predecessor.tbs_certificate().subject_public_key_info();
    let kind = KeyKind::of(key).map_err(|_| SignatureRefusal::Wrong)?;
    let message = renewal_message(challenge, new_spki_der);
    verify(key, SignatureAlgorithm::for_key(kind), &message, signature).map_err(|_| SignatureRefusal::Wrong)
}

/// The slots that a renewal's key may be made in, best first. The one that the old key was made in is no choice where it
/// can't have left it, and the last one where it may have.
pub fn slots_for(permitted: &[Slot], made_in: Option<Slot>, firmware: Option<Firmware>) -> Vec<Slot> {
    let others = permitted.iter().copied().filter(|slot| Some(*slot) != made_in);
    let may_have_left = firmware.is_some_and(|firmware| firmware >= MOVES_KEYS);
    let own = permitted.iter().copied().filter(|slot| may_have_left && Some(*slot) == made_in);
    others.chain(own).collect()
}

/// Whether the new key is said to be where the old one must still be: on firmware that moves no keys, the slot that the
/// old one was made in. Elsewhere that both exist is shown by their signatures.
pub fn same_slot(attested: &Attested, made_in: Option<Slot>) -> Option<Slot> {
    match &attested.particulars {
        Particulars::YubiKey(key) if key.firmware < MOVES_KEYS && Some(key.slot) == made_in => Some(key.slot),
        Particulars::YubiKey(_) | Particulars::Tpm(_) | Particulars::Asserted => None,
    }
}

/// The slot that a key was made in, by the `name=value` lines of its verdict.
pub fn slot_of(decoded: &str) -> Option<Slot> {
    decoded.lines().find_map(|line| Slot::parse(line.strip_prefix("slot=")?))
}

#[cfg(test)]
mod tests;
