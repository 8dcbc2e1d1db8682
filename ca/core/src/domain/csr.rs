//! Certification requests (PKCS#10, RFC 2986): proof of possession, and that the key is worth certifying.
//!
//! The authority names the user; a request may ask for nothing. What a request says beyond its key is therefore
//! either without effect, and permitted by name here, or a refusal.

use ca_x509::{
    KeyKind, SignatureAlgorithm,
    extension::YUBICO_PIV,
    key,
    signed::{Signed, SignedError},
};
use const_oid::{
    ObjectIdentifier,
    db::{
        rfc4519::{COMMON_NAME, UID},
        rfc5280::{
            ID_CE_BASIC_CONSTRAINTS, ID_CE_EXT_KEY_USAGE, ID_CE_KEY_USAGE, ID_CE_SUBJECT_ALT_NAME,
            ID_CE_SUBJECT_KEY_IDENTIFIER, ID_KP_CLIENT_AUTH,
        },
        rfc5912::ID_EXTENSION_REQ,
    },
};
use der::{Any, Decode, Encode};
use x509_cert::{
    ext::{
        Extension,
        pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages},
    },
    name::Name,
    request::{CertReqInfo, ExtensionReq},
    spki::SubjectPublicKeyInfoOwned,
};

use super::{
    der_bounds,
    ids::UserId,
    key_quality::{self, WeakKey},
};

/// A request has at most so many octets; with a YubiKey's evidence inside it has under 4 KiB.
pub const MAX_BYTES: usize = 16 * 1024;
/// ASN.1 nesting in a request at the most; genuine ones have 8.
pub(super) const MAX_DEPTH: usize = 16;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// More than [`MAX_BYTES`].
    #[error("the request is larger than {MAX_BYTES} octets")]
    TooLarge,
    /// Not a PKCS#10 request in DER: BER forms, trailing bytes, nesting beyond reason, or another structure.
    #[error("the request is not a PKCS#10 request in DER")]
    Malformed,
    /// The signature algorithm isn't accepted, or isn't one of the key's.
    #[error("the request's signature algorithm is not accepted for its key")]
    Algorithm,
    /// The signature isn't by the request's key: no proof of possession.
    #[error("the request is not signed by the key that it contains")]
    Signature,
    /// A kind or size of key that isn't certified.
    #[error("keys of this kind are not accepted; P-256, P-384 and RSA of 2048, 3072 or 4096 bits are")]
    KeyKind,
    /// The key can be broken.
    #[error("the key is weak")]
    WeakKey(#[source] WeakKey),
    /// A subject that isn't the user's.
    #[error("the request's subject is neither empty nor the user's own ID")]
    Subject,
    /// An attribute other than one extensionRequest.
    #[error("the request has the attribute {0}, which is not accepted")]
    Attribute(ObjectIdentifier),
    /// The same extension twice.
    #[error("the request asks for the extension {0} twice")]
    DuplicateExtension(ObjectIdentifier),
    /// It asks to be a CA, or to sign certificates or CRLs.
    #[error("the request asks for the rights of a CA")]
    CaRights,
    /// It asks for another extended key usage than clientAuth.
    #[error("the request asks for the extended key usage {0}")]
    ExtendedKeyUsage(ObjectIdentifier),
    /// It asks for another key usage than digitalSignature.
    #[error("the request asks for another key usage than digitalSignature")]
    KeyUsage,
    /// It asks for further names.
    #[error("the request asks for alternative names; the authority names the user")]
    OtherNames,
    /// It asks for an extension that users don't choose.
    #[error("the request asks for the extension {0}, which is not accepted")]
    Extension(ObjectIdentifier),
}

impl Refusal {
    /// The stable code, for the ledger, the audit trail and programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "csr-too-large",
            Self::Malformed => "csr-malformed",
            Self::Algorithm => "csr-algorithm",
            Self::Signature => "csr-signature",
            Self::KeyKind => "csr-key-kind",
            Self::WeakKey(weak) => weak.code(),
            Self::Subject => "csr-subject",
            Self::Attribute(_) => "csr-attribute",
            Self::DuplicateExtension(_) => "csr-duplicate-extension",
            Self::CaRights => "csr-ca-rights",
            Self::ExtendedKeyUsage(_) => "csr-extended-key-usage",
            Self::KeyUsage => "csr-key-usage",
            Self::OtherNames => "csr-other-names",
            Self::Extension(_) => "csr-extension",
        }
    }
}

/// A request whose sender holds its key, and which asks for nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Csr {
    der: Vec<u8>,
    public_key: SubjectPublicKeyInfoOwned,
    public_key_der: Vec<u8>,
    key_kind: KeyKind,
}

/// Reads and checks a request by the user `user`.
///
/// # Errors
/// The first [`Refusal`].
pub fn verify(der: &[u8], user: &UserId) -> Result<Csr, Refusal> {
    if der.len() > MAX_BYTES {
        return Err(Refusal::TooLarge);
    }
    der_bounds::check_depth(der, MAX_DEPTH).map_err(|_| Refusal::Malformed)?;
    let signed = Signed::parse(der).map_err(|_| Refusal::Malformed)?;
    let info = CertReqInfo::from_der(signed.tbs).map_err(|_| Refusal::Malformed)?;
    // A second encoding of the same request would escape "same bytes" comparisons further on.
    if !info.to_der().is_ok_and(|canonical| canonical == signed.tbs) {
        return Err(Refusal::Malformed);
    }
    let key_kind = check_key(&info.public_key)?;
    check_signature(&signed, &info.public_key, key_kind)?;
    check_subject(&info.subject, user)?;
    check_attributes(&info)?;
    let public_key_der = info.public_key.to_der().map_err(|_| Refusal::Malformed)?;
    Ok(Csr { der: der.to_vec(), public_key: info.public_key, public_key_der, key_kind })
}

impl Csr {
    /// The request as it came.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The key.
    pub fn public_key(&self) -> &SubjectPublicKeyInfoOwned {
        &self.public_key
    }

    /// The key's `SubjectPublicKeyInfo`, DER.
    pub fn public_key_der(&self) -> &[u8] {
        &self.public_key_der
    }

    /// The key's kind.
    pub fn key_kind(&self) -> KeyKind {
        self.key_kind
    }

    /// SHA-256 of [`Self::public_key_der`]: the key's name in the ledger.
    pub fn public_key_sha256(&self) -> [u8; 32] {
        use sha2::{Digest, Sha256};
        Sha256::digest(&self.public_key_der).into()
    }
}

fn check_key(public_key: &SubjectPublicKeyInfoOwned) -> Result<KeyKind, Refusal> {
    let kind = KeyKind::of(public_key).map_err(|error| match error {
        key::KeyError::Unsupported(_) => Refusal::KeyKind,
        key::KeyError::Malformed => Refusal::Malformed,
    })?;
    match kind {
        // RFC 3279, 2.3.1: NULL. With something else, or nothing, the same key would have another hash, and pass for a key
        // that was never certified or revoked.
        KeyKind::Rsa { .. } if public_key.algorithm.parameters != Some(Any::null()) => {
            return Err(Refusal::Malformed);
        }
        KeyKind::P256 | KeyKind::P384 | KeyKind::Rsa { bits: 2048 | 3072 | 4096 } => {}
        KeyKind::Rsa { .. } => return Err(Refusal::KeyKind),
    }
    key_quality::check(public_key).map_err(Refusal::WeakKey)?;
    Ok(kind)
}

/// The signature is over the original bytes, with the one algorithm that the key's kind signs with.
fn check_signature(
    signed: &Signed<'_>,
    public_key: &SubjectPublicKeyInfoOwned,
    kind: KeyKind,
) -> Result<(), Refusal> {
    let algorithm = SignatureAlgorithm::from_identifier(&signed.algorithm);
    if algorithm != Ok(SignatureAlgorithm::for_key(kind)) {
        return Err(Refusal::Algorithm);
    }
    signed.verify(public_key).map_err(|error| match error {
        SignedError::Algorithm(_) => Refusal::Algorithm,
        SignedError::Malformed(_) | SignedError::Signature(_) => Refusal::Signature,
    })
}

/// Empty, or only CN and UID, each the user's ID. Whatever it says is ignored then.
fn check_subject(subject: &Name, user: &UserId) -> Result<(), Refusal> {
    let own = subject.iter().all(|attribute| {
        [COMMON_NAME, UID].contains(&attribute.oid) && attribute.value.value() == user.as_str().as_bytes()
    });
    own.then_some(()).ok_or(Refusal::Subject)
}

fn check_attributes(info: &CertReqInfo) -> Result<(), Refusal> {
    let mut requests = 0;
    for attribute in info.attributes.iter() {
        let [value] = attribute.values.as_slice() else { return Err(Refusal::Malformed) };
        requests += 1;
        if attribute.oid != ID_EXTENSION_REQ || requests > 1 {
            return Err(Refusal::Attribute(attribute.oid));
        }
        let request: ExtensionReq = value
            .to_der()
            .and_then(|der| Vec::<Extension>::from_der(&der))
            .map_err(|_| Refusal::Malformed)?
            .into();
        check_extensions(&request.0)?;
    }
    Ok(())
}

fn check_extensions(extensions: &[Extension]) -> Result<(), Refusal> {
    for (index, extension) in extensions.iter().enumerate() {
        if extensions[..index].iter().any(|earlier| earlier.extn_id == extension.extn_id) {
            return Err(Refusal::DuplicateExtension(extension.extn_id));
        }
        check_extension(extension)?;
    }
    Ok(())
}

fn check_extension(extension: &Extension) -> Result<(), Refusal> {
    fn read<'a, T: Decode<'a>>(extension: &'a Extension) -> Result<T, Refusal> {
        T::from_der(extension.extn_value.as_bytes()).map_err(|_| Refusal::Malformed)
    }
    match extension.extn_id {
        ID_CE_BASIC_CONSTRAINTS => {
            let constraints: BasicConstraints = read(extension)?;
            if constraints.ca || constraints.path_len_constraint.is_some() {
                return Err(Refusal::CaRights);
            }
        }
        ID_CE_KEY_USAGE => {
            let KeyUsage(usages) = read(extension)?;
            if !usages.is_disjoint(KeyUsages::KeyCertSign | KeyUsages::CRLSign) {
                return Err(Refusal::CaRights);
            }
            if usages != KeyUsages::DigitalSignature {
                return Err(Refusal::KeyUsage);
            }
        }
        ID_CE_EXT_KEY_USAGE => {
            let ExtendedKeyUsage(usages) = read(extension)?;
            if let Some(other) = usages.into_iter().find(|usage| *usage != ID_KP_CLIENT_AUTH) {
                return Err(Refusal::ExtendedKeyUsage(other));
            }
        }
        ID_CE_SUBJECT_ALT_NAME => return Err(Refusal::OtherNames),
        // Without effect: the authority computes the one itself and takes evidence beside the request.
        ID_CE_SUBJECT_KEY_IDENTIFIER => {}
        other if is_attestation(other) => {}
        other => return Err(Refusal::Extension(other)),
    }
    Ok(())
}

/// Where tools put a YubiKey's evidence: the slot's certificate (.1, once .11) and f9 (.2).
fn is_attestation(oid: ObjectIdentifier) -> bool {
    [1, 2, 11].into_iter().any(|arc| YUBICO_PIV.push_arc(arc) == Ok(oid))
}

#[cfg(test)]
mod tests;
