//! A last look at everything that was signed, from its encoded form: what relying parties will see, not what was meant.

use der::Decode;
use x509_cert::certificate::Certificate;
use x509_cert::crl::CertificateList;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, KeyUsage, KeyUsages, SubjectKeyIdentifier,
};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::spec::Profile;
use crate::worker::protocol::{KeyAttributes, Leaving};
use ca_x509::signed::Signed;

/// What is wrong with a certificate, given its issuer's certificate (its own for the root) and the key that it is to
/// certify.
pub(super) fn certificate(
    profile: Profile,
    der: &[u8],
    issuer: &[u8],
    key: &SubjectPublicKeyInfoOwned,
) -> Result<(), String> {
    signed_by(der, issuer)?;
    let own = parse(der)?;
    let issuer = parse(issuer)?;
    let (tbs, issuer_tbs) = (own.tbs_certificate(), issuer.tbs_certificate());
    holds(tbs.subject_public_key_info() == key, "it certifies another key than it should")?;
    let within = |time: fn(&x509_cert::time::Validity) -> std::time::Duration| {
        (time(tbs.validity()), time(issuer_tbs.validity()))
    };
    let (start, issuer_start) = within(|validity| validity.not_before.to_unix_duration());
    let (end, issuer_end) = within(|validity| validity.not_after.to_unix_duration());
    holds(start >= issuer_start && end <= issuer_end, "it is valid outside its issuer's validity")?;
    holds(start < end, "it ends before it begins")?;
    let (extensions, issuer_extensions) = (found(tbs.extensions()), found(issuer_tbs.extensions()));
    let identifier = read::<SubjectKeyIdentifier>(issuer_extensions).map(|ski| ski.0);
    holds(identifier.is_some(), "its issuer has no subject key identifier")?;
    if profile != Profile::Root {
        let authority = read::<AuthorityKeyIdentifier>(extensions).and_then(|aki| aki.key_identifier);
        holds(authority == identifier, "its authority key identifier is not its issuer's")?;
    }
    let usage = read::<KeyUsage>(issuer_extensions).ok_or("its issuer has no key usage")?;
    holds(usage.0.contains(KeyUsages::KeyCertSign), "its issuer may not sign certificates")?;
    let constraints = read::<BasicConstraints>(extensions);
    let is_authority = constraints.as_ref().is_some_and(|constraints| constraints.ca);
    holds(is_authority == profile.is_authority(), "its basic constraints are another profile's")?;
    let length = constraints.and_then(|constraints| constraints.path_len_constraint);
    holds(length == profile.path_length(), "its path length is not its profile's")
}

/// What is wrong with who signed a certificate: name and signature.
pub(super) fn signed_by(der: &[u8], issuer: &[u8]) -> Result<(), String> {
    let (own, issuer) = (parse(der)?, parse(issuer).map_err(|e| format!("its issuer's: {e}"))?);
    let (tbs, issuer) = (own.tbs_certificate(), issuer.tbs_certificate());
    signature(der, issuer.subject_public_key_info())?;
    holds(tbs.issuer() == issuer.subject(), "its issuer name is not the issuer's subject")
}

fn parse(der: &[u8]) -> Result<Certificate, String> {
    Certificate::from_der(der).map_err(|e| format!("it is not a certificate: {e}"))
}

/// What a new CRL is to say.
#[derive(Clone, Copy, Debug)]
pub(super) struct CrlExpected {
    /// `cRLNumber`.
    pub(super) number: u64,
    /// How many certificates it lists.
    pub(super) entries: usize,
}

/// What is wrong with a CRL, given its issuer's certificate.
pub(super) fn crl(der: &[u8], issuer: &[u8], expected: CrlExpected) -> Result<(), String> {
    let (number, entries) = any_crl(der, issuer)?;
    holds(number == expected.number, &format!("its number is not {}", expected.number))?;
    holds(entries == expected.entries, &format!("it doesn't list {} certificates", expected.entries))
}

/// What is wrong with a CRL that another is to follow; else its number.
pub(super) fn previous_crl(der: &[u8], issuer: &[u8]) -> Result<u64, String> {
    any_crl(der, issuer).map(|(number, _)| number)
}

fn any_crl(der: &[u8], issuer: &[u8]) -> Result<(u64, usize), String> {
    let list: CertificateList =
        CertificateList::from_der(der).map_err(|e| format!("it is not a CRL: {e}"))?;
    let issuer =
        Certificate::from_der(issuer).map_err(|e| format!("its issuer is not a certificate: {e}"))?;
    let (tbs, issuer_tbs) = (&list.tbs_cert_list, issuer.tbs_certificate());
    signature(der, issuer_tbs.subject_public_key_info())?;
    holds(&tbs.issuer == issuer_tbs.subject(), "its issuer name is not the issuer's subject")?;
    let identifier = read::<SubjectKeyIdentifier>(found(issuer_tbs.extensions())).map(|ski| ski.0);
    let authority =
        read::<AuthorityKeyIdentifier>(found(tbs.crl_extensions.as_ref())).and_then(|aki| aki.key_identifier);
    holds(
        authority.is_some() && authority == identifier,
        "its authority key identifier is not its issuer's",
    )?;
    let usage = read::<KeyUsage>(found(issuer_tbs.extensions())).ok_or("its issuer has no key usage")?;
    holds(usage.0.contains(KeyUsages::CRLSign), "its issuer may not sign CRLs")?;
    let number = tbs.crl_extensions.as_deref().and_then(ca_x509::crl::number).ok_or("it has no number")?;
    Ok((number, tbs.revoked_certificates.as_ref().map_or(0, Vec::len)))
}

/// How a private key came to its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Provenance {
    /// Made there, in this ceremony.
    Made(Leaving),
    /// Unwrapped there, in this ceremony.
    Copied(Leaving),
    /// It was there before.
    Found,
}

/// What is wrong with how a token protects a private key.
pub(super) fn protection(attributes: &KeyAttributes, provenance: Provenance) -> Result<(), String> {
    let mut needed = vec![
        ("CKA_TOKEN", attributes.token, true),
        ("CKA_PRIVATE", attributes.private, true),
        ("CKA_SENSITIVE", attributes.sensitive, true),
        ("CKA_SIGN", attributes.sign, true),
    ];
    if let Provenance::Made(leaving) = provenance {
        needed.extend([
            ("CKA_ALWAYS_SENSITIVE", attributes.always_sensitive, true),
            ("CKA_LOCAL", attributes.local, true),
            ("CKA_EXTRACTABLE", attributes.extractable, leaving != Leaving::Never),
            ("CKA_NEVER_EXTRACTABLE", attributes.never_extractable, leaving == Leaving::Never),
        ]);
    }
    if let Provenance::Made(Leaving::WrappedTrusted) | Provenance::Copied(Leaving::WrappedTrusted) =
        provenance
    {
        needed.push(("CKA_WRAP_WITH_TRUSTED", attributes.wrap_with_trusted, true));
    }
    let mut faults: Vec<String> = needed
        .into_iter()
        .filter(|(_, found, needed)| *found != Some(*needed))
        .map(|(name, found, needed)| match found {
            Some(found) => format!("{name} is {found} instead of {needed}"),
            None => format!("the token doesn't tell {name}, which must be {needed}"),
        })
        .collect();
    // A token that doesn't know these can't do it either.
    let forbidden = [
        ("CKA_DECRYPT", attributes.decrypt),
        ("CKA_UNWRAP", attributes.unwrap),
        ("CKA_DERIVE", attributes.derive),
    ];
    faults.extend(
        forbidden
            .into_iter()
            .filter(|(_, found)| *found == Some(true))
            .map(|(name, _)| format!("{name} is true")),
    );
    if faults.is_empty() { Ok(()) } else { Err(faults.join(", ")) }
}

/// What "not extractable" means for this very key, for people.
pub(super) fn whereabouts(attributes: &KeyAttributes) -> &'static str {
    let KeyAttributes { sensitive, always_sensitive, extractable, never_extractable, local, .. } = attributes;
    match (sensitive, extractable, never_extractable) {
        (Some(true), Some(false), Some(true)) if *local == Some(true) && *always_sensitive == Some(true) => {
            "it was made on this token and can never leave it, by the token's own word; a copy elsewhere can only come from the vendor's cloning"
        }
        (Some(true), Some(false), _) => {
            "it can't leave this token now; that it never could, or was made here, the token doesn't say"
        }
        (Some(true), Some(true), _) if attributes.wrap_with_trusted == Some(true) && *local == Some(true) => {
            "it was made on this token and is never shown in plain, but can leave it encrypted (C_WrapKey), for keys alone that the security officer trusts (CKA_WRAP_WITH_TRUSTED): the user's PIN alone doesn't bring it off"
        }
        (Some(true), Some(true), _) if attributes.wrap_with_trusted == Some(true) => {
            "it came to this token encrypted, is never shown in plain, and can leave it encrypted again (C_WrapKey), for keys alone that the security officer trusts (CKA_WRAP_WITH_TRUSTED): the user's PIN alone doesn't bring it off"
        }
        (Some(true), Some(true), _) if *local == Some(true) => {
            "it was made on this token and is never shown in plain, but can leave it encrypted (C_WrapKey), by whoever has the user's PIN, and for any key of theirs: CKA_WRAP_WITH_TRUSTED is not set"
        }
        (Some(true), Some(true), _) => {
            "it came to this token encrypted, is never shown in plain, and can leave it encrypted again (C_WrapKey), by whoever has the user's PIN, and for any key of theirs: CKA_WRAP_WITH_TRUSTED is not set"
        }
        _ => "the token doesn't say that it keeps the key secret",
    }
}

fn signature(der: &[u8], key: &SubjectPublicKeyInfoOwned) -> Result<(), String> {
    let signed = Signed::parse(der).map_err(|e| format!("it is not a signed structure: {e}"))?;
    signed.verify(key).map_err(|e| e.to_string())
}

fn holds(condition: bool, otherwise: &str) -> Result<(), String> {
    if condition { Ok(()) } else { Err(otherwise.to_owned()) }
}

fn found(extensions: Option<&Vec<Extension>>) -> &[Extension] {
    extensions.map_or(&[], Vec::as_slice)
}

fn read<T: const_oid::AssociatedOid + for<'a> Decode<'a>>(extensions: &[Extension]) -> Option<T> {
    let extension = extensions.iter().find(|extension| extension.extn_id == T::OID)?;
    T::from_der(extension.extn_value.as_bytes()).ok()
}

#[cfg(test)]
mod tests;
