//! Signatures of people under a document: CMS `SignedData` (RFC 5652), detached, one signer in each file, so that
//! `openssl cms` and every other CMS program can make and check them.
//!
//! What a key signs is the DER of a SET of attributes, with the document's hash in one of them. Certificates, CRLs,
//! requests and OCSP responses are SEQUENCEs: a signature made here is none of theirs, whatever the document says.

use cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{EncapsulatedContentInfo, SignedData, SignerIdentifier, SignerInfo};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5911::{ID_CONTENT_TYPE, ID_DATA, ID_MESSAGE_DIGEST, ID_SIGNED_DATA};
use const_oid::db::rfc5912::{ID_SHA_256, ID_SHA_384, ID_SHA_512, RSA_ENCRYPTION};
use der::asn1::{OctetString, SetOfVec};
use der::{Any, Decode, Encode};
use x509_cert::attr::{Attribute, Attributes};
use x509_cert::certificate::Certificate;
use x509_cert::spki::AlgorithmIdentifierOwned;

use aws_lc_rs::digest::{self, SHA256, SHA384, SHA512};

use crate::{KeyKind, SignatureAlgorithm, name, verify};

/// A signature that lacks nothing but the signature.
pub struct Unsigned {
    certificate: Certificate,
    /// What leads from there to a root, for programs that check.
    chain: Vec<Certificate>,
    algorithm: SignatureAlgorithm,
    attributes: Attributes,
}

/// A signature that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The signer's certificate, DER.
    pub certificate: Vec<u8>,
    /// Its subject, for people.
    pub subject: String,
}

impl Unsigned {
    /// Prepares the signature under a content by the key of a certificate, with a chain to go with it.
    ///
    /// # Errors
    /// What is wrong with the certificate.
    pub fn new(certificate: &[u8], chain: &[Vec<u8>], content: &[u8]) -> Result<Self, String> {
        let certificate = Certificate::from_der(certificate).map_err(|e| e.to_string())?;
        let chain = chain.iter().map(|der| Certificate::from_der(der)).collect::<der::Result<Vec<_>>>();
        let mut chain = chain.map_err(|e| e.to_string())?;
        chain.retain(|other| *other != certificate);
        let kind = KeyKind::of(certificate.tbs_certificate().subject_public_key_info());
        let algorithm = SignatureAlgorithm::for_key(kind.map_err(|e| e.to_string())?);
        let attributes = || {
            let hash = OctetString::new(hashed(digest_of(algorithm), content).as_slice())?;
            let attribute =
                |oid, value| Ok::<_, der::Error>(Attribute { oid, values: SetOfVec::try_from(vec![value])? });
            SetOfVec::try_from(vec![
                attribute(ID_CONTENT_TYPE, Any::encode_from(&ID_DATA)?)?,
                attribute(ID_MESSAGE_DIGEST, Any::encode_from(&hash)?)?,
            ])
        };
        let attributes = attributes().map_err(|e: der::Error| e.to_string())?;
        Ok(Self { certificate, chain, algorithm, attributes })
    }

    /// What the key signs.
    ///
    /// # Errors
    /// Only `der`'s.
    pub fn to_be_signed(&self) -> der::Result<Vec<u8>> {
        self.attributes.to_der()
    }

    /// The finished file, DER.
    ///
    /// # Errors
    /// Only `der`'s.
    pub fn signed(self, signature: &[u8]) -> der::Result<Vec<u8>> {
        let digest_alg = AlgorithmIdentifierOwned { oid: digest_of(self.algorithm), parameters: None };
        let tbs = self.certificate.tbs_certificate();
        let signer = SignerInfo {
            version: CmsVersion::V1,
            sid: SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
                issuer: tbs.issuer().clone(),
                serial_number: tbs.serial_number().clone(),
            }),
            digest_alg: digest_alg.clone(),
            signed_attrs: Some(self.attributes),
            signature_algorithm: self.algorithm.identifier(),
            signature: OctetString::new(signature)?,
            unsigned_attrs: None,
        };
        let all = [vec![self.certificate], self.chain].concat().into_iter();
        let certificates: Vec<CertificateChoices> = all.map(CertificateChoices::Certificate).collect();
        let data = SignedData {
            version: CmsVersion::V1,
            digest_algorithms: SetOfVec::try_from(vec![digest_alg])?,
            encap_content_info: EncapsulatedContentInfo { econtent_type: ID_DATA, econtent: None },
            certificates: Some(certificates.try_into()?),
            crls: None,
            signer_infos: vec![signer].try_into()?,
        };
        ContentInfo { content_type: ID_SIGNED_DATA, content: Any::encode_from(&data)? }.to_der()
    }
}

/// Checks a signature file under a content. Who the signer is, and whether that is right, is the caller's to judge.
///
/// # Errors
/// What is wrong with it.
pub fn check(file: &[u8], content: &[u8]) -> Result<Checked, String> {
    let form = |e: der::Error| format!("is no CMS signature: {e}");
    let info = ContentInfo::from_der(file).map_err(form)?;
    if info.content_type != ID_SIGNED_DATA {
        return Err("is no CMS signature".to_owned());
    }
    let data: SignedData = info.content.decode_as().map_err(form)?;
    let [signer] = data.signer_infos.0.as_slice() else {
        return Err(format!("has {} signers instead of one", data.signer_infos.0.len()));
    };
    let certificate = certificate_of(&data, signer)?;
    let attributes = signer.signed_attrs.as_ref().ok_or("signs no attributes")?;
    let content_type = attribute(attributes, ID_CONTENT_TYPE)?;
    if content_type.decode_as::<ObjectIdentifier>() != Ok(data.encap_content_info.econtent_type) {
        return Err("names two types of content".to_owned());
    }
    let said = attribute(attributes, ID_MESSAGE_DIGEST)?;
    let said: OctetString = said.decode_as().map_err(form)?;
    if said.as_bytes() != hashed(signer.digest_alg.oid, content) {
        return Err("is for another document: this one was altered after it was signed".to_owned());
    }
    let public_key = certificate.tbs_certificate().subject_public_key_info();
    let algorithm = algorithm(signer)?;
    verify::verify(public_key, algorithm, &attributes.to_der().map_err(form)?, signer.signature.as_bytes())
        .map_err(|e| format!("is not by the key of its certificate: {e}"))?;
    Ok(Checked {
        certificate: certificate.to_der().map_err(form)?,
        subject: name::shown(certificate.tbs_certificate().subject()),
    })
}

fn certificate_of<'a>(data: &'a SignedData, signer: &SignerInfo) -> Result<&'a Certificate, String> {
    let all = data.certificates.as_ref().map_or(&[][..], |set| set.0.as_slice());
    let mut found = all.iter().filter_map(|choice| match choice {
        CertificateChoices::Certificate(certificate) => Some(certificate),
        CertificateChoices::Other(_) => None,
    });
    let names = |certificate: &&Certificate| match &signer.sid {
        SignerIdentifier::IssuerAndSerialNumber(wanted) => {
            let tbs = certificate.tbs_certificate();
            *tbs.issuer() == wanted.issuer && *tbs.serial_number() == wanted.serial_number
        }
        wanted @ SignerIdentifier::SubjectKeyIdentifier(_) => SignerIdentifier::from(*certificate) == *wanted,
    };
    found.find(names).ok_or_else(|| "doesn't have its signer's certificate with it".to_owned())
}

fn attribute(attributes: &Attributes, oid: ObjectIdentifier) -> Result<&Any, String> {
    let all: Vec<&Attribute> = attributes.iter().filter(|attribute| attribute.oid == oid).collect();
    match all.as_slice() {
        [one] if one.values.len() == 1 => {
            one.values.get(0).ok_or_else(|| "has an empty attribute".to_owned())
        }
        _ => Err(format!("doesn't have the attribute {oid} once")),
    }
}

/// The signature's algorithm; other programs name the key's alone for RSA (RFC 3370, 3.2).
fn algorithm(signer: &SignerInfo) -> Result<SignatureAlgorithm, String> {
    let identifier = &signer.signature_algorithm;
    if identifier.oid == RSA_ENCRYPTION {
        return match signer.digest_alg.oid {
            ID_SHA_256 => Ok(SignatureAlgorithm::RsaSha256),
            ID_SHA_384 => Ok(SignatureAlgorithm::RsaSha384),
            ID_SHA_512 => Ok(SignatureAlgorithm::RsaSha512),
            other => Err(format!("has the digest algorithm {other}, which isn't accepted")),
        };
    }
    let algorithm = SignatureAlgorithm::from_identifier(identifier).map_err(|e| e.to_string())?;
    if digest_of(algorithm) == signer.digest_alg.oid {
        Ok(algorithm)
    } else {
        Err("names two digest algorithms".to_owned())
    }
}

fn digest_of(algorithm: SignatureAlgorithm) -> ObjectIdentifier {
    match algorithm {
        SignatureAlgorithm::EcdsaSha256 | SignatureAlgorithm::RsaSha256 => ID_SHA_256,
        SignatureAlgorithm::EcdsaSha384 | SignatureAlgorithm::RsaSha384 => ID_SHA_384,
        SignatureAlgorithm::EcdsaSha512 | SignatureAlgorithm::RsaSha512 => ID_SHA_512,
    }
}

/// The hash of a content; nothing for an algorithm that isn't accepted, which equals no hash.
fn hashed(algorithm: ObjectIdentifier, content: &[u8]) -> Vec<u8> {
    let algorithm = match algorithm {
        ID_SHA_256 => &SHA256,
        ID_SHA_384 => &SHA384,
        ID_SHA_512 => &SHA512,
        _ => return Vec::new(),
    };
    digest::digest(algorithm, content).as_ref().to_vec()
}
