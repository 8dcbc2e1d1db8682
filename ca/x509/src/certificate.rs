//! To-be-signed certificates, built by `x509-cert` with nothing added to what the template says.

use der::Encode;
use jiff::Timestamp;
use signature::Keypair;
use spki::{
    AlgorithmIdentifierOwned, Document, DynSignatureAlgorithmIdentifier, EncodePublicKey,
    SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef,
};
use x509_cert::{
    builder::{self, Builder, CertificateBuilder, profile::BuilderProfile},
    certificate::TbsCertificate,
    ext::Extension,
    name::Name,
    serial_number::SerialNumber,
};

use crate::{algorithm::SignatureAlgorithm, time};

/// Everything that a certificate says.
#[derive(Clone, Debug)]
pub struct CertificateTemplate {
    /// The serial number's content octets, positive.
    pub serial: Vec<u8>,
    /// The issuer's subject name, byte for byte.
    pub issuer: Name,
    /// The subject.
    pub subject: Name,
    /// notBefore, whole seconds.
    pub not_before: Timestamp,
    /// notAfter, whole seconds.
    pub not_after: Timestamp,
    /// The subject's key.
    pub public_key: SubjectPublicKeyInfoOwned,
    /// The extensions, in this order.
    pub extensions: Vec<Extension>,
    /// What the issuer signs with.
    pub algorithm: SignatureAlgorithm,
}

impl CertificateTemplate {
    /// DER of the `TBSCertificate`, version 3.
    ///
    /// # Errors
    /// A builder error when something can't be encoded.
    pub fn to_tbs_der(&self) -> Result<Vec<u8>, builder::Error> {
        let validity = time::validity(self.not_before, self.not_after)?;
        let serial = SerialNumber::new(&self.serial)?;
        let signer = Elsewhere { public_key: &self.public_key, algorithm: self.algorithm };
        CertificateBuilder::new(AsWritten(self), serial, validity, self.public_key.clone())?.finalize(&signer)
    }
}

/// The profile that adds nothing.
struct AsWritten<'a>(&'a CertificateTemplate);

impl BuilderProfile for AsWritten<'_> {
    fn get_issuer(&self, _: &Name) -> Name {
        self.0.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        self.0.subject.clone()
    }

    fn build_extensions(
        &self,
        _: SubjectPublicKeyInfoRef<'_>,
        _: SubjectPublicKeyInfoRef<'_>,
        _: &TbsCertificate,
    ) -> builder::Result<Vec<Extension>> {
        Ok(self.0.extensions.clone())
    }
}

/// A signer that is elsewhere: `finalize` asks it for the algorithm, and for a public key that [`AsWritten`] ignores.
struct Elsewhere<'a> {
    public_key: &'a SubjectPublicKeyInfoOwned,
    algorithm: SignatureAlgorithm,
}

#[derive(Clone)]
struct EncodedKey(SubjectPublicKeyInfoOwned);

impl Keypair for Elsewhere<'_> {
    type VerifyingKey = EncodedKey;

    fn verifying_key(&self) -> EncodedKey {
        EncodedKey(self.public_key.clone())
    }
}

impl DynSignatureAlgorithmIdentifier for Elsewhere<'_> {
    fn signature_algorithm_identifier(&self) -> spki::Result<AlgorithmIdentifierOwned> {
        Ok(self.algorithm.identifier())
    }
}

impl EncodePublicKey for EncodedKey {
    fn to_public_key_der(&self) -> spki::Result<Document> {
        Ok(Document::try_from(self.0.to_der()?)?)
    }
}
