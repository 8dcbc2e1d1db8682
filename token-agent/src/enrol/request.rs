//! The certification request (PKCS#10) of whatever key signs it.

use ca_x509::{SignatureAlgorithm, name::NameBuilder};
use der::{
    Encode,
    asn1::{BitString, SetOfVec},
};
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::request::{CertReq, CertReqInfo, Version};

use super::EnrolError;

/// DER of a request of this user, signed by the key.
pub(super) fn certification_request(
    public_key: &SubjectPublicKeyInfoOwned,
    algorithm: SignatureAlgorithm,
    user_id: &str,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, EnrolError>,
) -> Result<Vec<u8>, EnrolError> {
    let info = CertReqInfo {
        version: Version::V1,
        subject: NameBuilder::new().user_id(user_id).build().map_err(EnrolError::Encoding)?,
        public_key: public_key.clone(),
        attributes: SetOfVec::new(),
    };
    let signature = sign(&info.to_der().map_err(EnrolError::Encoding)?)?;
    let signature = BitString::from_bytes(&signature).map_err(EnrolError::Encoding)?;
    CertReq { info, algorithm: algorithm.identifier(), signature }.to_der().map_err(EnrolError::Encoding)
}
