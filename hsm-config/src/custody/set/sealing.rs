//! A custodian's share, sealed to their token or their passphrase.

use std::path::Path;

use aws_lc_rs::digest;
use der::Encode;

use super::super::{
    document::{self, Keeper, SealedTo},
    envelope,
    error::CustodyError,
    passphrase::{self, Stretching},
    people::People,
    plan::{Custodian, PinLengths, Plan, Sealing},
    share::{Share, to_json},
    sharing,
};
use super::failed;

pub(super) fn seal(
    custodian: &Custodian,
    share: &Share,
    folder: &Path,
    people: &mut dyn People,
) -> Result<Keeper, CustodyError> {
    let name = &custodian.name;
    let json = to_json(share).ok_or(envelope::EnvelopeError::Crypto)?;
    let (text, sealed_to) = match &custodian.sealing {
        Sealing::Certificate(certificate) => {
            let tbs = certificate.tbs_certificate();
            let point = hex::encode(tbs.subject_public_key_info().subject_public_key.raw_bytes());
            let subject = tbs.subject().to_string();
            (envelope::seal_to(certificate, &json)?, SealedTo::Key { subject, point })
        }
        Sealing::Passphrase => {
            let passphrase = people.new_passphrase(name)?;
            passphrase::judge(&passphrase)
                .map_err(|source| CustodyError::Weak { custodian: name.clone(), source })?;
            let stretching = if people.is_rehearsal() { Stretching::slight() } else { Stretching::new() }?;
            let key = stretching.key(&passphrase)?;
            let sealed = envelope::seal_with(&key, stretching.to_string().as_bytes(), &json)?;
            (sealed, SealedTo::Passphrase)
        }
    };
    let path = folder.join(format!("{name}.pem"));
    document::write_new(&path, &text).map_err(|error| failed("sealed share", &path, error))?;
    Ok(Keeper {
        name: name.clone(),
        fingerprint: sharing::fingerprint(&share.set, share.generation, name, &share.octets),
        sealed_sha256: hex::encode(digest::digest(&digest::SHA256, text.as_bytes())),
        sealed_to,
        proven: None,
    })
}

/// SHA-256 of a certificate's public key, which a custodian compares with their own token's.
pub fn key_fingerprint(certificate: &x509_cert::Certificate) -> String {
    let der = certificate.tbs_certificate().subject_public_key_info().to_der().unwrap_or_default();
    hex::encode(digest::digest(&digest::SHA256, &der))
}

pub(super) fn check(plan: &Plan, lengths: PinLengths) -> Result<(), CustodyError> {
    let mut mistakes = plan.mistakes();
    mistakes.extend(plan.recipe.length_for(lengths).err());
    if mistakes.is_empty() { Ok(()) } else { Err(CustodyError::Plan(mistakes)) }
}
