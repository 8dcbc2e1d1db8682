//! A key pair and its certificate among a token's objects: found by `CKA_ID`, read, made and removed.

use const_oid::db::rfc5912::{SECP_256_R_1, SECP_384_R_1};
use cryptoki::{
    mechanism::Mechanism,
    object::{Attribute, AttributeType, CertificateType, KeyType, ObjectClass, ObjectHandle},
    session::Session,
    types::Ulong,
};
use der::{
    Decode, Encode,
    asn1::{ObjectIdentifier, OctetStringRef},
};
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::Certificate;

use crate::token::{KeyAlgorithm, Slot, TokenError};

/// The objects of one slot.
#[derive(Clone, Copy)]
pub(super) struct Objects<'a> {
    pub(super) session: &'a Session,
    pub(super) slot: Slot,
}

impl Objects<'_> {
    fn id(self) -> Attribute {
        Attribute::Id(vec![self.slot.number()])
    }

    fn label(self) -> Attribute {
        Attribute::Label(format!("Inro {}", self.slot).into_bytes())
    }

    fn all(self, class: ObjectClass, action: &'static str) -> Result<Vec<ObjectHandle>, TokenError> {
        self.session
            .find_objects(&[Attribute::Token(true), Attribute::Class(class), self.id()])
            .map_err(|error| TokenError::from_module(error, action))
    }

    /// The private key, when there is exactly one.
    pub(super) fn private_key(self) -> Result<Option<ObjectHandle>, TokenError> {
        let keys = self.all(ObjectClass::PRIVATE_KEY, "find the key")?;
        Ok(keys.first().copied().filter(|_| keys.len() == 1))
    }

    /// The public key, when there is exactly one and it is of a kind that the agent uses.
    pub(super) fn public_key(self) -> Result<Option<SubjectPublicKeyInfoOwned>, TokenError> {
        let action = "read the public key";
        let [object] = *self.all(ObjectClass::PUBLIC_KEY, action)? else { return Ok(None) };
        let wanted = [
            AttributeType::KeyType,
            AttributeType::EcParams,
            AttributeType::EcPoint,
            AttributeType::Modulus,
            AttributeType::PublicExponent,
        ];
        let (mut kind, mut curve, mut point, mut modulus, mut exponent) = (None, None, None, None, None);
        let found = self.session.get_attributes(object, &wanted);
        for attribute in found.map_err(|error| TokenError::from_module(error, action))? {
            match attribute {
                Attribute::KeyType(value) => kind = Some(value),
                Attribute::EcParams(value) => curve = Some(value),
                Attribute::EcPoint(value) => point = Some(value),
                Attribute::Modulus(value) => modulus = Some(value),
                Attribute::PublicExponent(value) => exponent = Some(value),
                _ => {}
            }
        }
        let key = match (kind, curve, point, modulus, exponent) {
            (Some(KeyType::EC), Some(curve), Some(point), ..) => elliptic(&curve, &point),
            (Some(KeyType::RSA), .., Some(modulus), Some(exponent)) => {
                ca_x509::key::from_modulus(&modulus, &exponent).ok()
            }
            _ => None,
        };
        Ok(key)
    }

    /// Whether the module says of the private key that it was generated on the token, is sensitive and never could be
    /// read out.
    pub(super) fn stays_inside(self, key: ObjectHandle) -> Result<bool, TokenError> {
        let wanted = [
            (AttributeType::Sensitive, Attribute::Sensitive(true)),
            (AttributeType::Extractable, Attribute::Extractable(false)),
            (AttributeType::AlwaysSensitive, Attribute::AlwaysSensitive(true)),
            (AttributeType::NeverExtractable, Attribute::NeverExtractable(true)),
            (AttributeType::Local, Attribute::Local(true)),
        ];
        let types = wanted.each_ref().map(|(kind, _)| *kind);
        let found = self
            .session
            .get_attributes(key, &types)
            .map_err(|error| TokenError::from_module(error, "describe the key"))?;
        Ok(wanted.iter().all(|(_, attribute)| found.contains(attribute)))
    }

    /// Generates a key pair whose private half is sensitive and can't be extracted.
    pub(super) fn generate(self, algorithm: KeyAlgorithm) -> Result<(), TokenError> {
        let action = "generate the key";
        let malformed = |_| TokenError::Malformed(action);
        let mut public = vec![Attribute::Token(true), Attribute::Verify(true), self.id(), self.label()];
        let mechanism = match algorithm {
            KeyAlgorithm::P256 | KeyAlgorithm::P384 => {
                let curve = if algorithm == KeyAlgorithm::P256 { SECP_256_R_1 } else { SECP_384_R_1 };
                public.push(Attribute::EcParams(curve.to_der().map_err(malformed)?));
                Mechanism::EccKeyPairGen
            }
            KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => {
                let bits: Ulong = match algorithm {
                    KeyAlgorithm::Rsa3072 => 3072.into(),
                    KeyAlgorithm::Rsa4096 => 4096.into(),
                    _ => 2048.into(),
                };
                public.push(Attribute::ModulusBits(bits));
                public.push(Attribute::PublicExponent(vec![1, 0, 1]));
                Mechanism::RsaPkcsKeyPairGen
            }
        };
        let private = [
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
            self.id(),
            self.label(),
        ];
        self.session
            .generate_key_pair(&mechanism, &public, &private)
            .map(drop)
            .map_err(|error| TokenError::from_module(error, action))
    }

    /// Destroys both halves of the key.
    pub(super) fn destroy_keys(self) -> Result<(), TokenError> {
        for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
            self.destroy(class, "destroy the key")?;
        }
        Ok(())
    }

    /// The certificate, DER.
    pub(super) fn certificate(self) -> Result<Option<Vec<u8>>, TokenError> {
        let action = "read a certificate";
        let Some(object) = self.all(ObjectClass::CERTIFICATE, action)?.first().copied() else {
            return Ok(None);
        };
        let found = self.session.get_attributes(object, &[AttributeType::Value]);
        let found = found.map_err(|error| TokenError::from_module(error, action))?;
        Ok(found.into_iter().find_map(|attribute| match attribute {
            Attribute::Value(der) => Some(der),
            _ => None,
        }))
    }

    /// Writes a certificate; what stood there goes once the new one is on the token.
    pub(super) fn write_certificate(self, der: &[u8]) -> Result<(), TokenError> {
        let action = "write the certificate";
        let old = self.all(ObjectClass::CERTIFICATE, action)?;
        let certificate = Certificate::from_der(der).map_err(|_| TokenError::Malformed(action))?;
        let tbs = certificate.tbs_certificate();
        let fields = [tbs.subject().to_der(), tbs.issuer().to_der(), tbs.serial_number().to_der()];
        let [Ok(subject), Ok(issuer), Ok(serial)] = fields else { return Err(TokenError::Malformed(action)) };
        let template = [
            Attribute::Class(ObjectClass::CERTIFICATE),
            Attribute::CertificateType(CertificateType::X_509),
            Attribute::Token(true),
            Attribute::Private(false),
            self.id(),
            self.label(),
            Attribute::Subject(subject),
            Attribute::Issuer(issuer),
            Attribute::SerialNumber(serial),
            Attribute::Value(der.to_vec()),
        ];
        let fail = |error| TokenError::from_module(error, action);
        self.session.create_object(&template).map_err(fail)?;
        old.into_iter().try_for_each(|object| self.session.destroy_object(object).map_err(fail))
    }

    pub(super) fn delete_certificate(self) -> Result<(), TokenError> {
        self.destroy(ObjectClass::CERTIFICATE, "delete the certificate")
    }

    fn destroy(self, class: ObjectClass, action: &'static str) -> Result<(), TokenError> {
        for object in self.all(class, action)? {
            self.session.destroy_object(object).map_err(|error| TokenError::from_module(error, action))?;
        }
        Ok(())
    }
}

/// Some tokens wrap the point in an OCTET STRING, some don't: the length tells.
fn elliptic(curve: &[u8], point: &[u8]) -> Option<SubjectPublicKeyInfoOwned> {
    let curve = ObjectIdentifier::from_der(curve).ok()?;
    let length = match curve {
        SECP_256_R_1 => 65,
        SECP_384_R_1 => 97,
        _ => return None,
    };
    let point =
        if point.len() == length { point } else { <&OctetStringRef>::from_der(point).ok()?.as_bytes() };
    let key = ca_x509::key::from_point(curve, point).ok()?;
    ca_x509::key::on_curve(&key).is_ok_and(|is_on_curve| is_on_curve).then_some(key)
}
