//! A YubiKey's evidence inside a certification request, where Yubico's tools put it: among the extensions that the
//! request asks for, the slot's certificate as .1 (older tools: .11, which in f9 certificates means CSPN) and f9 as .2.

use const_oid::{ObjectIdentifier, db::rfc5912::ID_EXTENSION_REQ};
use der::{Decode, Encode};
use x509_cert::{ext::Extension, request::CertReqInfo};

use ca_x509::{extension::YUBICO_PIV, signed::Signed};

use super::{ExtensionProblem, Refusal, yubikey::YubiKeyEvidence};
use crate::domain::{
    csr::{MAX_BYTES, MAX_DEPTH},
    der_bounds,
};

const SLOT: u32 = 1;
const F9: u32 = 2;
const SLOT_OF_OLD_TOOLS: u32 = 11;

impl YubiKeyEvidence {
    /// The evidence in a request (PKCS#10, DER). What it is worth is for the judge to say, as of any other.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] when it is no request, [`Refusal::Extension`] when a part is missing or there twice.
    pub fn in_request(der: &[u8]) -> Result<Self, Refusal> {
        let asked_for = extensions(der).ok_or(Refusal::Malformed { which: "certification request" })?;
        let slot = match part(&asked_for, SLOT, "slot attestation")? {
            Some(slot) => Some(slot),
            None => part(&asked_for, SLOT_OF_OLD_TOOLS, "slot attestation")?,
        };
        let missing = |extension| Refusal::Extension { extension, problem: ExtensionProblem::Missing };
        Ok(Self {
            slot: slot.ok_or_else(|| missing("slot attestation"))?,
            f9: part(&asked_for, F9, "attestation key")?.ok_or_else(|| missing("attestation key"))?,
            intermediates: Vec::new(),
        })
    }
}

/// The extensions that a request asks for.
fn extensions(der: &[u8]) -> Option<Vec<Extension>> {
    if der.len() > MAX_BYTES || der_bounds::check_depth(der, MAX_DEPTH).is_err() {
        return None;
    }
    let info = CertReqInfo::from_der(Signed::parse(der).ok()?.tbs).ok()?;
    let asked_for = info.attributes.iter().filter(|attribute| attribute.oid == ID_EXTENSION_REQ);
    let values = asked_for.flat_map(|attribute| attribute.values.iter());
    let lists = values.map(|value| Vec::<Extension>::from_der(&value.to_der().ok()?).ok());
    lists.collect::<Option<Vec<_>>>().map(|lists| lists.concat())
}

/// The content of Yubico's extension with this last arc.
fn part(asked_for: &[Extension], arc: u32, extension: &'static str) -> Result<Option<Vec<u8>>, Refusal> {
    let is_wanted = |oid: ObjectIdentifier| YUBICO_PIV.push_arc(arc) == Ok(oid);
    let mut found = asked_for.iter().filter(|asked_for| is_wanted(asked_for.extn_id));
    let first = found.next();
    match found.next() {
        None => Ok(first.map(|found| found.extn_value.as_bytes().to_vec())),
        Some(_) => Err(Refusal::Extension { extension, problem: ExtensionProblem::Twice }),
    }
}
