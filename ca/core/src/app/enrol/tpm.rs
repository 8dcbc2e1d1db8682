//! A TPM's part in opening an enrolment: the keys by which it is known, and the challenge that is wrapped for them.

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::refusal::Refusal;
use crate::{
    app::failure::{Failure, full_text},
    domain::{
        attestation::{
            Anchors,
            tpm::{Credential, Identity, NotMade, TpmRules, Vouchers, Word, make_credential},
        },
        device::{Device, DeviceKind},
        enrolment::Enrolment,
    },
    ports::rng::Rng,
};

/// Random octets may be no key; three times in a row they are one.
const ATTEMPTS: usize = 3;

/// The keys of a TPM as they came, `TPMT_PUBLIC` octets, and who vouches for it, DER.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TpmKeys {
    /// The endorsement key.
    pub ek_public: Vec<u8>,
    /// Its maker's certificate, where the TPM holds one.
    pub ek_certificate: Option<Vec<u8>>,
    /// Certificates between that and the root.
    pub ek_intermediates: Vec<Vec<u8>>,
    /// The attestation key.
    pub ak_public: Vec<u8>,
    /// The attestation key's certificate and those above it, where a maker certified that key itself.
    pub ak_certificates: Vec<Vec<u8>>,
}

/// The TPM that claims to be `device`; `None` for any other kind of device.
///
/// # Errors
/// [`Refusal`] when the keys are missing, superfluous or malformed, or aren't this device's.
pub(super) fn identity(device: &Device, keys: Option<&TpmKeys>) -> Result<Option<Identity>, Refusal> {
    let keys = match (device.kind, keys) {
        (DeviceKind::Tpm, Some(keys)) => keys,
        (DeviceKind::Tpm, None) => {
            return Err(Refusal::new(
                "evidence-tpm-keys",
                "a TPM is opened with its keys, which are missing",
            ));
        }
        (_, Some(_)) => {
            return Err(Refusal::new(
                "evidence-tpm-keys",
                "the keys of a TPM come with another kind of device",
            ));
        }
        (_, None) => return Ok(None),
    };
    let identity = Identity::parse(&keys.ek_public, &keys.ak_public)
        .map_err(|error| Refusal::new(error.code(), full_text(&error)))?;
    let found = identity.ek.device();
    if found != *device {
        let detail = format!("the endorsement key is of device {}, not of the claimed one", found.serial);
        return Err(Refusal::new("evidence-wrong-device", detail));
    }
    Ok(Some(identity))
}

/// Whether somebody vouches for the TPM whose word the policy takes: said before a key is made in it and a PIN is chosen. The
/// evidence is judged all the same.
///
/// # Errors
/// [`Refusal`], as the evidence would get it.
pub(super) fn admit(
    identity: &Identity,
    keys: &TpmKeys,
    is_inventoried: bool,
    (anchors, rules): (&Anchors, &TpmRules),
    now: Timestamp,
) -> Result<(), Refusal> {
    let vouchers = Vouchers {
        ek_certificate: keys.ek_certificate.as_deref(),
        ek_intermediates: &keys.ek_intermediates,
        ak_certificates: &keys.ak_certificates,
        is_inventoried,
    };
    let word = Word::of(identity, vouchers, anchors, now);
    let admitted = word.and_then(|word| Ok(word.judge(rules)?));
    admitted.map_err(|error| Refusal::new(error.code(), full_text(&error)))
}

/// The challenge for the TPM that holds both keys, and for nobody else.
///
/// # Errors
/// A defect, when the random octets are no key again and again.
pub(super) fn wrapped_challenge(
    identity: &Identity,
    enrolment: &Enrolment,
    rng: &dyn Rng,
) -> Result<Credential, Failure> {
    let (name, challenge) = (identity.ak.name(), &enrolment.challenge);
    let attempt = || make_credential(&identity.ek, name, challenge, &Zeroizing::new(rng.bytes()));
    std::iter::repeat_with(attempt).take(ATTEMPTS).find_map(Result::ok).ok_or(Failure::defect(NotMade))
}
