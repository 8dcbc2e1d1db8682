//! A key pair's public half as `SubjectPublicKeyInfo`.

use const_oid::db::rfc5912::{SECP_256_R_1, SECP_384_R_1};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectHandle};
use cryptoki::session::Session;
use der::asn1::{ObjectIdentifier, OctetStringRef};
use der::{Decode, Encode};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::protocol::{CommandError, ErrorClass};

/// Reads the public key out of a public (or, where the token shows them there, private) key object.
pub(super) fn read(session: &Session, object: ObjectHandle) -> Result<Vec<u8>, CommandError> {
    let wanted = [
        AttributeType::KeyType,
        AttributeType::EcParams,
        AttributeType::EcPoint,
        AttributeType::Modulus,
        AttributeType::PublicExponent,
    ];
    let (mut kind, mut params, mut point, mut modulus, mut exponent) = (None, None, None, None, None);
    for attribute in session.get_attributes(object, &wanted)? {
        match attribute {
            Attribute::KeyType(value) => kind = Some(value),
            Attribute::EcParams(value) => params = Some(value),
            Attribute::EcPoint(value) => point = Some(value),
            Attribute::Modulus(value) => modulus = Some(value),
            Attribute::PublicExponent(value) => exponent = Some(value),
            _ => {}
        }
    }
    let info = match (kind, params, point, modulus, exponent) {
        (Some(KeyType::EC), Some(params), Some(point), _, _) => elliptic(&params, &point),
        (Some(KeyType::RSA), _, _, Some(modulus), Some(exponent)) => {
            ca_x509::key::from_modulus(&modulus, &exponent)
        }
        _ => return Err(unsupported("the token shows no P-256, P-384 or RSA public key for it")),
    };
    info.and_then(|info| info.to_der()).map_err(|e| unsupported(&format!("its public key is malformed: {e}")))
}

fn unsupported(detail: &str) -> CommandError {
    CommandError::own(ErrorClass::Fail, "KEY_UNSUPPORTED", detail)
}

fn elliptic(params: &[u8], point: &[u8]) -> der::Result<SubjectPublicKeyInfoOwned> {
    let curve = ObjectIdentifier::from_der(params)?;
    let length = match curve {
        SECP_256_R_1 => 65,
        SECP_384_R_1 => 97,
        other => return Err(der::ErrorKind::OidUnknown { oid: other }.into()),
    };
    // Some tokens wrap the point in an OCTET STRING, some don't. The length tells; trying to decode doesn't, as a raw
    // point can look like DER.
    let point = if point.len() == length { point } else { <&OctetStringRef>::from_der(point)?.as_bytes() };
    if point.len() != length || point[0] != 4 {
        return Err(der::Tag::OctetString.value_error().into());
    }
    ca_x509::key::from_point(curve, point)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_taken_wrapped_or_raw() {
        let params = SECP_256_R_1.to_der().expect("DER");
        // A raw point that would also decode as an OCTET STRING of 63 bytes if its first byte allowed it.
        let mut raw = vec![7; 65];
        (raw[0], raw[1]) = (4, 63);
        let mut wrapped = vec![4, 65];
        wrapped.extend_from_slice(&raw);
        let a = elliptic(&params, &raw).expect("raw");
        let b = elliptic(&params, &wrapped).expect("wrapped");
        assert_eq!(a, b);
        assert_eq!(a.subject_public_key.raw_bytes(), raw);
        assert!(elliptic(&params, &raw[..64]).is_err());
    }
}
