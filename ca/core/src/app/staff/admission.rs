//! What makes a person a member of staff: a certificate that the staff CA issued, by whose key the person is known.

use ca_x509::signed::Signed;
use der::{Decode, Encode};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use x509_cert::Certificate;

use crate::domain::{
    ids::StaffId,
    staff::{Member, MemberState, Roles},
};

/// A person to be admitted.
#[derive(Clone, Debug)]
pub struct NewMember {
    /// The name in the audit trail.
    pub id: StaffId,
    /// The person's name.
    pub name: String,
    /// What the member may do.
    pub roles: Roles,
    /// The certificate, DER.
    pub certificate: Vec<u8>,
}

/// Why a certificate can't be a member's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitCertificate {
    /// Not a certificate.
    #[error("it isn't a certificate")]
    Unreadable,
    /// Another authority's.
    #[error("the staff CA hasn't issued it")]
    NotOurs,
}

/// The CA whose certificates members of staff have.
#[derive(Clone)]
pub struct StaffIssuer {
    /// Its own certificate, DER.
    pub certificate: Vec<u8>,
}

impl StaffIssuer {
    /// The member that this person becomes, if the staff CA issued the certificate.
    pub(super) fn member(&self, new: &NewMember, now: Timestamp) -> Result<Member, UnfitCertificate> {
        Ok(Member {
            id: new.id.clone(),
            name: new.name.clone(),
            roles: new.roles.clone(),
            state: MemberState::Active,
            key_sha256: self.key_of(&new.certificate)?,
            certificate: new.certificate.clone(),
            admitted_at: now,
        })
    }

    /// The key of a certificate that the staff CA issued.
    pub(super) fn key_of(&self, certificate: &[u8]) -> Result<[u8; 32], UnfitCertificate> {
        let unreadable = |_| UnfitCertificate::Unreadable;
        let parsed = Certificate::from_der(certificate).map_err(unreadable)?;
        let issuer = Certificate::from_der(&self.certificate).map_err(unreadable)?;
        let (tbs, above) = (parsed.tbs_certificate(), issuer.tbs_certificate());
        let signed = Signed::parse(certificate).map_err(unreadable)?;
        let ours = tbs.issuer() == above.subject() && signed.verify(above.subject_public_key_info()).is_ok();
        if !ours {
            return Err(UnfitCertificate::NotOurs);
        }
        let key = tbs.subject_public_key_info().to_der().map_err(unreadable)?;
        Ok(Sha256::digest(key).into())
    }
}

/// SHA-256 of a certificate as people compare it.
pub fn fingerprint(certificate: &[u8]) -> String {
    hex::encode(Sha256::digest(certificate))
}
