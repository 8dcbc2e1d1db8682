//! 電子証明書ログイン (rule 7): certificate and password, both of the same user.
//!
//! The TLS layer has proven that the browser holds the key of a certificate; everything else is decided here, from the
//! ledger and not from the certificate.

use jiff::Timestamp;

use super::{
    certificate::{CertificateRecord, CertificateState},
    ids::UserId,
    renewal::has_lapsed,
    revocation::RevocationReason,
    user::{User, UserState},
};

/// An attempt to log in, with everything that is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The certificate of the TLS connection, as the browser sent it, DER; `None` when it sent none.
    pub presented: Option<&'a [u8]>,
    /// The ledger's row with its issuer and serial number.
    pub certificate: Option<&'a CertificateRecord>,
    /// The certificate's owner, by the ledger.
    pub user: Option<&'a User>,
    /// The user ID that was typed, where the form asks for one.
    pub login_id: Option<&'a UserId>,
    /// Whether the password is the owner's.
    pub password_is_right: bool,
}

/// What comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Logged in.
    Admitted {
        /// Rule 1: the first login confirms a certificate that the agent didn't.
        confirms: bool,
    },
    /// Not logged in.
    Refused(Reason),
}

/// Why not. The login page tells these apart only where the certificate, which the visitor has proven to hold, is the
/// reason; everything about password and account has one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// No certificate.
    #[error("no certificate was presented")]
    NoCertificate,
    /// Not in the ledger, or not byte for byte the one that is: another CA with the same names.
    #[error("the certificate is not one of this bank's")]
    UnknownCertificate,
    /// 失効; or a renewal that lapsed and is about to be (rule 1).
    #[error("the certificate is revoked")]
    Revoked,
    /// Another took its place, such as its renewal.
    #[error("the certificate is superseded")]
    Superseded,
    /// Past its notAfter.
    #[error("the certificate has expired")]
    Expired,
    /// Before its notBefore: a clock is wrong.
    #[error("the certificate is not valid yet")]
    NotYetValid,
    /// The ID that was typed isn't the certificate's.
    #[error("the certificate belongs to another user")]
    OtherUser,
    /// 利用停止, or removed.
    #[error("the account may not be used")]
    AccountClosed,
    /// IDロック.
    #[error("the login is locked")]
    Locked,
    /// Wrong password.
    #[error("the password is wrong")]
    WrongPassword,
}

impl Reason {
    /// The stable code, for the audit trail.
    pub fn code(self) -> &'static str {
        match self {
            Self::NoCertificate => "login-no-certificate",
            Self::UnknownCertificate => "login-unknown-certificate",
            Self::Revoked => "login-revoked",
            Self::Superseded => "login-superseded",
            Self::Expired => "login-expired",
            Self::NotYetValid => "login-not-yet-valid",
            Self::OtherUser => "login-other-user",
            Self::AccountClosed => "login-account-closed",
            Self::Locked => "login-locked",
            Self::WrongPassword => "login-wrong-password",
        }
    }

    /// Whether it lies in the certificate, whatever the password: its holder may be told.
    pub fn is_the_certificates(self) -> bool {
        match self {
            Self::NoCertificate
            | Self::UnknownCertificate
            | Self::Revoked
            | Self::Superseded
            | Self::Expired
            | Self::NotYetValid => true,
            Self::OtherUser | Self::AccountClosed | Self::Locked | Self::WrongPassword => false,
        }
    }

    /// Whether a wrong password is to be counted against the user: only where the certificate was theirs and good, so
    /// that nobody without the token can lock anyone out.
    pub fn counts_as_wrong_password(self) -> bool {
        self == Self::WrongPassword
    }
}

/// Decides a login.
pub fn decide(attempt: &Attempt<'_>, now: Timestamp) -> Outcome {
    match admit(attempt, now) {
        Ok(confirms) => Outcome::Admitted { confirms },
        Err(reason) => Outcome::Refused(reason),
    }
}

/// Whether a certificate and its owner may still act: asked at every request of a session.
///
/// # Errors
/// The [`Reason`] for which the session ends.
pub fn still_good(certificate: &CertificateRecord, user: &User, now: Timestamp) -> Result<(), Reason> {
    match &certificate.state {
        CertificateState::Issued { .. } if has_lapsed(certificate, now) => return Err(Reason::Revoked),
        CertificateState::Issued { .. } => {}
        CertificateState::Revoked { reason: RevocationReason::Superseded, .. } => {
            return Err(Reason::Superseded);
        }
        CertificateState::Revoked { .. } => return Err(Reason::Revoked),
        CertificateState::Intended | CertificateState::Abandoned => return Err(Reason::UnknownCertificate),
    }
    if now < certificate.not_before {
        return Err(Reason::NotYetValid);
    }
    if now > certificate.not_after {
        return Err(Reason::Expired);
    }
    if certificate.user != user.id {
        return Err(Reason::OtherUser);
    }
    if user.state != UserState::Active {
        return Err(Reason::AccountClosed);
    }
    if user.locked_at.is_some() { Err(Reason::Locked) } else { Ok(()) }
}

fn admit(attempt: &Attempt<'_>, now: Timestamp) -> Result<bool, Reason> {
    let presented = attempt.presented.ok_or(Reason::NoCertificate)?;
    let certificate = attempt.certificate.ok_or(Reason::UnknownCertificate)?;
    let user = attempt.user.ok_or(Reason::UnknownCertificate)?;
    if certificate.der() != Some(presented) {
        return Err(Reason::UnknownCertificate);
    }
    still_good(certificate, user, now)?;
    if attempt.login_id.is_some_and(|typed| *typed != user.id) {
        return Err(Reason::OtherUser);
    }
    if !attempt.password_is_right {
        return Err(Reason::WrongPassword);
    }
    Ok(matches!(certificate.state, CertificateState::Issued { confirmed_at: None, .. }))
}

#[cfg(test)]
mod tests;
