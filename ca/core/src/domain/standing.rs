//! What a certificate is worth at a moment: what the bank's other applications are told of it. Only what was signed,
//! verified and is in the ledger can be good; everything that isn't surely good says why.

use jiff::Timestamp;

use super::{
    certificate::{CertificateRecord, CertificateState},
    revocation::RevocationReason,
    user::{User, UserState},
};

/// The state of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Only intended: it may or may not have been signed, and is nobody's certificate.
    Intended,
    /// Given up before it was signed.
    Abandoned,
    /// Before its notBefore.
    NotYetValid,
    /// A renewal that is issued and within its validity, but not confirmed yet (rule 1): its predecessor is the active one.
    Unconfirmed,
    /// Issued and within its validity.
    Active,
    /// Past its notAfter.
    Expired,
    /// Its renewal took its place.
    Superseded {
        /// Since when.
        at: Timestamp,
    },
    /// 失効 for another reason.
    Revoked {
        /// Since when.
        at: Timestamp,
        /// Why.
        reason: RevocationReason,
    },
}

impl Standing {
    /// The stable name in APIs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Intended => "intended",
            Self::Abandoned => "abandoned",
            Self::NotYetValid => "not-yet-valid",
            Self::Unconfirmed => "unconfirmed",
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Superseded { .. } => "superseded",
            Self::Revoked { .. } => "revoked",
        }
    }

    /// Since when it is revoked, and why.
    pub fn revocation(self) -> Option<(Timestamp, RevocationReason)> {
        match self {
            Self::Superseded { at } => Some((at, RevocationReason::Superseded)),
            Self::Revoked { at, reason } => Some((at, reason)),
            _ => None,
        }
    }
}

/// The state of a certificate at `now`. A revocation stays what it is after notAfter, too.
pub fn standing(certificate: &CertificateRecord, now: Timestamp) -> Standing {
    match certificate.state {
        CertificateState::Intended => Standing::Intended,
        CertificateState::Abandoned => Standing::Abandoned,
        CertificateState::Revoked { at, reason: RevocationReason::Superseded, .. } => {
            Standing::Superseded { at }
        }
        CertificateState::Revoked { at, reason, .. } => Standing::Revoked { at, reason },
        CertificateState::Issued { .. } if now < certificate.not_before => Standing::NotYetValid,
        CertificateState::Issued { .. } if now > certificate.not_after => Standing::Expired,
        CertificateState::Issued { .. } if certificate.is_unconfirmed_renewal() => Standing::Unconfirmed,
        CertificateState::Issued { .. } => Standing::Active,
    }
}

/// Whether the user may act at `now` by this certificate: it is active, and its owner's account is, too (rule 14).
pub fn is_usable(certificate: &CertificateRecord, user: &User, now: Timestamp) -> bool {
    standing(certificate, now) == Standing::Active
        && certificate.user == user.id
        && user.state == UserState::Active
        && user.locked_at.is_none()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::domain::{
        fixtures::{at, record, user},
        user::Role,
    };

    const NOT_AFTER: &str = "2027-11-22T23:59:59+09:00";

    fn certificate(state: CertificateState) -> CertificateRecord {
        record(1, NOT_AFTER, state)
    }

    fn issued() -> CertificateRecord {
        certificate(CertificateState::Issued { der: vec![0x30, 0], at: now(), confirmed_at: None })
    }

    fn now() -> Timestamp {
        certificate(CertificateState::Intended).not_before
    }

    #[test]
    fn only_what_was_issued_and_is_within_its_validity_is_active() {
        let second = SignedDuration::from_secs(1);
        assert_eq!(standing(&issued(), now()), Standing::Active);
        assert_eq!(standing(&issued(), at(NOT_AFTER)), Standing::Active, "notAfter is included");
        assert_eq!(standing(&issued(), at(NOT_AFTER) + second), Standing::Expired);
        assert_eq!(standing(&issued(), now() - second), Standing::NotYetValid);
        let renewal = CertificateRecord { renews: Some(issued().intent), ..issued() };
        assert_eq!(standing(&renewal, now()), Standing::Unconfirmed);
        let confirmed = CertificateState::Issued { der: vec![0x30, 0], at: now(), confirmed_at: Some(now()) };
        assert_eq!(standing(&CertificateRecord { state: confirmed, ..renewal }, now()), Standing::Active);
        assert_eq!(standing(&certificate(CertificateState::Intended), now()), Standing::Intended);
        assert_eq!(standing(&certificate(CertificateState::Abandoned), now()), Standing::Abandoned);
        for (reason, name) in [
            (RevocationReason::Superseded, "superseded"),
            (RevocationReason::KeyCompromise, "revoked"),
            (RevocationReason::Unspecified, "revoked"),
        ] {
            let revoked = certificate(CertificateState::Revoked { der: None, at: now(), reason });
            for later in [now(), at(NOT_AFTER) + second] {
                let found = standing(&revoked, later);
                assert_eq!((found.as_str(), found.revocation()), (name, Some((now(), reason))));
            }
        }
    }

    #[test]
    fn a_certificate_is_as_usable_as_its_owners_account() {
        let owner = User { id: issued().user, ..user("hokkai-01", Role::General) };
        assert!(is_usable(&issued(), &owner, now()));
        let other = user("hokkai-02", Role::General);
        let locked = User { locked_at: Some(now()), ..owner.clone() };
        let suspended = User { state: UserState::Suspended, ..owner.clone() };
        let removed = User { state: UserState::Removed, ..owner.clone() };
        for user in [other, locked, suspended, removed] {
            assert!(!is_usable(&issued(), &user, now()), "{user:?}");
        }
        for state in [CertificateState::Intended, CertificateState::Abandoned] {
            assert!(!is_usable(&certificate(state), &owner, now()));
        }
    }
}
