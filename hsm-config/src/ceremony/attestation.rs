//! Evidence that a key was made inside a `YubiKey` and never anywhere else: the slot's certificate signed by the device's,
//! and that by the maker. It speaks of the key in the request and of no other.
//!
//! This holds for the few keys of a ceremony whose witnesses look at the tokens themselves. The authority's own device
//! policy (firmware, touch, revoked makers) is judged where customers enrol, not here.

use const_oid::ObjectIdentifier;
use der::Decode;
use serde::{Deserialize, Serialize};
use x509_cert::certificate::{Certificate, TbsCertificate};

use super::facts::{Facts, Requested};
use super::spec::{Attestation, Input};
use ca_x509::signed::Signed;

/// Yubico's serial number extension: INTEGER.
const SERIAL: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3.7");
/// Yubico's policy extension: two octets, of the PIN and of the touch.
const POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3.8");
/// The PIN policy "never".
const NEVER: u8 = 1;
/// Certificates from the device's to the root at the most.
const LONGEST: usize = 6;

/// What was proven of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attested {
    /// The token's serial number, decimal.
    pub serial: String,
    /// SHA-256 of the maker's root certificate, hexadecimal.
    pub maker_sha256: String,
}

/// Examines the evidence for the key of a request.
///
/// # Errors
/// What is wrong with it.
pub(super) fn examine(evidence: &Attestation, request: &Input) -> Result<Attested, String> {
    let requested =
        Requested::of(&request.der).map_err(|problem| format!("is for a request that {problem}"))?;
    let slot = tbs(&evidence.slot)?;
    let device = tbs(&evidence.device)?;
    if *slot.subject_public_key_info() != requested.public_key {
        return Err("speaks of another key than the request's".to_owned());
    }
    signed_by(&evidence.slot, &device).map_err(|_| "isn't signed by the device that it names".to_owned())?;
    let maker_sha256 = root(&evidence.device, &evidence.makers)?;
    if extension(&slot, POLICY)?.first().is_none_or(|policy| *policy == NEVER) {
        return Err("says that the key is used without the PIN".to_owned());
    }
    let number = extension(&slot, SERIAL)?;
    let serial = u32::from_der(&number).map_err(|_| "has a serial number that can't be read".to_owned())?;
    Ok(Attested { serial: serial.to_string(), maker_sha256 })
}

/// Follows the makers' certificates up to a root that signs itself.
fn root(device: &Input, makers: &[Input]) -> Result<String, String> {
    let mut current = device;
    for _ in 0..LONGEST {
        let issuer = makers.iter().find(|maker| tbs(maker).is_ok_and(|tbs| signed_by(current, &tbs).is_ok()));
        let issuer = issuer.ok_or("doesn't lead to a root among the makers' certificates")?;
        let facts = Facts::of(&issuer.der)
            .map_err(|problem| format!("leads to {}, which {problem}", issuer.name()))?;
        if !facts.authority {
            return Err(format!("leads to {}, which is no authority's", issuer.name()));
        }
        if facts.self_signed {
            return Ok(super::sha256(&issuer.der));
        }
        current = issuer;
    }
    Err("leads through too many certificates".to_owned())
}

fn signed_by(certificate: &Input, issuer: &TbsCertificate) -> Result<(), String> {
    let signed = Signed::parse(&certificate.der).map_err(|e| e.to_string())?;
    signed.verify(issuer.subject_public_key_info()).map_err(|e| e.to_string())
}

fn tbs(input: &Input) -> Result<TbsCertificate, String> {
    let certificate = Certificate::from_der(&input.der);
    let certificate =
        certificate.map_err(|e| format!("names {}, which is no certificate: {e}", input.name()))?;
    Ok(certificate.tbs_certificate().clone())
}

/// The content of an extension that must be there once.
fn extension(certificate: &TbsCertificate, oid: ObjectIdentifier) -> Result<Vec<u8>, String> {
    let all = certificate.extensions().map_or(&[][..], Vec::as_slice);
    match all.iter().filter(|extension| extension.extn_id == oid).collect::<Vec<_>>().as_slice() {
        [one] => Ok(one.extn_value.as_bytes().to_vec()),
        _ => Err(format!("doesn't have the extension {oid} once")),
    }
}
